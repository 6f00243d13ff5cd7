"""What statements about segments have in common."""

# What the API shows of a row.
COLUMNS = "g.id, g.name, g.filter, g.version, g.created_at, g.updated_at"
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"

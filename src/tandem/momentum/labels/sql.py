"""What statements about labels have in common."""

# What the API shows of a row.
COLUMNS = "l.id, l.name, l.color, l.version, l.created_at, l.updated_at"
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"

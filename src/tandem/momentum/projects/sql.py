"""What statements about projects have in common."""

# What the API shows of a row.
COLUMNS = """p.id, p.name, p.description, p.color, p.parent_id, p.position, p.archived_at IS NOT NULL AS archived,
  p.archived_at, p.version, p.created_at, p.updated_at"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"

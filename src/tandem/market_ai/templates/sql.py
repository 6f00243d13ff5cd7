"""What statements about templates have in common."""

SUMMARY = "t.id, t.name, t.version, t.created_at, t.updated_at"
COLUMNS = f"t.html, {SUMMARY}"
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"

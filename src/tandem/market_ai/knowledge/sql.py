"""What statements about documents have in common."""

# What the API shows of a row.
COLUMNS = """d.id, d.title, d.brand_id, d.format, d.language, d.filename, d.size, encode(d.sha256, 'hex') AS sha256,
  d.characters, d.pages, d.chunks, d.version, d.created_at, d.updated_at"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"

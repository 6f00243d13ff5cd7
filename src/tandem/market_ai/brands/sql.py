"""What statements about brands have in common."""

VOICE = """json_build_object('tone', b.tone, 'style', b.style, 'banned_words', b.banned_words,
  'required_disclaimer', b.required_disclaimer, 'examples', b.examples)"""
# What the API shows of a row.
COLUMNS = f"b.id, b.name, {VOICE} AS voice, b.version, b.created_at, b.updated_at"
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"

"""What statements about suppressions `s` have in common."""

DIGEST = "sha256:"  # what the key of an address begins with that must be forgotten
_ERASED = f"starts_with(s.email_key, '{DIGEST}')"
# What the API shows of a row.
COLUMNS = f"""s.id, CASE WHEN NOT {_ERASED} THEN s.email_key END AS email, {_ERASED} AS erased, s.reason, s.source,
  s.note, s.created_at"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"

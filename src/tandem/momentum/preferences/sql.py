"""What statements about user settings have in common."""

# What the API shows of a row.
DEFAULTS = "coalesce(s.timezone, 'UTC') AS timezone, coalesce(s.week_start, 'monday') AS week_start"

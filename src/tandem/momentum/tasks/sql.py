"""What statements about tasks have in common, and the table's indexes with them."""

# The words of title and description, each indexed together with its owner (migration 0002).
SEARCH = "momentum_search(user_id, title, description)"
# Tasks without a day come after all that have one, those without a time at the end of their day.
DUE_DATE = "coalesce(due_date, 'infinity'::date)"
DUE_TIME = "coalesce(due_time, '24:00:00'::time without time zone)"

# What the API shows of a row.
COLUMNS = """t.id, t.title, t.description, t.completed_at IS NOT NULL AS completed, t.completed_at, t.priority,
  t.project_id, t.parent_id, t.labels, t.position, t.due_date, t.due_time, t.timezone, t.due_at, t.version,
  t.created_at, t.updated_at, t.deleted_at"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"
# The zone in which $1, the user, lives.
USER_ZONE = "coalesce((SELECT s.timezone FROM user_settings s WHERE s.user_id = $1), 'UTC')"
_TODAY = f"(now() AT TIME ZONE {USER_ZONE})::date"
# Open and past due: a timed task by its instant, an all-day one once its day is over where the user is.
OVERDUE = f"""t.completed_at IS NULL AND {DUE_DATE} <= {_TODAY} + 1
  AND CASE WHEN t.due_at IS NULL THEN {DUE_DATE} < {_TODAY} ELSE t.due_at < now() END"""

"""What came after a number of a user's change log, compacted: each entity once, where its latest change stands.

An entity's `version` is the number of its latest change, so the tables themselves are the compacted log; only deletions
are read from the log. A reader who pages may meet an entity again, never miss one: a change moves it to a later page.
"""

from tandem.core.db import Connection, fetch_one
from tandem.core.errors import Problem
from tandem.momentum.labels import sql as labels
from tandem.momentum.preferences import sql as preferences
from tandem.momentum.projects import sql as projects
from tandem.momentum.tasks import sql as tasks


class ResyncRequired(Problem):
    status, code, title = 410, "resync_required", "This place in the change log does not exist; start again at since=0"


def _branch(entity: str, table: str, alias: str, entity_id: str, data: str) -> str:
    return f"""(SELECT {alias}.version, '{entity}' AS entity, {entity_id} AS id, 'upsert' AS op,
   {data}::json AS data FROM {table} {alias}
   WHERE {alias}.user_id = $1 AND {alias}.version > $2 ORDER BY {alias}.version LIMIT $3 + 1)"""


_SETTINGS = f"(SELECT row_to_json(r) FROM (SELECT {preferences.DEFAULTS}, s.version, s.updated_at) r)"
_BRANCHES = [
    _branch("task", "tasks", "t", "t.id::text", tasks.JSON),
    _branch("project", "projects", "p", "p.id::text", projects.JSON),
    _branch("label", "labels", "l", "l.id::text", labels.JSON),
    _branch("settings", "user_settings", "s", "'settings'", _SETTINGS),
    """(SELECT c.seq, c.entity, c.entity_id, 'delete', NULL::json FROM changes c
   WHERE c.user_id = $1 AND c.seq > $2 AND c.op = 'delete' ORDER BY c.seq LIMIT $3 + 1)""",
]
SYNC = f"""
WITH found AS ({" UNION ALL ".join(_BRANCHES)} ORDER BY 1 LIMIT $3 + 1),
     page AS (SELECT * FROM found ORDER BY version LIMIT $3)
SELECT coalesce((SELECT json_agg(r ORDER BY r.version) FROM (
         SELECT page.version, page.entity, page.id, page.op, page.data, c.actor, c.at
           FROM page LEFT JOIN changes c ON c.user_id = $1 AND c.seq = page.version) r), '[]')::text AS changes,
       (SELECT max(version) FROM page) AS last, (SELECT count(*) > $3 FROM found) AS more,
       (SELECT coalesce(max(seq), 0) FROM changes WHERE user_id = $1) AS newest"""


async def sync(connection: Connection, user_id: str, since: int, limit: int) -> str:
    """A SyncPage as JSON; raises ResyncRequired when `since` is ahead of the log (another account, a restored
    backup)."""
    row = await fetch_one(connection, SYNC, user_id, since, limit)
    if since > row["newest"]:
        raise ResyncRequired()
    more = "true" if row["more"] else "false"
    next_since = since if row["last"] is None else row["last"]
    return f'{{"changes":{row["changes"]},"next_since":{next_since},"has_more":{more}}}'

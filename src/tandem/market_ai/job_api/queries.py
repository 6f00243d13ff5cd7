"""SELECTs of jobs and their events. A job of another organization, or of a type that is not its business, is none."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page
from tandem.market_ai.job_api.schemas import JobFilter
from tandem.market_ai.job_api.sql import COLUMNS, EVENT, JSON, owned

NOT_FOUND = "You have no job with this id"
MAX_EVENTS = 200  # of one job that one statement reads

_ONE = f"SELECT {JSON} FROM jobs j {owned('j.id = $2')}"
_PLACE = f"SELECT j.status, j.events FROM jobs j {owned('j.id = $2')}"
FOR_UPDATE = f"SELECT j.status FROM jobs j {owned('j.id = $2')} FOR UPDATE"
_EVENTS = f"""
SELECT w.number, j.status, j.events, e.seq, e.kind, e.json
  FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS w(job_id, after, number)
  LEFT JOIN jobs j ON j.id = w.job_id
  LEFT JOIN LATERAL (
    SELECT e.seq, e.kind, {EVENT} AS json FROM job_events e
     WHERE e.job_id = w.job_id AND e.seq > w.after ORDER BY e.seq LIMIT {MAX_EVENTS}) e ON true
 ORDER BY w.number, e.seq"""


async def list_jobs(connection: Connection, org_id: str, query: JobFilter) -> Page:
    arg, wanted = Args([org_id]), []
    if query.status:
        wanted.append(f"j.status = ANY({arg(query.status)}::text[])")
    if query.type:
        wanted.append(f"j.type = ANY({arg(query.type)}::text[])")
    if query.campaign_id is not None:
        wanted.append(f"j.payload->>'campaign_id' = {arg(str(query.campaign_id))}")
    where = owned(*wanted)
    limit, offset = arg(query.limit), arg((query.page - 1) * query.limit)
    sql = f"""
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT {COLUMNS} FROM jobs j {where} ORDER BY j.id DESC LIMIT {limit} OFFSET {offset}) q) AS items,
       (SELECT count(*) FROM jobs j {where}) AS total"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"])


async def get_job(connection: Connection, org_id: str, job_id: UUID) -> str:
    """As JSON; raises NotFound."""
    found: str | None = await connection.fetchval(_ONE, org_id, job_id)
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


async def get_place(connection: Connection, org_id: str, job_id: UUID) -> Any:
    """A record of `status` and `events`, the number of the job's last event; raises NotFound."""
    row = await connection.fetchrow(_PLACE, org_id, job_id)
    if row is None:
        raise NotFound(NOT_FOUND)
    return row


async def read_events(connection: Connection, places: Sequence[tuple[UUID, int]]) -> list[list[Any]]:
    """For each place (job, last event seen) one record or more, in order: `status`, `events` and the next events.

    `seq` is null where there is no next event, `status` where there is no such job. MAX_EVENTS at most of each.
    """
    found: list[list[Any]] = [[] for _ in places]
    rows = await connection.fetch(_EVENTS, [job for job, _ in places], [after for _, after in places])
    for row in rows:
        found[row["number"] - 1].append(row)
    return found

"""Writing one batch of records: the rows, what was wrong with others, and how far the file has been read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.jobs.errors import Superseded
from tandem.market_ai.imports.records import Record
from tandem.market_ai.imports.rows import Refused, Row, read_row, refused
from tandem.market_ai.imports.schemas import Kind, Options
from tandem.market_ai.leads.fields import MAX_ATTRIBUTES, MAX_TAGS
from tandem.market_ai.leads.schemas import NewLead
from tandem.market_ai.leads.service import add_leads
from tandem.market_ai.suppressions.schemas import NewSuppression
from tandem.market_ai.suppressions.service import suppress_many

# Whoever moves the place on holds the row until its batch is in; another run of the job finds it moved.
_MOVE = """
UPDATE imports SET read_bytes = $4, read_lines = $5, updated_at = now(), version = version + 1
 WHERE org_id = $1 AND id = $2 AND read_bytes = $3 AND finished_at IS NULL RETURNING id"""
_COUNT = """
UPDATE imports SET rows = rows + $3, created = created + $4, updated = updated + $5, unchanged = unchanged + $6,
    errors = errors + $7 WHERE org_id = $1 AND id = $2 RETURNING rows, errors"""
_FIRST = """
INSERT INTO import_emails (org_id, import_id, email_key, line)
SELECT $1, $2, key, line FROM unnest($3::text[], $4::int[]) AS r (key, line) ON CONFLICT DO NOTHING
RETURNING email_key"""
_LINES = (
    "SELECT email_key, line FROM import_emails WHERE org_id = $1 AND import_id = $2 AND email_key = ANY($3::text[])"
)
_REFUSED = """
INSERT INTO import_errors (org_id, import_id, line, code, message, email_key, cells)
SELECT $1, $2, line, code, message, email_key, cells FROM jsonb_to_recordset($3::jsonb)
    AS r (line integer, code text, message text, email_key text, cells text[])"""


@dataclass(frozen=True)
class Target:
    """What is imported into: `actor` is the job, as in the audit trail."""

    org_id: str
    import_id: UUID
    kind: Kind
    options: Options

    @property
    def actor(self) -> str:
        return f"job:{self.import_id}"


async def write_batch(connection: Connection, target: Target, records: Sequence[Record], start: int) -> Any:
    """In a transaction, of records that begin at byte `start`; `rows` and `errors` of the whole import so far.

    Raises Superseded when the file has been read on from there by somebody else.
    """
    ids = (target.org_id, target.import_id)
    if await connection.fetchval(_MOVE, *ids, start, records[-1].end, records[-1].lines) is None:
        raise Superseded
    now = datetime.now(UTC)
    by_line = {record.line: record for record in records}
    read = [read_row(target.kind, record, target.options, now) for record in records]
    wrong = [row for row in read if isinstance(row, Refused)]
    rows = [row for row in read if not isinstance(row, Refused)]
    rows, repeated = await _first_in_file(connection, target, rows, by_line)
    created, updated, too_full = await _write(connection, target, rows)
    wrong += repeated
    wrong += [_too_full(by_line[row.line], row.key) for row in rows if row.line in too_full]
    if wrong:
        await connection.execute(_REFUSED, *ids, json.dumps([one._asdict() for one in wrong]))
    unchanged = len(rows) - created - updated - len(too_full)
    return await connection.fetchrow(_COUNT, *ids, len(records), created, updated, unchanged, len(wrong))


async def _first_in_file(
    connection: Connection, target: Target, rows: list[Row], by_line: dict[int, Record]
) -> tuple[list[Row], list[Refused]]:
    """The rows whose address the file did not have before, and the others."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.key, row)
    ids, lines = (target.org_id, target.import_id), [row.line for row in first.values()]
    new = {row["email_key"] for row in await connection.fetch(_FIRST, *ids, list(first), lines)}
    repeated = [row for row in rows if row.key not in new or first[row.key] is not row]
    if not repeated:
        return rows, []
    known = await connection.fetch(_LINES, *ids, [row.key for row in repeated])
    lines_of = {row["email_key"]: row["line"] for row in known}
    message = "The file has this address in line {} already".format
    return (
        [row for row in rows if row.key in new and first[row.key] is row],
        [refused(by_line[row.line], "repeated_email", message(lines_of[row.key]), row.key) for row in repeated],
    )


async def _write(connection: Connection, target: Target, rows: list[Row]) -> tuple[int, int, set[int]]:
    """How many were made and changed, and the lines of those that the lead has no room for."""
    if target.kind == "leads":
        leads = [row for row in rows if isinstance(row, NewLead)]
        update = target.options.on_existing == "update"
        outcome = await add_leads(connection, target.org_id, leads, actor=target.actor, update=update)
        return outcome.created, outcome.updated, set(outcome.refused)
    suppressions = [row for row in rows if isinstance(row, NewSuppression)]
    made = await suppress_many(connection, target.org_id, suppressions, source="import", actor=target.actor)
    return made, 0, set()


def _too_full(record: Record, key: str) -> Refused:
    message = f"The lead would have more than {MAX_TAGS} tags or {MAX_ATTRIBUTES} attributes"
    return refused(record, "too_many_values", message, key)

"""What may happen to a segment, and who is in it."""

from typing import Any
from uuid import UUID

from asyncpg import UniqueViolationError

from tandem.core.conditional import check_if_match
from tandem.core.db import Args, Connection
from tandem.core.errors import Conflict, NotFound
from tandem.core.ids import uuid7
from tandem.core.paging import Page
from tandem.core.saved import Saved
from tandem.market_ai.audit.service import record
from tandem.market_ai.leads.schemas import LeadFilter
from tandem.market_ai.leads.service import count_leads, list_leads
from tandem.market_ai.segments.queries import FOR_UPDATE, NOT_FOUND, TOTAL, get_segment, owned
from tandem.market_ai.segments.schemas import Preview, SegmentCreate, SegmentPatch
from tandem.market_ai.segments.sql import JSON
from tandem.market_ai.tenancy import OrgWriter

MAX_SEGMENTS = 500


class SegmentExists(Conflict):
    code, title = "segment_exists", "There is a segment with this name already"


class TooManySegments(Conflict):
    code, title = "too_many_segments", f"{MAX_SEGMENTS} segments are the most an organization can have"


async def filter_of(connection: Connection, org_id: str, segment_id: UUID) -> str:
    """For `compile_filter`; raises NotFound."""
    text: str = (await get_segment(connection, org_id, segment_id))["filter"]
    return text


async def preview(connection: Connection, org_id: str, text: str) -> Preview:
    """How many leads a filter selects at this moment."""
    row = await count_leads(connection, org_id, text)
    return Preview(leads=row["leads"], mailable=row["mailable"])


async def leads_of(connection: Connection, org_id: str, segment_id: UUID, query: LeadFilter) -> Page:
    """Raises NotFound or InvalidCursor."""
    text = await filter_of(connection, org_id, segment_id)
    return await list_leads(connection, org_id, query, also=text)


async def create_segment(writer: OrgWriter, data: SegmentCreate) -> Saved:
    """Raises SegmentExists or TooManySegments."""
    if await writer.connection.fetchval(TOTAL, writer.org_id) >= MAX_SEGMENTS:
        raise TooManySegments()
    segment_id = uuid7()
    sql = f"""INSERT INTO segments AS g (org_id, id, name, filter) VALUES ($1, $2, $3, $4)
              RETURNING {JSON} AS json, g.version"""
    row = await _named(writer.connection.fetchrow(sql, writer.org_id, segment_id, data.name, data.filter))
    await record(writer, "segment.created", "segment", segment_id, name=data.name)
    return Saved.of(row, created=True)


async def patch_segment(writer: OrgWriter, segment_id: UUID, data: SegmentPatch, if_match: str | None) -> Saved:
    """Raises SegmentExists."""
    await _lock(writer, segment_id, if_match)
    arg = Args([writer.org_id, segment_id])
    changes = data.model_dump(exclude_unset=True)
    given = ", ".join(f"{column} = {arg(value)}" for column, value in changes.items())
    sql = f"""UPDATE segments g SET {given}, version = g.version + 1, updated_at = now() {owned("g.id = $2")}
              RETURNING {JSON} AS json, g.version"""
    row = await _named(writer.connection.fetchrow(sql, *arg))
    await record(writer, "segment.updated", "segment", segment_id, fields=sorted(changes))
    return Saved.of(row)


async def delete_segment(writer: OrgWriter, segment_id: UUID, if_match: str | None) -> None:
    segment = await _lock(writer, segment_id, if_match)
    await writer.connection.execute(f"DELETE FROM segments g {owned('g.id = $2')}", writer.org_id, segment_id)
    await record(writer, "segment.deleted", "segment", segment_id, name=segment["name"])


async def _lock(writer: OrgWriter, segment_id: UUID, if_match: str | None) -> Any:
    row = await writer.connection.fetchrow(FOR_UPDATE, writer.org_id, segment_id)
    if row is None:
        raise NotFound(NOT_FOUND)
    check_if_match(if_match, row["version"])
    return row


async def _named(statement: Any) -> Any:
    try:
        return await statement
    except UniqueViolationError:
        raise SegmentExists() from None

"""What may happen to a label. A task carries the ids of its labels; deleting a label takes it off them."""

from typing import Any
from uuid import UUID

from asyncpg import UniqueViolationError

from tandem.accounts.principal import Writer
from tandem.core.conditional import check_if_match
from tandem.core.db import Args
from tandem.core.errors import Conflict, NotFound
from tandem.core.ids import uuid7
from tandem.core.saved import Saved
from tandem.momentum.changes.service import begin_write
from tandem.momentum.labels.queries import FOR_UPDATE, MISSING, ONE, owned
from tandem.momentum.labels.schemas import LabelCreate, LabelPatch
from tandem.momentum.labels.sql import JSON

MAX_LABELS = 500


class LabelExists(Conflict):
    code, title = "label_exists", "You already have a label with this name"


class TooManyLabels(Conflict):
    code, title = "too_many_labels", f"{MAX_LABELS} labels are the most one can have"


async def require_labels(writer: Writer, ids: list[UUID]) -> None:
    """Raises NotFound unless all are this user's. Call it after the change log is open, so that none goes meanwhile."""
    if ids and (missing := await writer.connection.fetchval(MISSING, writer.user_id, ids)):
        raise NotFound(f"You have no label {', '.join(map(str, missing))}")


async def create_label(writer: Writer, data: LabelCreate) -> Saved:
    await begin_write(writer)
    if data.id is not None and (row := await writer.connection.fetchrow(ONE, writer.user_id, data.id)):
        return Saved.of(row)
    if await writer.connection.fetchval(f"SELECT count(*) FROM labels l {owned()}", writer.user_id) >= MAX_LABELS:
        raise TooManyLabels()
    sql = f"""INSERT INTO labels AS l (user_id, id, name, color) VALUES ($1, $2, $3, $4)
              RETURNING {JSON} AS json, l.version"""
    row = await _named(writer.connection.fetchrow(sql, writer.user_id, data.id or uuid7(), data.name, data.color))
    return Saved.of(row, created=True)


async def patch_label(writer: Writer, label_id: UUID, data: LabelPatch, if_match: str | None) -> Saved:
    await _lock(writer, label_id, if_match)
    arg = Args([writer.user_id, label_id])
    given = ", ".join(f"{c} = {arg(v)}::text" for c, v in data.model_dump(exclude_unset=True).items())
    sql = f"UPDATE labels l SET {given} {owned('l.id = $2')} RETURNING {JSON} AS json, l.version"
    return Saved.of(await _named(writer.connection.fetchrow(sql, *arg)))


async def delete_label(writer: Writer, label_id: UUID, if_match: str | None) -> None:
    await _lock(writer, label_id, if_match)
    await writer.connection.execute(
        "UPDATE tasks SET labels = array_remove(labels, $2) WHERE user_id = $1 AND labels @> ARRAY[$2::uuid]",
        writer.user_id,
        label_id,
    )
    await writer.connection.execute(f"DELETE FROM labels l {owned('l.id = $2')}", writer.user_id, label_id)


async def _lock(writer: Writer, label_id: UUID, if_match: str | None) -> None:
    version = await writer.connection.fetchval(FOR_UPDATE, writer.user_id, label_id, writer.principal.actor)
    if version is None:
        raise NotFound("You have no label with this id")
    check_if_match(if_match, version)


async def _named(statement: Any) -> Any:
    try:
        return await statement
    except UniqueViolationError:
        raise LabelExists() from None

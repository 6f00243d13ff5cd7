"""What may happen to a brand."""

from typing import Any
from uuid import UUID

from asyncpg import UniqueViolationError

from tandem.core.conditional import check_if_match
from tandem.core.db import Args
from tandem.core.errors import Conflict, NotFound
from tandem.core.ids import uuid7
from tandem.core.saved import Saved
from tandem.market_ai.audit.service import record
from tandem.market_ai.brands.queries import FOR_REFERENCE, FOR_UPDATE, owned
from tandem.market_ai.brands.schemas import BrandCreate, BrandPatch
from tandem.market_ai.brands.sql import JSON
from tandem.market_ai.tenancy import OrgWriter


class BrandExists(Conflict):
    code, title = "brand_exists", "There is a brand with this name already"


class BrandInUse(Conflict):
    """`campaigns` says how many use it."""

    code, title = "brand_in_use", "Campaigns use this brand"


async def require_brand(writer: OrgWriter, brand_id: UUID) -> None:
    """Raises NotFound unless the organization has it; it then stays until the transaction ends."""
    if not await writer.connection.fetchval(FOR_REFERENCE, writer.org_id, brand_id):
        raise NotFound("You have no brand with this brand_id")


async def create_brand(writer: OrgWriter, data: BrandCreate) -> Saved:
    brand_id = uuid7()
    arg = Args([writer.org_id, brand_id])
    columns = {"name": data.name, **data.voice.model_dump()}
    values = ", ".join(arg(value) for value in columns.values())
    sql = f"""INSERT INTO brands AS b (org_id, id, {", ".join(columns)}) VALUES ($1, $2, {values})
              RETURNING {JSON} AS json, b.version"""
    row = await _named(writer.connection.fetchrow(sql, *arg))
    await record(writer, "brand.created", "brand", brand_id, name=data.name)
    return Saved.of(row, created=True)


async def patch_brand(writer: OrgWriter, brand_id: UUID, data: BrandPatch, if_match: str | None) -> Saved:
    await _lock(writer, brand_id, if_match)
    changes = data.model_dump(exclude_unset=True)
    changes |= changes.pop("voice", {})
    arg = Args([writer.org_id, brand_id])
    given = ", ".join(f"{column} = {arg(value)}" for column, value in changes.items())
    sql = f"""UPDATE brands b SET {given}, version = b.version + 1, updated_at = now() {owned("b.id = $2")}
              RETURNING {JSON} AS json, b.version"""
    row = await _named(writer.connection.fetchrow(sql, *arg))
    await record(writer, "brand.updated", "brand", brand_id, fields=sorted(changes))
    return Saved.of(row)


async def delete_brand(writer: OrgWriter, brand_id: UUID, if_match: str | None) -> None:
    """Archived campaigns lose it; raises BrandInUse while any other has it, whose copy its rules would then miss."""
    brand = await _lock(writer, brand_id, if_match)
    using = await writer.connection.fetchval(
        "SELECT count(*) FROM campaigns WHERE org_id = $1 AND brand_id = $2 AND status <> 'archived'",
        writer.org_id,
        brand_id,
    )
    if using:
        raise BrandInUse(f"{using} campaigns use it: give them another brand, or archive them", campaigns=using)
    await writer.connection.execute(  # the foreign key would do it too, but leave their versions as they are
        """UPDATE campaigns SET brand_id = NULL, version = version + 1, updated_at = now()
            WHERE org_id = $1 AND brand_id = $2""",
        writer.org_id,
        brand_id,
    )
    await writer.connection.execute(f"DELETE FROM brands b {owned('b.id = $2')}", writer.org_id, brand_id)
    await record(writer, "brand.deleted", "brand", brand_id, name=brand["name"])


async def _lock(writer: OrgWriter, brand_id: UUID, if_match: str | None) -> Any:
    row = await writer.connection.fetchrow(FOR_UPDATE, writer.org_id, brand_id)
    if row is None:
        raise NotFound("You have no brand with this id")
    check_if_match(if_match, row["version"])
    return row


async def _named(statement: Any) -> Any:
    try:
        return await statement
    except UniqueViolationError:
        raise BrandExists() from None

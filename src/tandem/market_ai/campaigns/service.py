"""What may happen to a campaign."""

from datetime import datetime
from typing import Any
from uuid import UUID

from tandem.core.conditional import check_if_match
from tandem.core.db import Args, Connection
from tandem.core.errors import Conflict, InvalidPayload, NotFound
from tandem.core.ids import uuid7
from tandem.core.saved import Saved
from tandem.market_ai.audit.service import record
from tandem.market_ai.brands.service import require_brand
from tandem.market_ai.campaigns import queries
from tandem.market_ai.campaigns.queries import FOR_ADDITION, FOR_CHANGE, FOR_DELETION, owned
from tandem.market_ai.campaigns.schemas import Brief, CampaignCreate, CampaignPatch
from tandem.market_ai.campaigns.sql import JSON
from tandem.market_ai.campaigns.states import CAMPAIGNS, DELETABLE, STAMPS, Move, Status
from tandem.market_ai.states import NotDeletable
from tandem.market_ai.tenancy import OrgWriter

_NOT_FOUND = "You have no campaign with this id"


class CampaignArchived(Conflict):
    code, title = "campaign_archived", "An archived campaign stays as it is"


async def read_brief(connection: Connection, org_id: str, campaign_id: UUID) -> Brief:
    """The campaign and its brand's voice, for whoever writes copy; raises NotFound."""
    return await queries.read_brief(connection, org_id, campaign_id)


async def hold_campaign(connection: Connection, org_id: str, campaign_id: UUID) -> Status:
    """Its status, which stays until the transaction ends, as does the campaign; raises NotFound."""
    status: Status | None = await connection.fetchval(FOR_ADDITION, org_id, campaign_id)
    if status is None:
        raise NotFound(_NOT_FOUND)
    return status


async def require_open(writer: OrgWriter, campaign_id: UUID) -> None:
    """For whoever adds something to the campaign; raises NotFound or CampaignArchived."""
    if await hold_campaign(writer.connection, writer.org_id, campaign_id) == "archived":
        raise CampaignArchived()


async def create_campaign(writer: OrgWriter, data: CampaignCreate) -> Saved:
    if data.brand_id is not None:
        await require_brand(writer, data.brand_id)
    _check_period(data.starts_at, data.ends_at)
    campaign_id = uuid7()
    arg = Args([writer.org_id, campaign_id])
    columns = _columns(data)
    values = ", ".join(arg(value) for value in columns.values())
    row = await writer.connection.fetchrow(
        f"""INSERT INTO campaigns AS c (org_id, id, {", ".join(columns)}) VALUES ($1, $2, {values})
            RETURNING {JSON} AS json, c.version""",
        *arg,
    )
    await record(writer, "campaign.created", "campaign", campaign_id, name=data.name, type=data.type)
    return Saved.of(row, created=True)


async def patch_campaign(writer: OrgWriter, campaign_id: UUID, data: CampaignPatch, if_match: str | None) -> Saved:
    before = await _lock(writer, FOR_CHANGE, campaign_id, if_match)
    if before["status"] == "archived":
        raise CampaignArchived()
    columns = _columns(data)
    if columns.get("brand_id") is not None:
        await require_brand(writer, columns["brand_id"])
    _check_period(columns.get("starts_at", before["starts_at"]), columns.get("ends_at", before["ends_at"]))
    row = await _update(writer, campaign_id, columns)
    await record(writer, "campaign.updated", "campaign", campaign_id, fields=sorted(data.model_fields_set))
    return Saved.of(row)


async def move_campaign(writer: OrgWriter, campaign_id: UUID, move: Move, if_match: str | None) -> Saved:
    """Raises IllegalTransition."""
    before = await _lock(writer, FOR_CHANGE, campaign_id, if_match)
    status = CAMPAIGNS.after(before["status"], move)
    row = await _update(writer, campaign_id, {"status": status}, stamp=STAMPS[move])
    action = "campaign." + STAMPS[move].removesuffix("_at")
    await record(writer, action, "campaign", campaign_id, before=before["status"], after=status)
    return Saved.of(row)


async def delete_campaign(writer: OrgWriter, campaign_id: UUID, if_match: str | None) -> None:
    """With all that belongs to it; raises NotDeletable for what is neither a draft nor archived."""
    campaign = await _lock(writer, FOR_DELETION, campaign_id, if_match)
    if campaign["status"] not in DELETABLE:
        raise NotDeletable(f"This campaign is {campaign['status']}: complete and archive it first")
    await writer.connection.execute(f"DELETE FROM campaigns c {owned('c.id = $2')}", writer.org_id, campaign_id)
    await record(writer, "campaign.deleted", "campaign", campaign_id, name=campaign["name"])


async def _lock(writer: OrgWriter, sql: str, campaign_id: UUID, if_match: str | None) -> Any:
    row = await writer.connection.fetchrow(sql, writer.org_id, campaign_id)
    if row is None:
        raise NotFound(_NOT_FOUND)
    check_if_match(if_match, row["version"])
    return row


async def _update(writer: OrgWriter, campaign_id: UUID, columns: dict[str, Any], *, stamp: str | None = None) -> Any:
    arg = Args([writer.org_id, campaign_id])
    given = [f"{column} = {arg(value)}" for column, value in columns.items()]
    given += [f"{stamp} = now()"] if stamp else []
    return await writer.connection.fetchrow(
        f"""UPDATE campaigns c SET {", ".join(given)}, version = c.version + 1, updated_at = now()
            {owned("c.id = $2")} RETURNING {JSON} AS json, c.version""",
        *arg,
    )


def _columns(data: CampaignCreate | CampaignPatch) -> dict[str, Any]:
    """The columns of the fields that were sent."""
    columns = {name: getattr(data, name) for name in type(data).model_fields if name in data.model_fields_set}
    if "budget" in columns:
        budget = columns.pop("budget")
        columns["budget_micros"] = None if budget is None else budget.micros
        columns["budget_currency"] = None if budget is None else budget.currency
    return columns | {name: columns[name] or "" for name in ("objective", "audience") if name in columns}


def _check_period(starts_at: datetime | None, ends_at: datetime | None) -> None:
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise InvalidPayload.of("ends_at", "must be after starts_at", "ends_before_it_starts")

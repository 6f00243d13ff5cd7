"""What may happen to content. Every function that changes an asset locks it first."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tandem.core.conditional import check_if_match
from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import Conflict, NotFound
from tandem.core.ids import uuid7
from tandem.core.saved import Saved
from tandem.market_ai.audit.service import record, record_system
from tandem.market_ai.campaigns.service import CampaignArchived, hold_campaign, require_open
from tandem.market_ai.content import queries
from tandem.market_ai.content.queries import COPY, FOR_CHANGE, FOR_DELETION, GENERATED, ONE, owned
from tandem.market_ai.content.schemas import (
    Action,
    ContentCreate,
    ContentPatch,
    Copy,
    GeneratedVariant,
    Inventory,
    Kind,
)
from tandem.market_ai.content.sql import JSON
from tandem.market_ai.content.states import CONTENT, DELETABLE
from tandem.market_ai.states import NotDeletable
from tandem.market_ai.tenancy import OrgWriter

_PAST: dict[Action, str] = {
    "submit": "submitted",
    "approve": "approved",
    "reject": "rejected",
    "publish": "published",
    "archive": "archived",
}
_ADD_VERSION = """
INSERT INTO content_versions
       (org_id, asset_id, number, headline, body, call_to_action, channel, citations, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9)"""
_ADD_REVIEW = """
INSERT INTO content_reviews (org_id, id, asset_id, number, action, reason, by) VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING at"""
# A variant that is there already is left as it is, and gets no second version.
_ADD_GENERATED = """
WITH given AS (
  SELECT * FROM unnest($5::uuid[], $6::smallint[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
                       $12::text[], $13::text[])
    AS g (id, variant, title, headline, body, call_to_action, channel, citations, model)),
made AS (
  INSERT INTO content_assets (org_id, id, campaign_id, kind, title, job_id, variant)
  SELECT $1, g.id, $2, $3, g.title, $4, g.variant FROM given g
      ON CONFLICT (org_id, job_id, variant) WHERE job_id IS NOT NULL DO NOTHING RETURNING id)
INSERT INTO content_versions
       (org_id, asset_id, number, headline, body, call_to_action, channel, citations, model, created_by, job_id)
SELECT $1, g.id, 1, g.headline, g.body, g.call_to_action, g.channel::jsonb, g.citations::jsonb, g.model, $14, $4
  FROM given g JOIN made USING (id) RETURNING asset_id"""


class VersionSuperseded(Conflict):
    """`current_version` is the one to read first."""

    code, title = "version_superseded", "This is not the current version"


async def inventory(connection: Connection, org_id: str, campaign_id: UUID) -> list[Inventory]:
    """How many assets the campaign has, by kind and status; empty for none."""
    return await queries.inventory(connection, org_id, campaign_id)


async def read_copy(connection: Connection, org_id: str, campaign_id: UUID, asset_id: UUID) -> Any:
    """An asset of the campaign with the texts of its current version, for whoever sends it; raises NotFound."""
    row = await connection.fetchrow(COPY, org_id, campaign_id, asset_id)
    if row is None:
        raise NotFound("This campaign has no content with this content_id")
    return row


async def create_content(writer: OrgWriter, campaign_id: UUID, data: ContentCreate) -> Saved:
    """An asset with its first version; raises NotFound or CampaignArchived."""
    await require_open(writer, campaign_id)
    asset_id = uuid7()
    await writer.connection.execute(
        "INSERT INTO content_assets (org_id, id, campaign_id, kind, title) VALUES ($1, $2, $3, $4, $5)",
        *(writer.org_id, asset_id, campaign_id, data.kind, data.title),
    )
    await _add_version(writer, asset_id, 1, data)
    row = await fetch_one(writer.connection, ONE, writer.org_id, asset_id)
    await record(writer, "content.created", "content", asset_id, campaign_id=campaign_id, kind=data.kind)
    return Saved.of(row, created=True)


async def rename_content(writer: OrgWriter, asset_id: UUID, data: ContentPatch, if_match: str | None) -> Saved:
    asset = await _lock(writer, FOR_CHANGE, asset_id, if_match)
    _require_open(asset)
    row = await _update(writer, asset_id, {"title": data.title})
    await record(writer, "content.renamed", "content", asset_id, before=asset["title"], after=data.title)
    return Saved.of(row)


async def revise_content(writer: OrgWriter, asset_id: UUID, data: Copy, if_match: str | None) -> Saved:
    """A new version, which makes the asset a draft again; raises IllegalTransition or CampaignArchived."""
    asset = await _lock(writer, FOR_CHANGE, asset_id, if_match)
    _require_open(asset)
    status = CONTENT.after(asset["status"], "revise")
    number = asset["current_version"] + 1
    await _add_version(writer, asset_id, number, data)
    row = await _update(writer, asset_id, {"status": status, "current_version": number})
    await record(writer, "content.revised", "content", asset_id, number=number, before=asset["status"])
    return Saved.of(row, created=True)


async def move_content(
    writer: OrgWriter,
    asset_id: UUID,
    action: Action,
    if_match: str | None,
    *,
    version: int | None = None,
    reason: str | None = None,
) -> Saved:
    """`version` is what the caller has seen; raises VersionSuperseded, IllegalTransition or CampaignArchived."""
    asset = await _lock(writer, FOR_CHANGE, asset_id, if_match)
    if action != "archive":  # content of an archived campaign can still be put away
        _require_open(asset)
    number = asset["current_version"]
    if version not in {None, number}:
        raise VersionSuperseded(f"The current version is {number}: read it first", current_version=number)
    status = CONTENT.after(asset["status"], action)
    at = await writer.connection.fetchval(
        _ADD_REVIEW, writer.org_id, uuid7(), asset_id, number, action, reason, writer.user_id
    )
    row = await _update(writer, asset_id, {"status": status} | _mark(action, number, writer.user_id, at, reason))
    details = {"number": number} | ({} if reason is None else {"reason": reason})
    await record(writer, f"content.{_PAST[action]}", "content", asset_id, **details)
    return Saved.of(row)


async def delete_content(writer: OrgWriter, asset_id: UUID, if_match: str | None) -> None:
    """With its versions and reviews; raises NotDeletable for what is neither a draft nor archived."""
    asset = await _lock(writer, FOR_DELETION, asset_id, if_match)
    if asset["status"] not in DELETABLE:
        raise NotDeletable(f"This asset is {asset['status']}: archive it first")
    await writer.connection.execute(f"DELETE FROM content_assets a {owned('a.id = $2')}", writer.org_id, asset_id)
    details = {name: asset[name] for name in ("title", "kind", "campaign_id")}
    await record(writer, "content.deleted", "content", asset_id, **details)


async def add_generated(
    connection: Connection,
    org_id: str,
    campaign_id: UUID,
    *,
    kind: Kind,
    variants: Sequence[GeneratedVariant],
    job_id: UUID,
    actor: str,
) -> list[UUID]:
    """A draft for each variant, in one statement; the ids of all that the job made so far, by variant number.

    Doing it again changes nothing: (job_id, number) is kept once. What was paid for is kept in an archived campaign
    too; raises NotFound when the campaign is gone. Call it in a transaction.
    """
    await hold_campaign(connection, org_id, campaign_id)
    documents = [_documents(variant) for variant in variants]
    made = await connection.fetch(
        _ADD_GENERATED,
        *(org_id, campaign_id, kind, job_id),
        [uuid7() for _ in variants],
        [v.number for v in variants],
        *([getattr(v, name) for v in variants] for name in ("title", "headline", "body", "call_to_action")),
        [channel for channel, _ in documents],
        [citations for _, citations in documents],
        [v.model for v in variants],
        actor,
    )
    if made:
        await record_system(
            connection,
            org_id,
            actor,
            "content.generated",
            object_type="campaign",
            object_id=campaign_id,
            kind=kind,
            assets=len(made),
        )
    return [row["id"] for row in await connection.fetch(GENERATED, org_id, job_id)]


async def _lock(writer: OrgWriter, sql: str, asset_id: UUID, if_match: str | None) -> Any:
    row = await writer.connection.fetchrow(sql, writer.org_id, asset_id)
    if row is None:
        raise NotFound("You have no content with this id")
    check_if_match(if_match, row["version"])
    return row


def _require_open(asset: Any) -> None:
    if asset["campaign_status"] == "archived":
        raise CampaignArchived()


def _mark(action: Action, number: int, user_id: str, at: datetime, reason: str | None) -> dict[str, Any]:
    """What else an action leaves on the asset."""
    marks: dict[Action, dict[str, Any]] = {
        "submit": {"rejection": None},
        "approve": {"approved_version": number, "approved_by": user_id, "approved_at": at},
        "reject": {"rejection": reason},
        "publish": {"published_version": number, "published_by": user_id, "published_at": at},
        "archive": {"archived_at": at},
    }
    return marks[action]


async def _add_version(writer: OrgWriter, asset_id: UUID, number: int, data: Copy) -> None:
    texts = (data.headline, data.body, data.call_to_action)
    await writer.connection.execute(
        _ADD_VERSION, writer.org_id, asset_id, number, *texts, *_documents(data), writer.user_id
    )


def _documents(data: Copy) -> tuple[str, str]:
    """`channel` and `citations` as JSON."""
    citations = [citation.model_dump(mode="json") for citation in data.citations]
    return json.dumps(data.channel, ensure_ascii=False), json.dumps(citations, ensure_ascii=False)


async def _update(writer: OrgWriter, asset_id: UUID, columns: dict[str, Any]) -> Any:
    arg = Args([writer.org_id, asset_id])
    given = ", ".join(f"{column} = {arg(value)}" for column, value in columns.items())
    return await writer.connection.fetchrow(
        f"""UPDATE content_assets a SET {given}, version = a.version + 1, updated_at = now() {owned("a.id = $2")}
            RETURNING {JSON} AS json, a.version""",
        *arg,
    )

"""Ordering a send: which copy, to whom, and a row for every mail of it, in one statement for any number of leads."""

import json
from dataclasses import asdict
from typing import Any
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import Conflict, InvalidPayload, NotFound
from tandem.market_ai.campaigns.service import hold_campaign
from tandem.market_ai.content.service import read_copy
from tandem.market_ai.leads.sql import MAILABLE, compile_filter
from tandem.market_ai.mail.language import TemplateFault
from tandem.market_ai.mail.writing import Copy, check_copy
from tandem.market_ai.sending.schemas import Composition, SendRequest
from tandem.market_ai.templates.service import layout_of

PATIENCE = 120.0  # seconds for a row for each of many leads, whatever STATEMENT_TIMEOUT is for requests
MANY = 1000  # rows after which the planner needs new statistics
_CHANNEL = ("subject", "preheader", "url")
_OF_A_LEAD = {"email", "name", "locale", "timezone", "tags"}
_AUDIENCE = "FROM leads l WHERE l.org_id = $1 AND {mailable} AND {condition}"
# A hashed set, for any number of leads and whatever the planner knows of them. The INSERT goes without: while it fills
# the table, looking there for each lead takes time that grows with the square, and its unique keys know it anyway.
_NOT_YET = """
 AND l.id NOT IN (SELECT d.lead_id FROM deliveries d
                   WHERE d.org_id = $1 AND d.campaign_id = $2 AND d.lead_id IS NOT NULL)"""
_ORDER = """
INSERT INTO sends (org_id, id, campaign_id, content_id, content_version, template_id, segment_id, filter, copy,
                   from_name, reply_to, track_opens, track_clicks, status, starts_at, timezone, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $12, $13, $14, $15, $16, $17)"""


class CampaignNotActive(Conflict):
    """`state` is the campaign's status."""

    code, title = "campaign_not_active", "Only an active campaign sends"


class ContentNotSendable(Conflict):
    code, title = "content_not_sendable", "Only an approved e-mail can be sent"


class CopyInvalid(Conflict):
    code, title = "copy_invalid", "The copy is no valid template"


class MergeFieldsMissing(Conflict):
    """`missing` has, for each field, how many leads lack it and one of them."""

    code, title = "merge_fields_missing", "Some leads lack what the mail says of them"


class AudienceEmpty(Conflict):
    code, title = "audience_empty", "There is nobody to send this to"


async def require_active(connection: Connection, org_id: str, campaign_id: UUID) -> None:
    """Raises NotFound or CampaignNotActive."""
    status = await hold_campaign(connection, org_id, campaign_id)
    if status != "active":
        raise CampaignNotActive(f"The campaign is {status}", state=status)


async def compose(connection: Connection, org_id: str, campaign_id: UUID, data: Composition) -> tuple[Copy, int]:
    """The mail as it is now, and the number of the content's version. Raises NotFound, ContentNotSendable, CopyInvalid.

    A channel field `url` is where the call to action leads, `subject` and `preheader` are what they say.
    """
    found = await read_copy(connection, org_id, campaign_id, data.content_id)
    if found["kind"] != "email" or found["status"] not in {"approved", "published"}:
        raise ContentNotSendable(f"This content is of kind {found['kind']}, and {found['status']}")
    channel = json.loads(found["channel"])
    texts = {name: value if isinstance(value := channel.get(name), str) else "" for name in _CHANNEL}
    copy = Copy(
        subject=texts["subject"] or found["headline"] or found["title"],
        preheader=texts["preheader"],
        headline=found["headline"],
        body=found["body"],
        call_to_action=found["call_to_action"],
        url=texts["url"],
        layout=await layout_of(connection, org_id, data.template_id),
    )
    try:
        check_copy(copy)
        _check_fields(copy)
    except TemplateFault as fault:
        raise CopyInvalid(str(fault)) from None
    return copy, found["number"]


async def plan(  # noqa: PLR0917 - what a send is made of
    connection: Connection, org_id: str, campaign_id: UUID, send_id: UUID, data: SendRequest, actor: str
) -> int:
    """The send and its deliveries; how many these are. Raises NotFound, InvalidPayload and the conflicts above."""
    await require_active(connection, org_id, campaign_id)
    copy, version = await compose(connection, org_id, campaign_id, data)
    audience, arg = await _audience(connection, org_id, data, Args([org_id, campaign_id]))
    await _require_fields(connection, copy, audience + _NOT_YET, Args(arg))
    starts_at = data.schedule.instant if data.schedule else None
    await connection.execute(
        _ORDER,
        *(org_id, send_id, campaign_id, data.content_id, version, data.template_id, data.segment_id, data.filter),
        *(json.dumps(asdict(copy)), data.from_name, data.reply_to, data.track_opens, data.track_clicks),
        *("scheduled" if starts_at else "sending", starts_at, data.schedule.timezone if data.schedule else None, actor),
    )
    # Who has had a mail of the campaign, or is to have one, gets no other.
    sql = f"""
INSERT INTO deliveries (org_id, send_id, campaign_id, lead_id, email_key, domain, next_try_at)
SELECT l.org_id, {arg(send_id)}, $2, l.id, l.email_key, split_part(l.email_key, '@', 2),
       greatest({arg(starts_at)}::timestamptz, now()) {audience} ON CONFLICT DO NOTHING"""
    await connection.execute(f"SET LOCAL statement_timeout = '{PATIENCE:.0f}s'")
    planned = int((await connection.execute(sql, *arg, timeout=PATIENCE + 5)).rpartition(" ")[2])
    if not planned:
        raise AudienceEmpty("Nobody may be written to, or everybody has had a mail of this campaign")
    await connection.execute("UPDATE sends SET planned = $3 WHERE org_id = $1 AND id = $2", org_id, send_id, planned)
    if planned >= MANY:
        await connection.execute("ANALYZE deliveries")
    return planned


async def _audience(connection: Connection, org_id: str, data: SendRequest, arg: Args) -> tuple[str, Args]:
    """FROM and WHERE over leads `l`, whose $1 and $2 are organization and campaign."""
    text = data.filter
    if data.segment_id is not None:
        text = await connection.fetchval(
            "SELECT filter FROM segments WHERE org_id = $1 AND id = $2", org_id, data.segment_id
        )
        if text is None:
            raise NotFound("You have no segment with this segment_id")
    condition = "true"
    if text is not None:
        try:
            condition, arg = compile_filter(text, arg)
        except ValueError as error:  # FilterError, which says where
            raise InvalidPayload.of("filter", str(error), "invalid_filter") from None
    return _AUDIENCE.format(mailable=MAILABLE, condition=condition), arg


def _check_fields(copy: Copy) -> None:
    for path in copy.fields():
        if path[0] not in _OF_A_LEAD and path[0] != "attributes":
            raise TemplateFault(f"a lead has no {path[0]}; what you keep of leads is in lead.attributes")


async def _require_fields(connection: Connection, copy: Copy, audience: str, arg: Args) -> None:
    """Raises MergeFieldsMissing, so that it is not found out when half of the mails are gone."""
    fields = sorted(path for path in copy.fields() if path[0] not in {"email", "tags"} and path != ("attributes",))
    if not fields:
        return
    shown = []
    for path in fields:
        value = f"l.attributes #>> {arg(list(path[1:]))}::text[]" if path[0] == "attributes" else f"l.{path[0]}"
        lacking = f"FILTER (WHERE nullif({value}, '') IS NULL)"
        shown.append(f"count(*) {lacking}, min(l.id::text) {lacking}")
    row = await fetch_one(connection, f"SELECT {', '.join(shown)} {audience}", *arg)
    missing: list[dict[str, Any]] = [
        {"field": ".".join(path), "leads": row[2 * index], "example": row[2 * index + 1]}
        for index, path in enumerate(fields)
        if row[2 * index]
    ]
    if missing:
        named = "; ".join(f"{one['leads']} have no {one['field']}" for one in missing)
        raise MergeFieldsMissing(
            f"{named}. Write what to say instead: {{{{ lead.… | default('…') }}}}", missing=missing
        )

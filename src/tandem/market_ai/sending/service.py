"""What may happen to sends and deliveries, and what is heard of the latter."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from tandem.core.conditional import check_if_match
from tandem.core.db import Connection, fetch_one
from tandem.core.errors import Conflict, NotFound
from tandem.core.ids import uuid7
from tandem.core.jobs import enqueue
from tandem.core.saved import Saved
from tandem.market_ai.audit.service import record, record_system
from tandem.market_ai.campaigns.service import require_open
from tandem.market_ai.mail.language import MergeFault
from tandem.market_ai.mail.links import PREVIEW
from tandem.market_ai.mail.writing import SAMPLE, Copy, Frame, NoUnsubscribeLink, Writer, Written
from tandem.market_ai.sender import Sender
from tandem.market_ai.sending.links import url_of
from tandem.market_ai.sending.planning import CopyInvalid, compose, plan
from tandem.market_ai.sending.queries import DELIVERY_FOR_CHANGE, FOR_CHANGE, ONE, get_delivery, get_lead
from tandem.market_ai.sending.schemas import (
    Composition,
    PreviewOut,
    PreviewRequest,
    Resolution,
    SendEmail,
    SendRequest,
    SendTestMail,
    TrialOut,
    TrialRequest,
)
from tandem.market_ai.sending.states import PAST, SENDS, Move
from tandem.market_ai.suppressions.schemas import Reason
from tandem.market_ai.suppressions.service import suppress
from tandem.market_ai.tenancy import OrgWriter

HEARD: dict[str, str] = {  # the column that keeps when it was first heard
    "delivered": "delivered_at",
    "bounced": "bounced_at",
    "complained": "complained_at",
    "opened": "opened_at",
    "clicked": "clicked_at",
    "unsubscribed": "unsubscribed_at",
}
_SUPPRESSES: dict[str, Reason] = {"bounced": "bounced", "complained": "complained", "unsubscribed": "unsubscribed"}
_ADDRESSES = """
SELECT d.email_key, l.email_key AS present_key
  FROM deliveries d LEFT JOIN leads l ON l.org_id = d.org_id AND l.id = d.lead_id WHERE d.org_id = $1 AND d.id = $2"""
_EVENT = """
INSERT INTO delivery_events (org_id, id, delivery_id, kind, source, external_id, bot, detail, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()))
    ON CONFLICT (org_id, delivery_id, source, external_id) DO NOTHING RETURNING at"""
_OWNER = """
SELECT d.org_id, d.state, d.email_key, d.settled_at, d.send_id FROM deliveries d WHERE d.id = $1"""
_RESOLVED = {"accepted": "accepted", "not_sent": "failed", "send_again": "planned"}


class DeliveryNotUnknown(Conflict):
    """`state` is the delivery's."""

    code, title = "delivery_not_unknown", "The outcome of this delivery is known"


async def start_send(writer: OrgWriter, campaign_id: UUID, data: SendRequest) -> Saved:
    """Orders a send and the job that carries it out. Raises NotFound, InvalidPayload and what `plan` raises."""
    send_id = uuid7()
    planned = await plan(writer.connection, writer.org_id, campaign_id, send_id, data, writer.principal.actor)
    run_at = data.schedule.instant if data.schedule else None
    await enqueue_send(writer.connection, writer.org_id, campaign_id, send_id, run_at)
    row = await fetch_one(writer.connection, ONE, writer.org_id, send_id)
    await record(writer, "send.ordered", "send", send_id, campaign_id=campaign_id, planned=planned, run_at=run_at)
    return Saved.of(row, created=True)


async def enqueue_send(
    connection: Connection, org_id: str, campaign_id: UUID, send_id: UUID, run_at: datetime | None = None
) -> UUID:
    """The job that carries a send out; there is one at a time. The caller has the send's row locked."""
    payload = SendEmail(campaign_id=campaign_id, send_id=send_id)
    job_id = await enqueue(connection, payload, owner=org_id, run_at=run_at, dedupe_key=f"send:{send_id}")
    await connection.execute("UPDATE sends SET job_id = $3 WHERE org_id = $1 AND id = $2", org_id, send_id, job_id)
    return job_id


async def move_send(writer: OrgWriter, send_id: UUID, move: Move, if_match: str | None) -> Saved:
    """Raises IllegalTransition. A mail that is being handed over at this moment is, whatever happens to its send."""
    before = await writer.connection.fetchrow(FOR_CHANGE, writer.org_id, send_id)
    if before is None:
        raise NotFound("You have no send with this id")
    check_if_match(if_match, before["version"])
    status = SENDS.after(before["status"], move)
    if move == "resume" and before["early"]:
        status = "scheduled"
    await writer.connection.execute(
        """UPDATE sends SET status = $3, version = version + 1, updated_at = now(),
               finished_at = CASE WHEN $3 = 'cancelled' THEN now() END WHERE org_id = $1 AND id = $2""",
        *(writer.org_id, send_id, status),
    )
    if move == "cancel":
        await cancel_deliveries(writer.connection, writer.org_id, send_id)
    elif move == "resume":
        await enqueue_send(writer.connection, writer.org_id, before["campaign_id"], send_id, before["starts_at"])
    await record(writer, f"send.{PAST[move]}", "send", send_id, before=before["status"], after=status)
    return Saved.of(await fetch_one(writer.connection, ONE, writer.org_id, send_id))


async def cancel_deliveries(connection: Connection, org_id: str, send_id: UUID) -> None:
    """Those that were not handed over. A worker that has one in hand finds it gone."""
    await connection.execute(
        """UPDATE deliveries SET state = 'cancelled', settled_at = now()
            WHERE org_id = $1 AND send_id = $2 AND state IN ('planned', 'claimed')""",
        *(org_id, send_id),
    )


async def resolve_delivery(writer: OrgWriter, delivery_id: UUID, data: Resolution, domain: str) -> str:
    """What a person knows of a delivery that is `unknown`; raises NotFound or DeliveryNotUnknown."""
    connection, org_id = writer.connection, writer.org_id
    send_id = await connection.fetchval(
        "SELECT send_id FROM deliveries WHERE org_id = $1 AND id = $2", org_id, delivery_id
    )
    send = await connection.fetchrow(FOR_CHANGE, org_id, send_id) if send_id is not None else None
    before = await connection.fetchrow(DELIVERY_FOR_CHANGE, org_id, delivery_id)
    if before is None or send is None:
        raise NotFound("You have no delivery with this id")
    if before["state"] != "unknown":
        raise DeliveryNotUnknown(f"Its state is {before['state']}", state=before["state"])
    state = _RESOLVED[data.outcome]
    if state == "planned" and send["status"] == "cancelled":
        raise DeliveryNotUnknown("Its send was cancelled: nothing of it is sent again", state=before["state"])
    await connection.execute(
        """UPDATE deliveries SET state = $3, reason = CASE WHEN $3 = 'failed' THEN 'not_sent' END, resolved_by = $4,
               note = nullif($5, ''), next_try_at = now(), claimed_by = NULL, claimed_attempt = NULL,
               settled_at = CASE WHEN $3 = 'planned' THEN NULL ELSE now() END WHERE org_id = $1 AND id = $2""",
        *(org_id, delivery_id, state, writer.user_id, data.note),
    )
    if state == "planned":
        await _reopen(writer, before["campaign_id"], send_id, send["status"])
    await record(writer, "delivery.resolved", "delivery", delivery_id, outcome=data.outcome)
    return await get_delivery(connection, org_id, delivery_id, domain)


async def _reopen(writer: OrgWriter, campaign_id: UUID, send_id: UUID, status: str) -> None:
    if status == "completed":
        await writer.connection.execute(
            """UPDATE sends SET status = 'sending', finished_at = NULL, version = version + 1, updated_at = now()
                WHERE org_id = $1 AND id = $2""",
            *(writer.org_id, send_id),
        )
    if status in {"completed", "sending"}:
        await enqueue_send(writer.connection, writer.org_id, campaign_id, send_id)


async def preview(
    connection: Connection, org_id: str, campaign_id: UUID, data: PreviewRequest, sender: Sender
) -> PreviewOut:
    """Raises NotFound, ContentNotSendable, CopyInvalid."""
    copy, _ = await compose(connection, org_id, campaign_id, data)
    lead = SAMPLE if data.lead_id is None else json.loads(await get_lead(connection, org_id, data.lead_id))
    name = await connection.fetchval("SELECT name FROM campaigns WHERE org_id = $1 AND id = $2", org_id, campaign_id)
    written = write_preview(copy, lead, name, data, sender)
    fields = sorted(".".join(path) for path in copy.fields())
    return PreviewOut(subject=written.subject, html=written.html, text=written.text, required_fields=fields)


def write_preview(copy: Copy, lead: dict[str, Any], campaign: str, data: Composition, sender: Sender) -> Written:
    """Raises CopyInvalid, also for a lead that lacks what the mail says of it."""
    mailbox = sender.mailbox.named(data.from_name)
    frame = Frame(campaign, mailbox.name, mailbox.address, sender.postal_address, sender.links.unsubscribe(PREVIEW))
    try:
        return Writer(copy).write(lead, frame)
    except (MergeFault, NoUnsubscribeLink) as fault:
        raise CopyInvalid(str(fault)) from None


async def send_trial(writer: OrgWriter, campaign_id: UUID, data: TrialRequest, sender: Sender) -> TrialOut:
    """Queues the mail to some addresses, marked as a test. Raises as `preview` does."""
    await require_open(writer, campaign_id)
    await preview(writer.connection, writer.org_id, campaign_id, data, sender)
    request = data.model_dump(mode="json")
    job_id = await enqueue(
        writer.connection, SendTestMail(campaign_id=campaign_id, request=request), owner=writer.org_id
    )
    await record(writer, "send.tested", "campaign", campaign_id, content_id=data.content_id, to=len(data.to))
    return TrialOut(job_id=job_id, to=data.to)


async def find_delivery(connection: Connection, delivery_id: UUID) -> Any:
    """A record of `org_id`, `state`, `email_key`, `settled_at` and `send_id`, or None."""
    return await connection.fetchrow(_OWNER, delivery_id)


async def hear(  # noqa: PLR0917 - what an event is made of
    connection: Connection,
    org_id: str,
    delivery_id: UUID,
    kind: str,
    source: str,
    external_id: str,
    *,
    at: datetime | None = None,
    detail: str | None = None,
    bot: bool = False,
) -> bool:
    """Keep what was heard of a delivery, and do what follows from it; False when it had been heard before.

    A hard bounce, a complaint and an unsubscription suppress the address in this transaction. What only a mail that
    arrived can cause settles one whose outcome was unknown.
    """
    row = await connection.fetchrow(_ADDRESSES, org_id, delivery_id)
    if row is None:
        return False
    if (reason := _SUPPRESSES.get(kind)) is not None:  # before the delivery: a hand-over locks the lead first
        await _suppress(connection, org_id, delivery_id, row, reason, source)
    event = (org_id, uuid7(), delivery_id, kind, source, external_id[:200], bot, detail and detail[:500], at)
    heard = await connection.fetchval(_EVENT, *event)
    if heard is None:
        return False
    if (column := HEARD.get(kind)) is not None and not bot:
        await connection.execute(
            f"""UPDATE deliveries SET {column} = coalesce({column}, $3),
                    state = CASE WHEN state = 'unknown' THEN 'accepted' ELSE state END,
                    settled_at = CASE WHEN state = 'unknown' THEN now() ELSE settled_at END
                 WHERE org_id = $1 AND id = $2""",
            *(org_id, delivery_id, heard),
        )
    return True


async def _suppress(  # noqa: PLR0917 - what a suppression is made of
    connection: Connection, org_id: str, delivery_id: UUID, row: Any, reason: Reason, source: str
) -> None:
    """The address that was written to; and that of a lead who changed it since and wants no more mail."""
    keys = {row["email_key"]} if reason == "bounced" else {row["email_key"], row["present_key"]}
    actor = f"service:{source}"
    for key in sorted(keys - {None}):
        if await suppress(connection, org_id, key, reason, source=source, actor=actor):
            what = {"object_type": "delivery", "object_id": str(delivery_id)}
            await record_system(connection, org_id, actor, "suppression.added", **what, reason=reason)


async def tracked_url(connection: Connection, org_id: str, send_id: UUID, number: int) -> str | None:
    """Where a link led before it was tracked; None for a number that the send does not have."""
    return await url_of(connection, org_id, send_id, number)

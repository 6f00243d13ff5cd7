"""`send_email`: carries a send out until nothing of it is due. Beside it test mails, and what puts right what was left.

A send has one job at a time. It ends when the send is over or paused, when the mails that are left have to wait, or
after ten minutes; the next one is enqueued in the transaction that ends it.
"""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from tandem.core.db import Connection
from tandem.core.errors import Problem
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.errors import JobFailed, RetryJob
from tandem.core.jobs.registry import Backoff, handles
from tandem.core.mail import MailError
from tandem.market_ai.audit.service import record_system
from tandem.market_ai.mail.language import TemplateFault
from tandem.market_ai.mail.links import PREVIEW
from tandem.market_ai.mail.message import Envelope, build
from tandem.market_ai.mail.writing import SAMPLE, Written
from tandem.market_ai.sender import MailNotConfigured, Sender, sender_of
from tandem.market_ai.sending.hand import SWEEP, Hand
from tandem.market_ai.sending.letters import READ, Letters
from tandem.market_ai.sending.pace import Pace
from tandem.market_ai.sending.planning import compose, plan
from tandem.market_ai.sending.run import Run, ServerUnusable
from tandem.market_ai.sending.schemas import (
    SendEmail,
    SendRequest,
    SendTestMail,
    SweepDeliveries,
    TrialRequest,
)
from tandem.market_ai.sending.service import cancel_deliveries, enqueue_send, write_preview
from tandem.market_ai.settings import market_ai_settings

RETRY = Backoff(timedelta(minutes=1), 2.0, timedelta(hours=4))  # of a mail that the server does not want yet
UNREACHABLE = Backoff(timedelta(seconds=15), 2.0, timedelta(minutes=10))  # of a job without a mail server
SOON = 5.0  # seconds that are waited for within a job
A_MOMENT = 0.25  # seconds, when nothing could be claimed
LATER = timedelta(minutes=1)  # when another run has the rest in hand
_START = """
UPDATE sends SET status = 'sending', version = version + 1, updated_at = now()
 WHERE org_id = $1 AND id = $2 AND status = 'scheduled' AND starts_at <= now() + interval '1 second'"""
_LOCK = "SELECT status FROM sends WHERE org_id = $1 AND id = $2 FOR NO KEY UPDATE"
_END = """
UPDATE sends SET status = $3, finished_at = now(), version = version + 1, updated_at = now()
 WHERE org_id = $1 AND id = $2 AND finished_at IS NULL"""
_PAUSE = """
UPDATE sends SET status = 'paused', version = version + 1, updated_at = now()
 WHERE org_id = $1 AND id = $2 AND status IN ('scheduled', 'sending')"""
_LEFT = """
SELECT s.org_id, s.id, s.campaign_id, s.status, s.starts_at, c.status AS campaign, j.status AS job
  FROM sends s JOIN campaigns c ON c.org_id = s.org_id AND c.id = s.campaign_id LEFT JOIN jobs j ON j.id = s.job_id
 WHERE s.finished_at IS NULL AND (j.id IS NULL OR j.status NOT IN ('queued', 'running'))
   AND (c.status IN ('completed', 'archived') OR s.status <> 'paused' AND c.status = 'active'
        AND coalesce(j.status, '') NOT IN ('failed', 'held'))
 ORDER BY s.id LIMIT 200"""
_OVER = {"completed", "archived"}


@handles(SendEmail, retries=100, timeout=timedelta(hours=1), profile="bulk", backoff=UNREACHABLE)
async def send_email(job: JobContext, order: SendEmail) -> None:
    settings, org_id = market_ai_settings(job.settings), str(job.owner)
    try:
        sender = sender_of(settings)
        send_id = order.send_id or await _ordered(job, order)
    except Problem as problem:
        raise _failed(problem) from None
    hand = Hand(org_id, send_id, job.id, job.attempt)
    async with job.database.connection() as connection:
        send = await connection.fetchrow(READ, org_id, send_id)
        if send is None:
            raise JobFailed("the campaign was deleted", code="campaign_gone")
        await connection.execute(_START, org_id, send_id)
        await hand.recover(connection)
        planned = (await hand.standing(connection))["planned"]
    try:
        letters = Letters.of(send, sender)
    except TemplateFault as fault:
        raise JobFailed(str(fault), code="copy_invalid") from None
    pace = Pace(settings.mail_rate, settings.mail_domain_rate)
    run = Run(job, hand, letters, pace, lanes=settings.smtp_connections, planned=planned, retry=RETRY)
    try:
        while not await run.ask(lambda c: _ended(c, job, run, order.campaign_id)):
            if not await run.hand_over():
                await asyncio.sleep(A_MOMENT)
    except ServerUnusable as error:
        raise RetryJob(str(error), after=UNREACHABLE.delay(job.failures + 1), code="mail_server_unusable") from None


async def _ordered(job: JobContext, order: SendEmail) -> UUID:
    """The send of a message of the inbox: ordered once, under the id of its job. Raises a Problem."""
    request = SendRequest.model_validate(order.request or {})
    org_id = str(job.owner)
    async with job.database.connection() as connection, connection.transaction():
        if not await connection.fetchval("SELECT true FROM sends WHERE org_id = $1 AND id = $2", org_id, job.id):
            actor = f"job:{job.id}"
            planned = await plan(connection, org_id, order.campaign_id, job.id, request, actor)
            await connection.execute("UPDATE sends SET job_id = id WHERE org_id = $1 AND id = $2", org_id, job.id)
            about = {"campaign_id": order.campaign_id, "planned": planned}
            await record_system(
                connection, org_id, actor, "send.ordered", object_type="send", object_id=job.id, **about
            )
    return job.id


async def _ended(connection: Connection, job: JobContext, run: Run, campaign_id: UUID) -> bool:
    """Ends the job when there is nothing for it to do, with what follows from that; False when there is."""
    hand = run.hand
    async with connection.transaction():
        await connection.execute(_LOCK, hand.org_id, hand.send_id)
        now = await hand.standing(connection)
        goes_on = now["status"] == "sending" and now["campaign"] == "active"
        if goes_on and now["waiting"] and now["due_in"] <= SOON and not run.over:
            return False
        status, again = now["status"], None
        if now["campaign"] in _OVER and status != "cancelled":
            status = "cancelled"
            await cancel_deliveries(connection, hand.org_id, hand.send_id)
            await connection.execute(_END, hand.org_id, hand.send_id, status)
        elif not now["waiting"] and not now["in_hand"]:
            status = status if status == "cancelled" else "completed"
            await connection.execute(_END, hand.org_id, hand.send_id, status)
        elif goes_on or status == "scheduled":
            again = timedelta(seconds=max(0.0, now["due_in"])) if now["waiting"] else LATER
        result = {"send_id": str(hand.send_id), "status": status, "accepted": now["accepted"]}
        await job.finish_in(connection, result | {"waiting": now["waiting"]})
        if again is not None:
            await _continue(connection, hand, campaign_id, again)
    return True


async def _continue(connection: Connection, hand: Hand, campaign_id: UUID, wait: timedelta) -> None:
    run_at = await connection.fetchval("SELECT clock_timestamp() + $1::interval", wait)
    await enqueue_send(connection, hand.org_id, campaign_id, hand.send_id, run_at)


@handles(SendTestMail, retries=3, timeout=timedelta(minutes=10), profile="bulk")
async def send_test_mail(job: JobContext, order: SendTestMail) -> dict[str, Any]:
    """Each address is written to once, unless the worker dies in that moment."""
    data = TrialRequest.model_validate(order.request)
    org_id, settings = str(job.owner), market_ai_settings(job.settings)
    try:
        sender = sender_of(settings)
        async with job.database.connection() as connection:
            copy, _ = await compose(connection, org_id, order.campaign_id, data)
            written = write_preview(copy, SAMPLE, "", data, sender)
            suppressed = await connection.fetch(
                "SELECT email_key FROM suppressions WHERE org_id = $1 AND email_key = ANY($2::text[])",
                *(org_id, [address.lower() for address in data.to]),
            )
    except Problem as problem:
        raise _failed(problem) from None
    left_out = {row["email_key"] for row in suppressed}
    for address in data.to:
        if address.lower() not in left_out:
            await job.step(f"to {address}", lambda to=address: _try(job.id, sender, data, written, to))  # type: ignore[misc]
    return {"sent": len(data.to) - len(left_out), "suppressed": len(left_out)}


async def _try(job_id: UUID, sender: Sender, data: TrialRequest, written: Written, to: str) -> str:
    """The server's words. Raises JobFailed when it refuses for good, and MailError."""
    number, link = uuid5(job_id, to), sender.links.unsubscribe(PREVIEW)
    envelope = Envelope(number, sender.mailbox.named(data.from_name), to, data.reply_to, "test", link)
    message = build(envelope, Written(f"[Test] {written.subject}", written.html, written.text))
    if sender.signer is not None:
        message = sender.signer.signed(message)
    async with sender.mailer.connection() as server:
        try:
            await server.begin(sender.return_path(str(number)), to)
            return await server.deliver(message)
        except MailError as error:
            if getattr(error, "permanent", False):
                raise JobFailed(str(error), code="mail_refused") from None
            raise


@handles(SweepDeliveries, retries=3, timeout=timedelta(minutes=10), concurrency=1)
async def sweep_deliveries(job: JobContext, _: SweepDeliveries) -> dict[str, int]:
    """What a worker left that never came back; and sends that have something to do and no job that does it."""
    async with job.database.connection() as connection:
        orphans = int((await connection.execute(SWEEP)).rpartition(" ")[2])
        left = await connection.fetch(_LEFT)
        await connection.execute("DELETE FROM mail_pace WHERE next_at < now() - interval '1 hour'")
    for send in left:
        async with job.database.connection() as connection, connection.transaction():
            await _put_right(connection, send)
    return {"orphans": orphans, "sends": len(left)}


async def _put_right(connection: Connection, send: Any) -> None:
    org_id, send_id = send["org_id"], send["id"]
    if await connection.fetchval(_LOCK, org_id, send_id) != send["status"]:
        return
    if send["campaign"] in _OVER:
        await cancel_deliveries(connection, org_id, send_id)
        await connection.execute(_END, org_id, send_id, "cancelled")
    elif send["job"] == "cancelled":  # who cancels the job of a send wants it to stop
        await connection.execute(_PAUSE, org_id, send_id)
    else:
        await enqueue_send(connection, org_id, send["campaign_id"], send_id, send["starts_at"])


def _failed(problem: Problem) -> Exception:
    if isinstance(problem, MailNotConfigured):
        return RetryJob(problem.detail, after=timedelta(minutes=10), code=problem.code)
    return JobFailed(problem.detail, code=problem.code)

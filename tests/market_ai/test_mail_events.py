"""What providers say of mails, believed only when it is signed, and what follows from it."""

import json
from typing import Any

import httpx2
import pytest

from tandem.market_ai.settings import MarketAiSettings
from tests.conformance import mail_requests
from tests.conformance.operations import Sent
from tests.market_ai.conftest import MakeMember, Member
from tests.market_ai.mailing import deliveries, make_leads, make_mail, order
from tests.market_ai.making import connected

OURS, SENDGRID, MAILGUN = "/api/mail/events", "/api/mail/events/sendgrid", "/api/mail/events/mailgun"


@pytest.fixture
def market_settings(market_settings: MarketAiSettings) -> MarketAiSettings:
    return market_settings.model_copy(update=mail_requests.SETTINGS)


async def a_delivery(market: httpx2.AsyncClient, ada: Member, url: str, state: str = "accepted") -> str:
    await make_leads(url, ada.org_id, "reader@a.test")
    campaign, content = await make_mail(market, ada)
    (delivery,) = await deliveries(market, ada, await order(market, ada, campaign, content))
    async with connected(url) as connection:
        for step in ("claimed", "handed_off", state):
            await connection.execute("UPDATE deliveries SET state = $1, claimed_by = gen_random_uuid()", step)
    return str(delivery["id"])


async def tell(market: httpx2.AsyncClient, path: str, sent: Sent) -> httpx2.Response:
    body = json.dumps(sent.body).encode()
    return await market.post(path, content=body, headers={"Content-Type": "application/json", **sent.header})


async def heard(url: str) -> tuple[list[str], list[str], str]:
    """Kinds of events, reasons of suppressions, and the delivery's state."""
    async with connected(url) as connection:
        events = await connection.fetch("SELECT kind FROM delivery_events ORDER BY kind")
        reasons = await connection.fetch("SELECT reason FROM suppressions")
        state = await connection.fetchval("SELECT state FROM deliveries")
    return [row["kind"] for row in events], [row["reason"] for row in reasons], state


@pytest.mark.parametrize(
    ("path", "make", "event", "kind", "reason"),
    [
        (OURS, mail_requests.ours, {"type": "bounced", "detail": "no such user"}, "bounced", "bounced"),
        (OURS, mail_requests.ours, {"type": "deferred"}, "deferred", None),
        (
            SENDGRID,
            mail_requests.sendgrid,
            {"event": "bounce", "type": "bounce", "reason": "550"},
            "bounced",
            "bounced",
        ),
        (SENDGRID, mail_requests.sendgrid, {"event": "bounce", "type": "blocked"}, "deferred", None),
        (SENDGRID, mail_requests.sendgrid, {"event": "spamreport"}, "complained", "complained"),
        (MAILGUN, mail_requests.mailgun, {"event": "failed", "severity": "permanent"}, "bounced", "bounced"),
        (MAILGUN, mail_requests.mailgun, {"event": "failed", "severity": "temporary"}, "deferred", None),
        (MAILGUN, mail_requests.mailgun, {"event": "complained"}, "complained", "complained"),
        (MAILGUN, mail_requests.mailgun, {"event": "unsubscribed"}, "unsubscribed", "unsubscribed"),
    ],
)
async def test_a_hard_bounce_or_a_complaint_suppresses_and_a_repetition_changes_nothing(  # noqa: PLR0917 - parameters
    market: httpx2.AsyncClient, member: MakeMember, market_url: str,
    path: str, make: Any, event: dict[str, Any], kind: str, reason: str | None,
) -> None:  # fmt: skip
    delivery = await a_delivery(market, await member(), market_url)
    sent = make(delivery, **event)
    answer = await tell(market, path, sent)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "repeated": 0, "ignored": 0})
    again = await tell(market, path, sent)
    assert again.json() == {"accepted": 0, "repeated": 1, "ignored": 0}
    assert await heard(market_url) == ([kind], [reason] if reason else [], "accepted")


async def test_what_only_a_mail_that_arrived_can_cause_settles_an_unknown_outcome(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str
) -> None:
    delivery = await a_delivery(market, await member(), market_url, "unknown")
    await tell(market, OURS, mail_requests.ours(delivery, type="deferred"))
    assert (await heard(market_url))[2] == "unknown"
    await tell(market, OURS, mail_requests.ours(delivery))
    assert (await heard(market_url))[2] == "accepted"


@pytest.mark.parametrize(
    ("path", "make"),
    [(OURS, mail_requests.ours), (SENDGRID, mail_requests.sendgrid), (MAILGUN, mail_requests.mailgun)],
)
async def test_what_is_not_signed_by_its_sender_is_not_believed(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str, path: str, make: Any
) -> None:
    delivery = await a_delivery(market, await member(), market_url)
    body = make(delivery).body
    for header in ({}, dict.fromkeys(make(delivery).header, "1")):
        if path != MAILGUN:
            assert (await tell(market, path, Sent(body=body, header=header))).status_code == 403
    wrong = make(delivery)
    if path == MAILGUN:
        for field, value in {"token": "x", "timestamp": "1", "signature": "é"}.items():
            signature = wrong.body["signature"] | {field: value}
            assert (await tell(market, path, Sent(body=wrong.body | {"signature": signature}))).status_code == 403
    else:
        old = {name: "1700000000" if "imestamp" in name else value for name, value in wrong.header.items()}
        assert (await tell(market, path, Sent(body=wrong.body, header=old))).status_code == 403
        changed = json.loads(json.dumps(wrong.body).replace("delivered", "bounced"))
        assert (await tell(market, path, Sent(body=changed, header=wrong.header))).status_code == 403
    for raw in (b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000):
        assert (await market.post(path, content=raw)).status_code == 403
    assert await heard(market_url) == ([], [], "accepted")


async def test_without_its_key_an_address_accepts_nothing(market_settings: MarketAiSettings, market_url: str) -> None:
    from tandem.market_ai.main import build

    app = build(market_settings.model_copy(update=dict.fromkeys(mail_requests.SETTINGS)))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as market,
    ):
        for path in (OURS, SENDGRID, MAILGUN):
            assert (await market.post(path, content=b"{}")).status_code == 404


async def test_a_bounce_message_is_understood(market: httpx2.AsyncClient, member: MakeMember, market_url: str) -> None:
    delivery = await a_delivery(market, await member(), market_url)
    soft = report(delivery, "failed", "5.2.2", "smtp; 552 5.2.2 mailbox full")
    told = await tell(market, OURS, mail_requests.ours(delivery, type="report", message_id=None, report=soft))
    assert told.json()["accepted"] == 1
    assert await heard(market_url) == (["deferred"], [], "accepted")
    hard = report(None, "failed", "5.1.1", "smtp; 550 5.1.1 no such user", to=f"bounces+{delivery}@bakery.test")
    told = await tell(market, OURS, mail_requests.ours(delivery, type="report", message_id=None, report=hard))
    assert told.json()["accepted"] == 1
    assert await heard(market_url) == (["bounced", "deferred"], ["bounced"], "accepted")


async def test_a_complaint_of_a_mailbox_provider_is_understood(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str
) -> None:
    delivery = await a_delivery(market, await member(), market_url)
    complaint = report(delivery, "", "", "", kind="feedback-report")
    told = await tell(market, OURS, mail_requests.ours(delivery, type="report", message_id=None, report=complaint))
    assert told.json()["accepted"] == 1
    assert await heard(market_url) == (["complained"], ["complained"], "accepted")


@pytest.mark.parametrize(
    "raw", ["", "no mail at all", "Content-Type: multipart/report\n\n--", "From: a\n\nhello", "\ud83d"]
)
async def test_a_report_that_is_none_is_ignored(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str, raw: str
) -> None:
    delivery = await a_delivery(market, await member(), market_url)
    told = await tell(market, OURS, mail_requests.ours(delivery, type="report", message_id=None, report=raw))
    assert told.status_code in {200, 400}
    assert told.status_code == 400 or told.json() == {"accepted": 0, "repeated": 0, "ignored": 1}
    assert await heard(market_url) == ([], [], "accepted")


def report(
    delivery: str | None, action: str, status: str, said: str, *, to: str = "b@bakery.test", kind: str = ""
) -> str:
    """As a mail server writes it (RFC 3464), or a mailbox provider (RFC 5965)."""
    facts = f"Final-Recipient: rfc822; reader@a.test\nAction: {action}\nStatus: {status}\nDiagnostic-Code: {said}\n"
    return _REPORT.format(
        to=to,
        kind=kind or "delivery-status",
        facts="Feedback-Type: abuse\nUser-Agent: Provider/1.0\n" if kind else f"Reporting-MTA: dns; mx.test\n\n{facts}",
        message_id=mail_requests.message_id(delivery) if delivery else "<other@elsewhere.test>",
    )


_REPORT = """\
From: MAILER-DAEMON@mx.test
To: {to}
Subject: Undelivered mail
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="b1"

--b1
Content-Type: text/plain

Your mail did not arrive.

--b1
Content-Type: message/{kind}

{facts}
--b1
Content-Type: message/rfc822

Message-ID: {message_id}
Subject: Stollen

Dear reader
--b1--
"""

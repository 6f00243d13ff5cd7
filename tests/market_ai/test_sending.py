"""Sends: who gets what, what the mail server's answers lead to, and what people can do meanwhile."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr

from tandem.market_ai.sender import links_of
from tandem.market_ai.sending import run
from tandem.market_ai.sending.pace import Pace
from tandem.market_ai.sending.schemas import SendEmail, SweepDeliveries
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.suppressions.service import suppress
from tests.market_ai.conftest import MakeMember
from tests.market_ai.job_making import queue_job
from tests.market_ai.mailing import (
    approve_mail,
    completed,
    deliveries,
    get_send,
    make_leads,
    make_mail,
    order,
    until,
)
from tests.market_ai.making import audited, connected, make_campaign, make_content, post, problem
from tests.market_ai.working import a_worker, ended
from tests.servers import free_port
from tests.smtp_server import SmtpServer


@pytest.fixture
def market_settings(mail_settings: MarketAiSettings) -> MarketAiSettings:
    return mail_settings


async def test_everybody_who_may_be_written_to_gets_one_mail(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    leads = await make_leads(market_url, ada.org_id, *(f"{name}@a.test" for name in ("one", "two", "gone", "never")))
    async with connected(market_url) as connection:
        await connection.execute(
            "UPDATE leads SET consent = 'none', consent_at = NULL WHERE id = $1", leads["never@a.test"]
        )
        async with connection.transaction():
            await suppress(connection, ada.org_id, "gone@a.test", "manual", source="test", actor="test")
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    assert (send["planned"], send["status"]) == (2, "sending")
    async with a_worker(market_settings):
        now = await completed(market, ada, send)
        job = await ended(market, ada, send["job_id"])
    assert now["states"]["accepted"] == 2
    assert (job["status"], job["type"], job["result"]["accepted"]) == ("succeeded", "send_email", 2)
    assert sorted(one["to"] for one in smtp.taken()) == ["one@a.test", "two@a.test"]
    assert set(smtp.counts().values()) == {1}
    assert await audited(market, ada, send["id"]) == ["send.ordered"]
    again = post(market, ada, f"/api/campaigns/{campaign['id']}/send", {"content_id": content})
    assert await problem(again) == (409, "audience_empty")


async def test_what_the_server_answers_decides_what_becomes_of_a_mail(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    names = ("refuse+", "full+", "blocked+", "defer-twice+", "busy-once+", "drop-after-once+", "drop-before-once+")
    leads = await make_leads(market_url, ada.org_id, *(f"{name}x@a.test" for name in names))
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    async with a_worker(market_settings):
        now = await completed(market, ada, send)
    by_lead = {one["lead_id"]: one for one in await deliveries(market, ada, send)}
    found = {name: by_lead[str(leads[f"{name}x@a.test"])] for name in names}
    assert {name: (one["state"], one["reason"], one["tries"]) for name, one in found.items()} == {
        "refuse+": ("failed", "bounced", 1),
        "full+": ("failed", "refused", 1),
        "blocked+": ("failed", "refused", 1),
        "defer-twice+": ("accepted", None, 3),
        "busy-once+": ("accepted", None, 2),
        "drop-after-once+": ("unknown", "no_answer", 1),
        "drop-before-once+": ("unknown", "no_answer", 1),
    }
    assert "550 5.1.1" in found["refuse+"]["answer"]
    assert (now["states"]["unknown"], now["outcomes"]["bounced"]) == (2, 1)
    assert sorted(one["to"].split("+")[0] for one in smtp.taken()) == ["busy-once", "defer-twice", "drop-after-once"]
    async with connected(market_url) as connection:
        rows = await connection.fetch("SELECT email_key, reason FROM suppressions")
    assert [tuple(row) for row in rows] == [("refuse+x@a.test", "bounced")]


async def test_an_unknown_outcome_is_settled_by_a_person_and_only_so_sent_again(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    await make_leads(market_url, ada.org_id, "drop-after-once+r@a.test", "drop-before-once+r@a.test", "fine@a.test")
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    async with a_worker(market_settings):
        await completed(market, ada, send)
        unknown = await deliveries(market, ada, send, state="unknown")
        first, second = (f"/api/deliveries/{one['id']}" for one in unknown)
        seen = (await market.get(first, headers=ada.headers)).json()
        assert seen["message_id"] == f"<{unknown[0]['id']}.mail@bakery.test>"
        answer = await post(market, ada, f"{first}/resolve", {"outcome": "not_sent", "note": "not in the log"})
        assert (answer.json()["state"], answer.json()["note"]) == ("failed", "not in the log")
        assert await problem(post(market, ada, f"{first}/resolve", {"outcome": "accepted"})) == (
            409,
            "delivery_not_unknown",
        )
        assert (await get_send(market, ada, send["id"]))["status"] == "completed"
        answer = await post(market, ada, f"{second}/resolve", {"outcome": "send_again"})
        assert answer.json()["state"] == "planned"
        now = await completed(market, ada, send)
    assert now["states"] == {**dict.fromkeys(now["states"], 0), "accepted": 2, "failed": 1}
    assert await audited(market, ada, unknown[0]["id"]) == ["delivery.resolved"]


async def test_a_send_pauses_resumes_and_is_cancelled_while_it_goes_on(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    await make_leads(market_url, ada.org_id, *(f"p{number}@a.test" for number in range(60)))
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    slow = market_settings.model_copy(update={"mail_rate": 10.0})
    path = f"/api/sends/{send['id']}"
    async with a_worker(slow):
        await until(market, ada, send, lambda now: now["states"]["accepted"] >= 3)
        paused = await post(market, ada, f"{path}/pause")
        assert (paused.status_code, paused.json()["status"]) == (200, "paused")
        assert await problem(post(market, ada, f"{path}/pause")) == (409, "illegal_transition")
        quiet = await until(market, ada, send, lambda now: now["states"]["claimed"] + now["states"]["handed_off"] == 0)
        assert quiet["states"]["planned"] > 0
        taken = len(smtp.taken())
        assert taken == quiet["states"]["accepted"]
        job = await ended(market, ada, quiet["job_id"])
        assert job["status"] == "succeeded"
        assert len(smtp.taken()) == taken
        assert (await post(market, ada, f"{path}/resume")).json()["status"] == "sending"
        await until(market, ada, send, lambda now: now["states"]["accepted"] > taken)
        cancelled = (await post(market, ada, f"{path}/cancel")).json()
        assert cancelled["status"] == "cancelled"
        assert cancelled["states"]["planned"] == cancelled["states"]["claimed"] == 0
        after = await until(market, ada, send, lambda now: now["states"]["handed_off"] == 0)
        await ended(market, ada, after["job_id"])
    assert after["states"]["cancelled"] > 0
    assert len(smtp.taken()) == after["states"]["accepted"] < 60
    assert await audited(market, ada, send["id"]) == ["send.ordered", "send.paused", "send.resumed", "send.cancelled"]


async def test_an_unsubscription_during_a_send_stops_every_mail_that_is_not_handed_over(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    await make_leads(market_url, ada.org_id, *(f"u{number}@a.test" for number in range(40)))
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    links = links_of(market_settings)
    async with a_worker(market_settings.model_copy(update={"mail_rate": 10.0})):
        await until(market, ada, send, lambda now: now["states"]["accepted"] >= 2)
        waiting = [one for one in await deliveries(market, ada, send) if one["state"] in {"planned", "claimed"}]
        for one in waiting[::2]:
            path = links.unsubscribe(UUID(one["id"])).removeprefix(links.base)
            answer = await market.post(path, data={"List-Unsubscribe": "One-Click"})
            assert answer.status_code == 200
        now = await completed(market, ada, send)
    left = {one["id"] for one in waiting[::2]}
    after = {one["id"]: one for one in await deliveries(market, ada, send)}
    sent = {one["id"].partition(".")[0].lstrip("<") for one in smtp.taken()}
    stopped = {name for name in left if after[name]["state"] == "skipped"}
    assert stopped
    assert {after[name]["reason"] for name in stopped} == {"suppressed"}
    assert stopped & sent == set()
    for name in left - stopped:  # it was handed over before its recipient left
        assert after[name]["handed_off_at"] < after[name]["unsubscribed_at"]
    assert (now["states"]["skipped"], now["states"]["accepted"]) == (len(stopped), len(sent))


async def test_no_more_mails_a_second_go_out_than_the_settings_say_over_all_jobs(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    await make_leads(market_url, ada.org_id, *(f"t{number}@{'a' if number % 2 else 'b'}.test" for number in range(24)))
    first, content = await make_mail(market, ada)
    sends = [await order(market, ada, first, content, filter='domain = "a.test"')]
    second, content = await make_mail(market, ada)
    sends.append(await order(market, ada, second, content))
    began = time.time()
    async with a_worker(market_settings.model_copy(update={"mail_rate": 25.0, "mail_domain_rate": 15.0})):
        for send in sends:
            await completed(market, ada, send)
    times = {domain: [m["at"] for m in smtp.taken() if domain in m["to"]] for domain in ("a.test", "b.test")}
    together = times["a.test"] + times["b.test"]
    assert (len(times["a.test"]), len(together)) == (24, 36)
    # Each has its place in the queue, which it may reach late, and never early.
    assert max(together) - began >= 35 / 25
    assert max(times["a.test"]) - began >= 23 / 15


async def test_workers_take_their_places_in_one_queue(market_url: str) -> None:
    async with connected(market_url) as one, connected(market_url) as other:
        pace = Pace(rate=0.05, domain_rate=0.01)  # one in 20 s, and to a domain in 100 s
        assert await pace.places(one, ["a.test", "a.test", "b.test"]) == pytest.approx([0, 100, 20], abs=10)
        assert await pace.places(other, ["b.test", "c.test"]) == pytest.approx([100, 60], abs=10)
        assert await Pace(0, 0).places(other, ["a.test"]) == [0]


async def test_leads_who_lack_what_the_mail_says_are_found_before_anything_is_sent(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    leads = await make_leads(market_url, ada.org_id, "full@a.test", "nameless@a.test")
    async with connected(market_url) as connection:
        await connection.execute("UPDATE leads SET name = NULL WHERE id = $1", leads["nameless@a.test"])
    campaign, content = await make_mail(market, ada)
    path = f"/api/campaigns/{campaign['id']}/send"
    answer = await post(market, ada, path, {"content_id": content})
    assert (answer.status_code, answer.json()["code"]) == (409, "merge_fields_missing")
    assert answer.json()["missing"] == [{"field": "name", "leads": 1, "example": str(leads["nameless@a.test"])}]
    assert (await market.get("/api/sends", headers=ada.headers)).json()["total"] == 0

    mild = "Dear {{ lead.name | default('friend') }}{% if lead.attributes.city %} {{ lead.attributes.zip }}{% endif %}"
    channel = {"subject": "For {{ lead.name | default('you') }}"}
    content = await approve_mail(market, ada, campaign, body=mild, channel=channel)
    send = await order(market, ada, campaign, content)
    async with a_worker(market_settings):
        now = await completed(market, ada, send)
    assert now["states"]["skipped"] == 2
    assert {one["reason"] for one in await deliveries(market, ada, send)} == {"merge_field_missing"}
    assert smtp.taken() == []


async def test_what_cannot_be_sent_is_refused_with_its_reason(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str
) -> None:
    ada = await member()
    await make_leads(market_url, ada.org_id, "one@a.test")
    campaign, content = await make_mail(market, ada)
    path = f"/api/campaigns/{campaign['id']}/send"

    def send(**body: Any) -> Any:
        return problem(post(market, ada, path, {"content_id": content, **body}))

    draft = await make_content(market, ada, campaign)
    assert await send(content_id=draft["id"]) == (409, "content_not_sendable")
    broken = await approve_mail(market, ada, campaign, body="{{ lead.name | attr('x') }}")
    assert await send(content_id=broken) == (409, "copy_invalid")
    unknown = await approve_mail(market, ada, campaign, body="{{ lead.nmae }}")
    assert await send(content_id=unknown) == (409, "copy_invalid")
    assert await send(content_id=campaign["id"]) == (404, "not_found")
    assert await send(filter="nonsense") == (422, "invalid_payload")
    assert await send(from_name="Eve\r\nBcc: all@a.test") == (422, "invalid_payload")
    assert await send(reply_to="a@b.test>, <c@d.test") == (422, "invalid_payload")
    gap = {"at": "2027-03-28T02:30", "timezone": "Europe/Berlin"}
    assert await send(schedule=gap) == (422, "invalid_payload")
    assert await send(schedule={"at": "2027-03-28T03:30", "timezone": "Mars/Olympus"}) == (422, "invalid_payload")
    assert await send(filter='email = "nobody@a.test"') == (409, "audience_empty")
    other = await make_campaign(market, ada)
    answer = await post(market, ada, f"/api/campaigns/{other['id']}/send", {"content_id": content})
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (409, "campaign_not_active", "draft")


async def test_a_send_that_was_pushed_onto_the_queue_is_ordered_once_by_its_job(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    await make_leads(market_url, ada.org_id, "one@a.test", "two@a.test")
    campaign, content = await make_mail(market, ada)
    message = {"type": "send_email", "campaign_id": campaign["id"], "content_id": content, "from_name": "Grace"}
    async with a_worker(market_settings), connected(market_url) as connection:
        first = str(await queue_job(connection, ada.org_id, SendEmail.pushed(message)))
        job = await ended(market, ada, first)
        assert (job["status"], job["result"]["accepted"], job["result"]["send_id"]) == ("succeeded", 2, first)
        again = str(await queue_job(connection, ada.org_id, SendEmail.pushed(message)))
        job = await ended(market, ada, again)
        assert (job["status"], job["error"]["code"]) == ("failed", "audience_empty")
    assert sorted(one["to"] for one in smtp.taken()) == ["one@a.test", "two@a.test"]
    assert {message["From"] for message in smtp.messages()} == {"Grace <news@bakery.test>"}
    assert await audited(market, ada, first) == ["send.ordered"]


async def test_a_scheduled_send_waits_for_its_time_where_it_is_scheduled(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    await make_leads(market_url, ada.org_id, "later@a.test")
    campaign, content = await make_mail(market, ada)
    schedule = {"at": "2027-07-01T09:00", "timezone": "Asia/Tokyo"}
    send = await order(market, ada, campaign, content, schedule=schedule)
    assert (send["status"], send["schedule"]["at"]) == ("scheduled", "2027-07-01T00:00:00+00:00")
    path = f"/api/sends/{send['id']}"
    assert (await post(market, ada, f"{path}/pause")).json()["status"] == "paused"
    assert (await post(market, ada, f"{path}/resume")).json()["status"] == "scheduled"
    async with connected(market_url) as connection:
        assert await connection.fetchval("SELECT run_at FROM jobs WHERE id = $1", UUID(send["job_id"])) > datetime(
            2027, 6, 30, tzinfo=UTC
        )
        # The time comes.
        await connection.execute("UPDATE sends SET starts_at = now()")
        await connection.execute("UPDATE deliveries SET next_try_at = now()")
        await connection.execute("UPDATE jobs SET run_at = now()")
        await connection.execute("UPDATE pgqueuer SET execute_after = now()")
    async with a_worker(market_settings):
        now = await completed(market, ada, send)
    assert now["states"]["accepted"] == len(smtp.taken()) == 1


async def test_a_mail_server_that_is_away_costs_no_mail(  # noqa: PLR0917 - fixtures
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ada = await member()
    monkeypatch.setattr(run, "RECONNECTS", (0.01,))
    await make_leads(market_url, ada.org_id, *(f"w{number}@a.test" for number in range(5)))
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    async with a_worker(market_settings.model_copy(update={"smtp_url": SecretStr(f"smtp://127.0.0.1:{free_port()}")})):
        async with asyncio.timeout(30):
            while (await _job(market, ada, send))["error"] is None:  # noqa: ASYNC110 - what changes is in the database
                await asyncio.sleep(0.05)
        assert (await _job(market, ada, send))["error"]["code"] == "mail_server_unusable"
    before = await get_send(market, ada, send["id"])
    assert before["states"]["planned"] == 5
    async with a_worker(market_settings):
        now = await completed(market, ada, send)
    assert now["states"]["accepted"] == len(smtp.taken()) == 5


async def test_what_a_dead_worker_had_in_hand_is_sorted_out(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    """What was not handed over is sent; of what was, nobody knows, and it is not sent again."""
    ada = await member()
    leads = await make_leads(market_url, ada.org_id, "claimed@a.test", "handed@a.test")
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    async with connected(market_url) as connection:
        claim = "UPDATE deliveries SET state = 'claimed', claimed_by = $1, claimed_attempt = 1"
        await connection.execute(claim, uuid4())
        hand = "UPDATE deliveries SET state = 'handed_off' WHERE lead_id = $1"
        await connection.execute(hand, leads["handed@a.test"])
        await queue_job(connection, ada.org_id, SweepDeliveries())
    async with a_worker(market_settings):
        now = await completed(market, ada, send)
    assert (now["states"]["accepted"], now["states"]["unknown"]) == (1, 1)
    assert [one["to"] for one in smtp.taken()] == ["claimed@a.test"]
    (unknown,) = await deliveries(market, ada, send, state="unknown")
    assert (unknown["lead_id"], unknown["reason"]) == (str(leads["handed@a.test"]), "worker_lost")


async def test_cancelling_the_job_of_a_send_pauses_it_and_a_campaign_that_is_over_ends_it(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    await make_leads(market_url, ada.org_id, "one@a.test")
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    assert (await post(market, ada, f"/api/jobs/{send['job_id']}/cancel")).json()["status"] == "cancelled"
    async with a_worker(market_settings), connected(market_url) as connection:
        await queue_job(connection, ada.org_id, SweepDeliveries())
        await until(market, ada, send, lambda now: now["status"] == "paused")
        await post(market, ada, f"/api/campaigns/{campaign['id']}/complete")
        await queue_job(connection, ada.org_id, SweepDeliveries())
        now = await until(market, ada, send, lambda now: now["status"] == "cancelled")
    assert (now["states"]["cancelled"], smtp.taken()) == (1, [])


async def test_the_database_itself_refuses_to_plan_again_what_may_have_been_sent(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str
) -> None:
    ada = await member()
    await make_leads(market_url, ada.org_id, "one@a.test")
    campaign, content = await make_mail(market, ada)
    await order(market, ada, campaign, content)
    async with connected(market_url) as connection:
        for state in ("claimed", "handed_off", "unknown"):
            await connection.execute("UPDATE deliveries SET state = $1, claimed_by = $2", state, uuid4())
        for wrong in ("planned", "claimed", "handed_off", "cancelled", "skipped"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute("UPDATE deliveries SET state = $1", wrong)
        await connection.execute("UPDATE deliveries SET state = 'accepted'")
        for wrong in ("planned", "failed", "unknown"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute("UPDATE deliveries SET state = $1, resolved_by = 'me'", wrong)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(
                "INSERT INTO deliveries (org_id, send_id, campaign_id, lead_id, email_key, domain)"
                " SELECT org_id, send_id, campaign_id, NULL, email_key, domain FROM deliveries"
            )


async def test_an_erased_lead_leaves_numbers_and_nothing_of_the_person(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    leads = await make_leads(market_url, ada.org_id, "refuse+secret@a.test")
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    async with a_worker(market_settings):
        await completed(market, ada, send)
    async with connected(market_url) as connection:
        await connection.execute(
            """UPDATE leads SET email = NULL, email_key = NULL, name = NULL, attributes = '{}', erased_at = now()
                WHERE id = $1""",
            leads["refuse+secret@a.test"],
        )
        rows = await connection.fetch(
            "SELECT d::text FROM deliveries d UNION ALL SELECT e::text FROM delivery_events e"
        )
    assert "secret" not in str(rows)
    assert (await get_send(market, ada, send["id"]))["states"]["failed"] == 1


async def _job(market: Any, who: Any, send: dict[str, Any]) -> dict[str, Any]:
    job: dict[str, Any] = (await market.get(f"/api/jobs/{send['job_id']}", headers=who.headers)).json()
    return job

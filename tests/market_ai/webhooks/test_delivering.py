"""Deliveries by a real worker to a server on the loopback: tried again, given up, disabled, at rest, asked for anew."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from tandem.core.db import Database
from tandem.core.ids import uuid7
from tandem.core.jobs import enqueue
from tandem.core.jobs.worker import worker_database
from tandem.market_ai.webhooks import outcomes
from tandem.market_ai.webhooks.events import TEST
from tandem.market_ai.webhooks.outcomes import Due, _consequence
from tandem.market_ai.webhooks.queries import find_due
from tandem.market_ai.webhooks.schemas import DeliverWebhook
from tandem.market_ai.webhooks.sending import Outcome
from tests.market_ai.making import audited, connected, make_campaign, post
from tests.market_ai.webhooks.receiving import PATIENCE, answer
from tests.market_ai.working import a_worker


async def deliveries(market, who, made, **query):
    page = await market.get(f"/api/webhooks/{made['id']}/deliveries", params=query, headers=who.headers)
    assert page.status_code == 200, page.text
    return page.json()["items"]


async def shown(market, who, made, delivery):
    detail = await market.get(f"/api/webhooks/{made['id']}/deliveries/{delivery['id']}", headers=who.headers)
    assert detail.status_code == 200, detail.text
    return detail.json()


async def until_ended(market, who, made, count=1):
    """The deliveries, once none is pending and there are so many."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await deliveries(market, who, made)
            if len(found) >= count and all(one["status"] != "pending" for one in found):
                return found
            await asyncio.sleep(0.02)


async def endpoint(market, who, made):
    return (await market.get(f"/api/webhooks/{made['id']}", headers=who.headers)).json()


async def set_columns(url, made, **columns):
    async with connected(url) as connection:
        given = ", ".join(f"{name} = {value}" for name, value in columns.items())
        await connection.execute(f"UPDATE webhook_endpoints SET {given} WHERE id = $1", made["id"])


async def test_a_change_reaches_the_customers_server_signed(market, member, webhook, receiver, market_settings):
    ada = await member()
    made = await webhook(ada, events=["campaign.*"])
    campaign = await make_campaign(market, ada, "Stollen ☃")
    async with a_worker(market_settings):
        [delivery] = await until_ended(market, ada, made)
    [got] = receiver.received
    event = got.event(made["secret"])
    assert (event["type"], event["data"]["object_id"]) == ("campaign.created", campaign["id"])
    assert event["data"]["details"]["name"] == "Stollen ☃"
    assert got.headers["webhook-id"] == delivery["message_id"]
    assert got.headers["user-agent"].startswith("Tandem-Webhooks/")
    assert (delivery["status"], delivery["attempts"], delivery["error"]) == ("succeeded", 1, None)
    [attempt] = (await shown(market, ada, made, delivery))["log"]
    assert (attempt["number"], attempt["status"], attempt["error"]) == (1, 204, None)


async def test_a_failure_is_tried_again_under_the_same_id(market, member, webhook, receiver, market_settings, soon):  # noqa: PLR0917
    ada = await member()
    made = await webhook(ada)
    receiver.answers = [answer(500, b"out of order"), b"", answer(302), answer(200, b"ok")]
    await make_campaign(market, ada)
    async with a_worker(market_settings):
        [delivery] = await until_ended(market, ada, made)
    assert {one.headers["webhook-id"] for one in receiver.received} == {delivery["message_id"]}
    assert {one.body for one in receiver.received} == {receiver.received[0].body}
    assert (delivery["status"], delivery["attempts"], delivery["error"]) == ("succeeded", 4, None)
    log = (await shown(market, ada, made, delivery))["log"]
    assert [(one["number"], one["status"], one["error"], one["excerpt"]) for one in log] == [
        (1, 500, "http_error", "out of order"), (2, None, "invalid_response", ""), (3, 302, "redirect", ""),
        (4, 200, None, "ok"),
    ]  # fmt: skip
    well = await endpoint(market, ada, made)
    assert (well["consecutive_failures"], well["failing_since"], well["version"]) == (0, None, 1)


async def test_after_the_last_attempt_it_waits_for_a_person(market, member, webhook, receiver, market_settings, soon):  # noqa: PLR0917
    ada = await member()
    made = await webhook(ada)
    receiver.answers = [answer(503)] * outcomes.ATTEMPTS
    await make_campaign(market, ada)
    async with a_worker(market_settings):
        [failed] = await until_ended(market, ada, made)
        assert (failed["status"], failed["attempts"], failed["error"]) == ("failed", outcomes.ATTEMPTS, "http_error")
        assert (await endpoint(market, ada, made))["consecutive_failures"] == outcomes.ATTEMPTS
        again = await post(market, ada, f"/api/webhooks/{made['id']}/deliveries/{failed['id']}/redeliver")
        assert (again.status_code, again.json()["status"]) == (202, "pending")
        [delivery] = await until_ended(market, ada, made)
    assert (delivery["status"], delivery["attempts"]) == ("succeeded", outcomes.ATTEMPTS + 1)
    assert receiver.received[-1].headers["webhook-id"] == failed["message_id"]
    receiver.received[-1].event(made["secret"])
    assert "webhook.redelivered" in await audited(market, ada, made["id"])


async def test_what_was_delivered_can_be_asked_for_again(market, member, webhook, receiver, market_settings):
    ada = await member()
    made = await webhook(ada)
    await make_campaign(market, ada)
    async with a_worker(market_settings):
        [delivery] = await until_ended(market, ada, made)
        await post(market, ada, f"/api/webhooks/{made['id']}/deliveries/{delivery['id']}/redeliver")
        [delivery] = await until_ended(market, ada, made)
    assert (delivery["attempts"], delivery["status"]) == (2, "succeeded")
    assert receiver.received[0].body == receiver.received[1].body


async def test_a_redelivery_does_not_wait_for_the_next_attempt_nor_double_it(  # noqa: PLR0917
    market, member, webhook, receiver, market_settings, market_url
):
    """The attempt that waits for its time finds that it has been made."""
    ada = await member()
    made = await webhook(ada)
    receiver.answers = [answer(500, Retry_After="1")]
    await make_campaign(market, ada)
    async with a_worker(market_settings):
        await receiver.until(1)
        async with asyncio.timeout(PATIENCE):
            while (await deliveries(market, ada, made))[0]["attempts"] < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        [delivery] = await deliveries(market, ada, made)
        await post(market, ada, f"/api/webhooks/{made['id']}/deliveries/{delivery['id']}/redeliver")
        [delivery] = await until_ended(market, ada, made)
        assert (delivery["status"], delivery["attempts"]) == ("succeeded", 2)
        async with connected(market_url) as connection, asyncio.timeout(PATIENCE):
            await connection.execute("UPDATE pgqueuer SET execute_after = now()")
            while await connection.fetchval("SELECT count(*) FROM pgqueuer"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert len(receiver.received) == 2


async def test_a_test_event_goes_to_whoever_asked_and_is_tried_once(market, member, webhook, receiver, market_settings):
    ada = await member()
    made, other = await webhook(ada, events=["lead.*"]), await webhook(ada)
    receiver.answers = [answer(500)]
    async with a_worker(market_settings):
        sent = await post(market, ada, f"/api/webhooks/{made['id']}/test")
        assert (sent.status_code, sent.json()["type"], sent.json()["status"]) == (202, TEST, "pending")
        [delivery] = await until_ended(market, ada, made)
    assert (delivery["status"], delivery["attempts"]) == ("failed", 1)
    assert receiver.received[0].event(made["secret"])["data"]["object_id"] == made["id"]
    assert await deliveries(market, ada, other) == []


async def test_410_disables_the_endpoint(market, member, webhook, receiver, market_settings):
    ada = await member()
    made = await webhook(ada)
    receiver.answers = [answer(410)]
    await make_campaign(market, ada)
    async with a_worker(market_settings):
        [delivery] = await until_ended(market, ada, made)
    assert (delivery["status"], delivery["attempts"], delivery["error"]) == ("failed", 1, "http_error")
    gone = await endpoint(market, ada, made)
    assert (gone["enabled"], gone["disabled_reason"], gone["version"]) == (False, "gone", 2)
    assert await audited(market, ada, made["id"]) == ["webhook.created", "webhook.disabled"]
    await make_campaign(market, ada)
    assert len(await deliveries(market, ada, made)) == 1


async def test_two_days_of_nothing_but_failures_disable_it_and_what_waits_is_given_up(  # noqa: PLR0917
    market, member, webhook, receiver, market_settings, market_url
):
    ada = await member()
    made = await webhook(ada)
    await make_campaign(market, ada)
    receiver.answers = [answer(500)]
    await set_columns(market_url, made, failing_since="now() - interval '49 hours'", consecutive_failures=2)
    async with a_worker(market_settings):
        async with asyncio.timeout(PATIENCE):
            while (await endpoint(market, ada, made))["enabled"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        [delivery] = await deliveries(market, ada, made)
        assert (delivery["status"], delivery["attempts"]) == ("pending", 1)
        async with connected(market_url) as connection:
            await connection.execute("UPDATE pgqueuer SET execute_after = now()")
        [delivery] = await until_ended(market, ada, made)
    assert (delivery["status"], delivery["attempts"], delivery["error"]) == ("failed", 1, "webhook_disabled")
    failing = await endpoint(market, ada, made)
    assert (failing["disabled_reason"], failing["consecutive_failures"]) == ("failing", 3)
    on = await market.patch(f"/api/webhooks/{made['id']}", json={"enabled": True}, headers=ada.headers)
    assert (on.json()["consecutive_failures"], on.json()["failing_since"], on.json()["disabled_reason"]) == (
        0,
        None,
        None,
    )


async def test_a_busy_endpoint_is_left_in_peace_as_long_as_it_asks(market, member, webhook, receiver, market_settings):
    """All that goes to it, and not only what it refused; a person who asks is served all the same."""
    ada = await member()
    made = await webhook(ada)
    receiver.answers = [answer(429, Retry_After="3600")]
    await make_campaign(market, ada)
    async with a_worker(market_settings):
        await receiver.until(1)
        async with asyncio.timeout(PATIENCE):
            while (await endpoint(market, ada, made))["failing_since"] is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await make_campaign(market, ada, "Another")
        [second, first] = await deliveries(market, ada, made)
        assert second["next_attempt_at"] > second["created_at"]
        assert (first["status"], second["status"], second["attempts"]) == ("pending", "pending", 0)
        await post(market, ada, f"/api/webhooks/{made['id']}/deliveries/{second['id']}/redeliver")
        await receiver.until(2)
    assert json.loads(receiver.received[1].body)["data"]["details"]["name"] == "Another"


async def test_what_was_queued_before_an_endpoint_rests_is_postponed(  # noqa: PLR0917
    market, member, webhook, receiver, market_settings, market_url
):
    ada = await member()
    made = await webhook(ada)
    await make_campaign(market, ada)
    await set_columns(market_url, made, resting_until="now() + interval '1 hour'", consecutive_failures=5)
    async with a_worker(market_settings), connected(market_url) as connection, asyncio.timeout(PATIENCE):
        later = "SELECT count(*) FROM jobs WHERE type = 'deliver_webhook' AND status = 'queued' AND run_at > now() + '50 min'"
        while not await connection.fetchval(later):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    [delivery] = await deliveries(market, ada, made)
    assert (delivery["status"], delivery["attempts"]) == ("pending", 0)
    assert receiver.received == []


async def test_both_secrets_sign_while_they_overlap(market, member, webhook, receiver, market_settings, market_url):  # noqa: PLR0917
    ada = await member()
    made = await webhook(ada)
    rotate = f"/api/webhooks/{made['id']}/rotate-secret"
    fresh = (await post(market, ada, rotate, {"overlap_hours": 1})).json()["secret"]
    await make_campaign(market, ada)
    async with a_worker(market_settings):
        await receiver.until(1)
        await set_columns(market_url, made, previous_secret_until="now()")
        await make_campaign(market, ada)
        await receiver.until(2)
    for secret in (made["secret"], fresh):
        receiver.received[0].event(secret)
    receiver.received[1].event(fresh)
    assert len(receiver.received[1].headers["webhook-signature"].split(" ")) == 1


async def test_a_deleted_webhook_gets_nothing_more(market, member, webhook, receiver, market_settings, market_url):  # noqa: PLR0917
    ada = await member()
    made = await webhook(ada)
    await make_campaign(market, ada)
    await market.delete(f"/api/webhooks/{made['id']}", headers=ada.headers)
    async with a_worker(market_settings), connected(market_url) as connection, asyncio.timeout(PATIENCE):
        while await connection.fetchval("SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 0
    assert receiver.received == []


async def test_a_slow_endpoint_holds_no_transaction(market, member, webhook, receiver, market_settings, market_url):  # noqa: PLR0917
    """While it thinks, nobody is idle in a transaction, and its endpoint can be changed."""
    ada = await member()
    made = await webhook(ada)
    thinking, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(writer):
        thinking.set()
        await go_on.wait()
        writer.write(answer(200))
        await writer.drain()

    receiver.answers = [slowly]
    await make_campaign(market, ada)
    idle = (
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
    )
    async with a_worker(market_settings):
        await asyncio.wait_for(thinking.wait(), PATIENCE)
        async with connected(market_url) as connection:
            assert await connection.fetchval(idle) == 0
        assert (
            await market.patch(f"/api/webhooks/{made['id']}", json={"description": "x"}, headers=ada.headers)
        ).is_success
        go_on.set()
        await until_ended(market, ada, made)


async def test_old_messages_are_forgotten_but_for_those_under_way(market, member, webhook, market_settings, market_url):
    ada = await member()
    made = await webhook(ada)
    for name in ("Old and done", "Old and waiting", "New and done"):
        await make_campaign(market, ada, name)
    await set_columns(market_url, made, previous_secret="'old'", previous_secret_until="now() - interval '1 s'")
    async with connected(market_url) as connection:
        await connection.execute(
            "UPDATE webhook_messages SET created_at = now() - interval '31 days' WHERE body::text LIKE '%Old%'"
        )
        await connection.execute(
            "UPDATE webhook_deliveries d SET status = 'succeeded', next_attempt_at = NULL FROM webhook_messages m"
            " WHERE m.id = d.message_id AND m.body::text LIKE '%done%'"
        )
        assert await outcomes.purge(connection) == 1
        assert await outcomes.purge(connection) == 0
        assert await connection.fetchval("SELECT previous_secret FROM webhook_endpoints") is None
    assert len(await deliveries(market, ada, made)) == 2


async def test_an_attempt_that_somebody_else_made_meanwhile_changes_nothing(market, member, webhook, market_settings):
    """Two workers with the same attempt, one of them taken for dead: the second to write finds it written."""
    ada = await member()
    made = await webhook(ada)
    await make_campaign(market, ada)
    [delivery] = await deliveries(market, ada, made)
    order = DeliverWebhook(org_id=ada.org_id, delivery_id=delivery["id"], attempt=1)
    database = Database(market_settings, worker_database(market_settings))
    try:
        async with database.connection() as connection:
            due = Due(order, await find_due(connection, order))
            for status, error in ((500, "http_error"), (200, None)):
                async with connection.transaction():
                    await outcomes.note(connection, due, Outcome(datetime.now(UTC), 5, status, error))
    finally:
        await database.close()
    detail = await shown(market, ada, made, delivery)
    assert (detail["status"], detail["attempts"], len(detail["log"])) == ("pending", 1, 1)
    assert (await endpoint(market, ada, made))["consecutive_failures"] == 1


async def test_what_waits_for_a_dead_endpoint_waits_longer_each_time(market, member, webhook, market_url):
    """Or its queue would go round and round while the endpoint rests for seconds."""
    ada = await member()
    made = await webhook(ada)
    await make_campaign(market, ada)
    [delivery] = await deliveries(market, ada, made)
    order = DeliverWebhook(org_id=ada.org_id, delivery_id=delivery["id"], attempt=1)
    await set_columns(market_url, made, resting_until="now() + interval '5 s'")
    waits = []
    async with connected(market_url) as connection:
        for age in ("0 s", "10 min", "1 h", "20 h"):
            await connection.execute(f"UPDATE webhook_deliveries SET created_at = now() - interval '{age}'")
            due = Due(order, await find_due(connection, order))
            async with connection.transaction():
                await outcomes.postpone(connection, due)
            waits.append(await connection.fetchval("SELECT max(run_at) - now() FROM jobs"))
    seconds = [wait.total_seconds() for wait in waits]
    for waited, least in zip(seconds, (4, 299, 1799, 3599), strict=True):
        assert least <= waited <= (least + 1) * 1.5 + 1


async def test_a_deletion_in_the_middle_of_an_outcome_waits_for_it(market, member, webhook, market_url, monkeypatch):
    """And neither waits for the other for ever: the outcome touches the delivery, the queue, then the endpoint."""
    ada = await member()
    made = await webhook(ada)
    await make_campaign(market, ada)
    [delivery] = await deliveries(market, ada, made)
    order = DeliverWebhook(org_id=ada.org_id, delivery_id=delivery["id"], attempt=1)
    halfway, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(*args, **rest):
        halfway.set()
        await go_on.wait()
        return await enqueue(*args, **rest)

    monkeypatch.setattr(outcomes, "enqueue", slowly)
    async with connected(market_url) as connection, connected(market_url) as watching, asyncio.timeout(PATIENCE):
        due = Due(order, await find_due(connection, order))

        async def noted():
            async with connection.transaction():
                await outcomes.note(connection, due, Outcome(datetime.now(UTC), 5, 500, "http_error"))

        noting = asyncio.create_task(noted())
        await halfway.wait()
        deleting = asyncio.create_task(market.delete(f"/api/webhooks/{made['id']}", headers=ada.headers))
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while not await watching.fetchval(waiting):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        go_on.set()
        await noting
        assert (await deleting).status_code == 204
        assert await connection.fetchval("SELECT count(*) FROM webhook_attempts") == 0


@pytest.mark.parametrize("failures", range(outcomes.ATTEMPTS - 1))
def test_the_schedule_spans_a_day(failures):
    """The wait before each attempt, whatever the jitter, and Retry-After where it is longer."""
    outcome = Outcome(None, 1, 500, "http_error")
    order = DeliverWebhook(org_id="org", delivery_id=uuid7(), attempt=failures + 1)
    due = Due(order, {"failures": failures, "type": "job.failed"})
    longest = min(10 * 3**failures, 6 * 3600)
    for _ in range(50):
        status, wait = _consequence(due, outcome)
        assert (status, longest / 2 <= wait.total_seconds() <= longest) == ("pending", True)
    asked = Outcome(None, 1, 503, "http_error", "", timedelta(hours=6))
    assert _consequence(due, asked) == ("pending", max(timedelta(hours=6), timedelta(0)))


def test_all_attempts_together_take_about_a_day():
    longest = sum(min(10 * 3**failures, 6 * 3600) for failures in range(outcomes.ATTEMPTS - 1))
    assert 12 * 3600 < longest / 2 < 24 * 3600 < longest < 36 * 3600

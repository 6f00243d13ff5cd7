"""Which events leave, and that they leave with their change or not at all."""

import ast
import asyncio
import json
import re
from pathlib import Path
from uuid import uuid4

import pytest

from tandem.core.jobs import operate, store
from tandem.core.jobs.store import start
from tandem.market_ai.audit.service import TOLD
from tandem.market_ai.webhooks.events import EVENTS, FAMILIES
from tandem.market_ai.webhooks.service import emit, emit_many
from tests.market_ai.budgeting import DOLLAR, open_bank
from tests.market_ai.job_making import begin, queue_job
from tests.market_ai.making import connected, make_campaign, make_content, post

ROOT = Path(__file__).parents[3]
_MESSAGES = "SELECT type, body::text FROM webhook_messages WHERE org_id = $1 ORDER BY id"


async def told(url, who):
    async with connected(url) as connection:
        return [(row["type"], json.loads(row["body"])["data"]) for row in await connection.fetch(_MESSAGES, who.org_id)]


async def types(url, who):
    return [event for event, _ in await told(url, who)]


async def subscribe(market, who, *events):
    made = await post(market, who, "/api/webhooks", {"url": "https://example.com/", "events": list(events) or ["*"]})
    assert made.status_code == 201
    return made.json()


async def test_the_life_of_a_campaign_is_told(market, member, market_url):
    ada = await member()
    await subscribe(market, ada, "campaign.*")
    campaign = await make_campaign(market, ada)
    url = f"/api/campaigns/{campaign['id']}"
    await market.patch(url, json={"objective": "500 orders"}, headers=ada.headers)
    for move in ("activate", "pause", "resume", "complete", "archive"):
        assert (await post(market, ada, f"{url}/{move}")).status_code == 200
    await market.delete(url, headers=ada.headers)
    past = ("created", "updated", "activated", "paused", "resumed", "completed", "archived", "deleted")
    events = await told(market_url, ada)
    assert [event for event, _ in events] == [f"campaign.{one}" for one in past]
    assert all(data["object_id"] == campaign["id"] for _, data in events)
    assert events[3][1]["details"] == {"before": "active", "after": "paused"}


async def test_the_life_of_content_is_told(market, member, market_url):
    ada = await member()
    campaign = await make_campaign(market, ada)
    await subscribe(market, ada, "content.*")
    content = await make_content(market, ada, campaign)
    url = f"/api/content/{content['id']}"
    await market.patch(url, json={"title": "Reminder"}, headers=ada.headers)
    await post(market, ada, f"{url}/versions", {"body": "Two hundred are left."})
    for action, body in (("submit", None), ("reject", {"reason": "no"}), ("submit", None), ("approve", {"version": 2}),
                         ("publish", None), ("archive", None)):  # fmt: skip
        assert (await post(market, ada, f"{url}/{action}", body)).status_code == 200
    await market.delete(url, headers=ada.headers)
    past = ("created", "renamed", "revised", "submitted", "rejected", "submitted", "approved", "published", "archived",
            "deleted")  # fmt: skip
    assert await types(market_url, ada) == [f"content.{one}" for one in past]


async def test_an_endpoint_gets_what_it_wants_and_no_other_organization_gets_anything(market, member, market_url):
    ada, bob = await member(), await member()
    everything, failures = await subscribe(market, ada), await subscribe(market, ada, "job.failed", "campaign.paused")
    await subscribe(market, bob)
    campaign = await make_campaign(market, ada)
    for move in ("activate", "pause"):
        await post(market, ada, f"/api/campaigns/{campaign['id']}/{move}")
    counts = {}
    for name, one in (("everything", everything), ("failures", failures)):
        page = await market.get(f"/api/webhooks/{one['id']}/deliveries", headers=ada.headers)
        counts[name] = [delivery["type"] for delivery in page.json()["items"]]
    assert counts == {
        "everything": ["campaign.paused", "campaign.activated", "campaign.created"], "failures": ["campaign.paused"],
    }  # fmt: skip
    assert await types(market_url, bob) == []


async def test_a_refused_change_tells_of_nothing(market, member, market_url):
    ada = await member()
    await subscribe(market, ada)
    campaign = await make_campaign(market, ada)
    before = await types(market_url, ada)
    assert (await post(market, ada, f"/api/campaigns/{campaign['id']}/pause")).status_code == 409
    assert (
        await market.patch(f"/api/campaigns/{campaign['id']}", json={"name": "x"}, headers=ada.headers)
    ).status_code == 422
    assert await types(market_url, ada) == before


async def test_an_event_is_rolled_back_with_its_change(market, member, market_url):
    ada = await member()
    await subscribe(market, ada)
    async with connected(market_url) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await emit(connection, ada.org_id, "lead.created", {"object_id": "1"})
        await transaction.rollback()
        for table in ("webhook_messages", "webhook_deliveries", "jobs", "pgqueuer"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
        await emit(connection, ada.org_id, "lead.created", {"object_id": "2"})
        queued = await connection.fetch("SELECT entrypoint, dedupe_key FROM pgqueuer")
        [job] = await connection.fetch("SELECT id, type, status, owner, payload::text FROM jobs")
        delivery = await connection.fetchval("SELECT id FROM webhook_deliveries")
    assert [(one["entrypoint"], one["dedupe_key"]) for one in queued] == [("deliver_webhook", str(job["id"]))]
    assert (job["type"], job["status"], job["owner"]) == ("deliver_webhook", "queued", None)
    assert json.loads(job["payload"]) == {"org_id": ada.org_id, "delivery_id": str(delivery), "attempt": 1}


async def test_many_events_are_one_statement(market, member, market_url):
    ada = await member()
    many = [("lead.created", {"object_id": str(number)}) for number in range(200)]
    async with connected(market_url) as connection:
        await emit_many(connection, ada.org_id, many)
        assert await types(market_url, ada) == []
        await subscribe(market, ada, "lead.*")
        await emit_many(connection, ada.org_id, [*many, ("job.failed", {})])
    assert sorted(int(data["object_id"]) for _, data in await told(market_url, ada)) == list(range(200))


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled", "held"])
async def test_however_a_job_ends_it_is_told(market, member, market_url, end):
    ada = await member()
    await subscribe(market, ada, "job.*")
    async with connected(market_url) as connection:
        job_id = await queue_job(connection, ada.org_id)
        if end == "cancelled":
            async with connection.transaction():
                await operate.cancel(connection, job_id)
        elif end == "held":
            for _ in range(6):
                await start(connection.fetch, job_id, uuid4(), 5)
        else:
            attempt = await begin(connection, job_id)
            await store.retry(connection.fetch, job_id, attempt, "once more", operate.WORKER_SILENCE * 0)
            attempt = await begin(connection, job_id)
            finish = store.succeed if end == "succeeded" else store.fail
            await finish(connection.fetch, job_id, attempt, "done")
    [(event, data)] = await told(market_url, ada)
    assert event == f"job.{end}"
    assert (data["object_type"], data["object_id"]) == ("job", str(job_id))
    assert data["details"]["type"] == "generate_content"
    assert set(data["details"]) == {"type", "campaign_id", "attempts"}


async def test_jobs_that_are_nobodys_business_are_not_told(market, member, market_url):
    ada = await member()
    await subscribe(market, ada)
    async with connected(market_url) as connection:
        await connection.execute(
            "INSERT INTO jobs (id, type, payload, owner) VALUES ($1, 'import', '{}', $2), ($3, 'send_email', '{}', NULL)",
            *(uuid4(), ada.org_id, uuid4()),
        )
        await connection.execute("UPDATE jobs SET status = 'failed'")
    assert await types(market_url, ada) == []


async def test_a_budget_warning_is_told_once(market, member, market_settings, market_url):
    ada = await member()
    await subscribe(market, ada, "budget.warning")
    async with open_bank(market_settings, ada.org_id) as bank:
        await bank.limit("month", 10 * DOLLAR)
        for _ in range(3):
            await bank.hold(3 * DOLLAR)
    [(first, data), (second, _)] = await told(market_url, ada)
    assert first == second == "budget.warning"
    assert data["details"]["scope"] == "month"
    assert (data["details"]["cap"], data["details"]["used"]) == ("10.000000", "9.000000")


async def test_an_endpoint_that_is_deleted_meanwhile_fails_no_change(market, member, market_url):
    """The change waits for the deletion, and then tells nobody."""
    ada = await member()
    made = await subscribe(market, ada)
    async with connected(market_url) as deleting, connected(market_url) as changing:
        transaction = deleting.transaction()
        await transaction.start()
        await deleting.execute("DELETE FROM webhook_endpoints WHERE id = $1", made["id"])
        change = asyncio.create_task(emit(changing, ada.org_id, "lead.created", {}))
        waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%webhook_emit%')"
        async with connected(market_url) as watching, asyncio.timeout(30):
            while not await watching.fetchval(waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await transaction.commit()
        await change
    assert await types(market_url, ada) == []


def written_events():
    """Every type that the source writes down as text, where a family of events begins it."""
    name = re.compile(rf"(?:{'|'.join(FAMILIES)})\.[a-z_]+")
    for path in (ROOT / "src/tandem/market_ai").rglob("*.py"):
        if path.name == "events.py":
            continue
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if function in {"record", "record_system", "emit"}:
                texts = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                yield from ((path, text) for text in texts if name.fullmatch(text))


def test_what_the_source_tells_of_is_in_the_catalogue():
    """A job's own actions are no events: how it ended is told by the database."""
    found = {text for _, text in written_events()}
    assert {"campaign.created", "content.generated", "budget.warning"} <= found
    unlisted = {text for text in found if text.split(".")[0] in TOLD} - set(EVENTS)
    assert unlisted == set(), "add them to webhooks/events.py and docs/webhooks.md"


def test_the_catalogue_is_what_the_documentation_says():
    page = (ROOT / "docs/webhooks.md").read_text()
    documented = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (.+) \|$", page, re.MULTILINE)
    assert documented == list(EVENTS.items())
    assert set(TOLD) < set(FAMILIES)

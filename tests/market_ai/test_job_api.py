"""Jobs as their organization sees them: shown, listed, cancelled, tried again."""

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from tandem.core.jobs import store
from tandem.core.jobs.errors import JobFailed
from tandem.core.jobs.payload import JobPayload
from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.analysis.schemas import AnalyzeCampaign
from tests.market_ai.job_making import begin, failed_job, finished_job, following, progress, queue_job
from tests.market_ai.making import audited, post, problem

UNFORESEEN = "Something went wrong on our side; it was logged under the id of the job"


class Internal(JobPayload, job_type="internal_upkeep"):
    pass


@pytest.fixture
async def database(market_url):
    connection = await asyncpg.connect(**parse_database_url(market_url).asyncpg_args)
    yield connection
    await connection.close()


async def show(client, who, job_id):
    response = await client.get(f"/api/jobs/{job_id}", headers=who.headers)
    assert response.status_code == 200, response.text
    return response.json()


async def listed(client, who, **query):
    response = await client.get("/api/jobs", headers=who.headers, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["X-Total-Count"] == str(response.json()["total"])
    return [UUID(job["id"]) for job in response.json()["items"]]


async def test_a_job_is_shown_with_what_it_came_to(market, member, database):
    ada = await member()
    job_id = await queue_job(database, ada.org_id, AnalyzeCampaign(campaign_id=(campaign := uuid4())))
    job = await show(market, ada, job_id)
    assert job | {"created_at": ""} == {
        "id": str(job_id),
        "type": "analyze_campaign",
        "status": "queued",
        "campaign_id": str(campaign),
        "progress": None,
        "result": None,
        "error": None,
        "attempts": 0,
        "cost": {"spent": "0.000000", "reserved": "0.000000", "unknown": "0.000000"},
        "last_event_id": 0,
        "cancel_requested_at": None,
        "created_at": "",
        "started_at": None,
        "finished_at": None,
    }
    await begin(database, job_id)
    await progress(database, job_id, 0.5)
    half = await show(market, ada, job_id)
    assert (half["status"], half["progress"], half["attempts"], half["last_event_id"]) == ("running", 0.5, 1, 2)
    done = await show(market, ada, await finished_job(database, ada.org_id))
    assert (done["status"], done["result"], done["progress"]) == ("succeeded", {"variants": 3}, 1)
    assert done["finished_at"] >= done["started_at"] >= done["created_at"]


async def test_what_a_job_cost_is_what_its_budget_account_says(market, member, database):
    ada = await member()
    job_id = await queue_job(database, ada.org_id)
    await database.execute(
        "INSERT INTO budget_accounts (org_id, scope, key, spent_micros, reserved_micros, unknown_micros)"
        " VALUES ($1, 'request', $2, 1204, 20, 3000000)",
        ada.org_id,
        str(job_id),
    )
    assert (await show(market, ada, job_id))["cost"] == {
        "spent": "0.001204",
        "reserved": "0.000020",
        "unknown": "3.000000",
    }


@pytest.mark.parametrize(
    "error",
    [
        (str(JobFailed("The day has 0.01 left: too little", code="budget_exceeded")), "budget_exceeded", "The day has 0.01 left: too little"),
        ("held: 5 starts never ended", "held", "5 starts never ended"),
        ("took longer than 300 s", "timeout", "took longer than 300 s"),
        ("this campaign is gone", "job_failed", "this campaign is gone"),
        ("UndefinedColumnError: column c.secret does not exist", "internal_error", UNFORESEEN),
        ("KeyError", "internal_error", UNFORESEEN),
    ],
)  # fmt: skip
async def test_an_error_has_a_code_and_tells_nothing_of_our_insides(market, member, database, error):
    kept, code, detail = error
    ada = await member()
    job_id = await failed_job(database, ada.org_id, kept)
    shown = (await show(market, ada, job_id))["error"]
    assert shown == {"code": code, "detail": detail}
    async with following(market._transport.app, ada, job_id) as stream:
        await stream.until(lambda s: s.ended)
    assert stream.received[-1].data["data"] == {"error": shown}


async def test_jobs_are_listed_the_latest_first_and_filtered(market, member, database):
    ada = await member()
    campaign = uuid4()
    analysis = await queue_job(database, ada.org_id, AnalyzeCampaign(campaign_id=campaign))
    failed = await failed_job(database, ada.org_id)
    done = await finished_job(database, ada.org_id)
    await queue_job(database, ada.org_id, Internal())
    await queue_job(database, (await member()).org_id)
    assert await listed(market, ada) == [done, failed, analysis]
    assert await listed(market, ada, status=["failed", "queued"]) == [failed, analysis]
    assert await listed(market, ada, type="analyze_campaign") == [analysis]
    assert await listed(market, ada, campaign_id=str(campaign).upper()) == [analysis]
    assert await listed(market, ada, limit=1, page=2) == [failed]
    for query in ({"status": "lost"}, {"type": "internal_upkeep"}, {"campaign_id": "7"}, {"owner": ada.org_id}):
        assert await problem(market.get("/api/jobs", headers=ada.headers, params=query)) == (422, "invalid_payload")


async def test_a_job_of_others_does_not_exist(market, member, database):
    ada, eve = await member(), await member()
    theirs = await queue_job(database, ada.org_id)
    internal = await queue_job(database, eve.org_id, Internal())
    for job_id in (theirs, internal, uuid4()):
        for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry"), ("GET", "/events")):
            answer = market.request(method, f"/api/jobs/{job_id}{path}", headers=eve.headers)
            assert await problem(answer) == (404, "not_found"), path
    assert await database.fetchval("SELECT count(*) FROM jobs WHERE status = 'queued'") == 2


async def test_a_job_is_cancelled_once(market, member, database):
    ada = await member(role="member")
    job_id = await queue_job(database, ada.org_id)
    path = f"/api/jobs/{job_id}/cancel"
    first = await post(market, ada, path, **{"Idempotency-Key": "a"})
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert first.json() == await show(market, ada, job_id)
    again = await post(market, ada, path, **{"Idempotency-Key": "a"})
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    ended = await post(market, ada, path)
    assert (ended.status_code, ended.json()["code"], ended.json()["state"]) == (409, "job_ended", "cancelled")
    admin = await member(org=ada.org_id)
    assert await audited(market, admin, str(job_id)) == ["job.cancelled"]


async def test_the_worker_of_a_running_job_is_asked_to_stop(market, member, database):
    ada = await member()
    job_id = await queue_job(database, ada.org_id)
    await begin(database, job_id)
    asked = await post(market, ada, f"/api/jobs/{job_id}/cancel")
    assert (asked.status_code, asked.json()["status"]) == (202, "running")
    assert asked.json()["cancel_requested_at"] is not None
    assert await database.fetchval("SELECT kind FROM job_events ORDER BY seq DESC LIMIT 1") == "cancel_requested"
    assert await audited(market, ada, str(job_id)) == ["job.cancel_requested"]


async def test_only_what_failed_was_held_or_cancelled_is_tried_again(market, member, database):
    ada = await member()
    failed = await failed_job(database, ada.org_id)
    path = f"/api/jobs/{failed}/retry"
    again = await post(market, ada, path)
    assert (again.status_code, again.json()["status"], again.json()["finished_at"]) == (200, "queued", None)
    assert await database.fetchval("SELECT count(*) FROM pgqueuer WHERE dedupe_key = $1", str(failed)) == 1
    assert await audited(market, ada, str(failed)) == ["job.retried"]
    for job_id, state in ((failed, "queued"), (await finished_job(database, ada.org_id), "succeeded")):
        refused = await post(market, ada, f"/api/jobs/{job_id}/retry")
        assert (refused.status_code, refused.json()["code"]) == (409, "job_not_retryable")
        assert refused.json()["state"] == state
    viewer = await member(role="viewer", org=ada.org_id)
    for action in ("retry", "cancel"):
        refusal = post(market, viewer, f"/api/jobs/{failed}/{action}")
        assert await problem(refusal) == (403, "insufficient_role")


async def test_a_job_is_not_tried_again_beside_its_twin(market, member, database):
    ada = await member()
    failed = await failed_job(database, ada.org_id, dedupe_key="once")
    twin = await queue_job(database, ada.org_id, dedupe_key="once")
    assert await problem(post(market, ada, f"/api/jobs/{failed}/retry")) == (409, "job_under_way")
    assert twin != failed
    assert await database.fetchval("SELECT status FROM jobs WHERE id = $1", failed) == "failed"


async def test_a_failed_try_shows_until_one_succeeds(market, member, database):
    ada = await member()
    job_id = await queue_job(database, ada.org_id)
    await store.retry(database.fetch, job_id, await begin(database, job_id), "rate_limited: slow down", timedelta(0))
    waiting = await show(market, ada, job_id)
    assert (waiting["status"], waiting["error"]["code"]) == ("queued", "rate_limited")
    await store.succeed(database.fetch, job_id, await begin(database, job_id), None)
    assert (await show(market, ada, job_id))["error"] is None

"""The inbox: what is pushed onto the Redis list `job_queue` becomes a job, once, whatever dies in between."""

import asyncio
import base64
import json
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import redis
from pydantic import SecretStr
from structlog.testing import capture_logs

from tandem.core.db import Database
from tandem.core.jobs.registry import Jobs, handles
from tandem.core.jobs.worker import WorkerError, run_worker, working
from tandem.core.postgres_url import parse_database_url
from tandem.core.settings import SettingsError
from tandem.market_ai.analysis.schemas import AnalyzeCampaign
from tandem.market_ai.generation.schemas import GenerateContent
from tandem.market_ai.inbox import moving
from tandem.market_ai.inbox.lists import QUEUE, REJECTED, TAKEN, Lists
from tandem.market_ai.inbox.messages import Taken
from tandem.market_ai.inbox.moving import Inbox, inbox
from tandem.market_ai.sending.schemas import SendEmail
from tests.core.jobs_service import QUICK, until
from tests.redis_server import RedisServer, needs_redis

pytestmark = needs_redis


def generate(message, org_id):
    return GenerateContent(
        campaign_id=message["campaign_id"], kind=message.get("kind", "email"), brief=message["brief"]
    )


def analyze(message, org_id):
    return AnalyzeCampaign(campaign_id=message["campaign_id"])


@handles(AnalyzeCampaign)
async def analysis(job, payload):
    return {"campaign": str(payload.campaign_id)}


def send(message, org_id):
    return SendEmail.pushed(message)


MAKERS = {"generate_content": generate, "analyze_campaign": analyze, "send_email": send}
JOBS = Jobs("test-worker", handlers=[analysis], running=[inbox(MAKERS)])


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(moving, "LONGEST_PAUSE", 0.1)


@pytest.fixture(scope="module")
def server():
    with RedisServer() as server:
        yield server


@pytest.fixture
def queue(server):
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def settings(market_settings, server, queue):
    return market_settings.model_copy(update={"redis_url": SecretStr(server.url)})


@pytest.fixture
async def connection(market_url):
    connection = await asyncpg.connect(**parse_database_url(market_url).asyncpg_args)
    yield connection
    await connection.close()


@pytest.fixture
async def campaign(connection, member):
    """(organization, campaign)"""
    ada, campaign_id = await member(), uuid4()
    await connection.execute(
        "INSERT INTO campaigns (org_id, id, name, type) VALUES ($1, $2, 'Stollen', 'email')", ada.org_id, campaign_id
    )
    return ada.org_id, campaign_id


@pytest.fixture
async def boxes(settings, server):
    """`boxes()` is the inbox of another worker that never says it lives."""
    database, made = Database(settings, settings.database), []

    def box():
        made.append(Inbox(Lists(server.url, str(uuid4())), database, MAKERS))
        return made[-1]

    yield box
    for one in made:
        await one.lists.close()
    await database.close()


def order(campaign, **fields):
    return json.dumps({"type": "analyze_campaign", "campaign_id": str(campaign[1]), **fields})


async def jobs(connection):
    return await connection.fetch("SELECT id, type, owner, payload, status FROM jobs ORDER BY id")


def left(queue):
    """Every key of Redis that is left."""
    return sorted(key.decode() for key in queue.scan_iter())


async def until_true(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what changes is in Redis
            await asyncio.sleep(0.01)


async def test_a_pushed_message_becomes_a_job_that_is_done(settings, queue, connection, campaign):
    async with working(settings, JOBS, options=QUICK):
        queue.lpush(QUEUE, order(campaign))
        await until(connection, "SELECT count(*) = 1 FROM jobs WHERE status = 'succeeded'")
    (job,) = await jobs(connection)
    assert (job["type"], job["owner"]) == ("analyze_campaign", campaign[0])
    assert json.loads(job["payload"])["campaign_id"] == str(campaign[1])
    event = await connection.fetchrow("SELECT org_id, actor, action, object_id FROM audit_events")
    assert tuple(event) == (campaign[0], "service:inbox", "job.received", str(job["id"]))
    assert left(queue) == []


async def test_messages_are_taken_in_their_order_and_the_same_text_twice_means_two_jobs(
    boxes, queue, connection, campaign
):
    texts = [order(campaign, type="generate_content", brief=str(n)) for n in (1, 2, 2, 3)]
    for text in texts:
        queue.lpush(QUEUE, text)
    await boxes().move_all()
    assert [json.loads(job["payload"])["brief"] for job in await jobs(connection)] == ["1", "2", "2", "3"]
    assert left(queue) == []


@pytest.mark.parametrize("died", ["before the stamp", "before the commit", "before the removal"])
async def test_a_worker_that_dies_in_between_loses_and_doubles_nothing(boxes, queue, connection, campaign, died):
    queue.lpush(QUEUE, order(campaign))
    dead = boxes()
    taken = Taken.of(await dead.lists.take())
    if died != "before the stamp":
        taken, before = taken.stamped(), taken
        assert await dead.lists.restamp(before.entry, taken.entry)
    if died == "before the removal":
        await dead._enqueue(taken)
        await connection.execute("UPDATE jobs SET status = 'succeeded', finished_at = now()")
    assert left(queue) == [dead.lists._mine]
    await boxes().recover()
    (job,) = await jobs(connection)
    assert died == "before the stamp" or job["id"] == taken.job_id
    assert job["status"] == ("succeeded" if died == "before the removal" else "queued")
    assert await connection.fetchval("SELECT count(*) FROM audit_events") == 1
    assert left(queue) == []


async def test_a_worker_that_lives_keeps_its_messages(boxes, queue, connection, campaign):
    queue.lpush(QUEUE, order(campaign))
    living, other = boxes(), boxes()
    entry = await living.lists.take()
    worker = UUID(living.lists._mine.removeprefix(TAKEN))
    await connection.execute("INSERT INTO job_workers (id, host, pid, version) VALUES ($1, 'here', 1, '1')", worker)
    await other.recover()
    assert (await living.lists.mine(), await jobs(connection)) == ([entry], [])
    other.silence = timedelta(0)  # now it was silent for too long, and is only slow
    await asyncio.gather(other.recover(), living.settle(entry))
    assert len(await jobs(connection)) == 1
    assert left(queue) == []


async def test_what_can_never_be_a_job_is_kept_with_its_reason(boxes, queue, connection, campaign, monkeypatch):
    monkeypatch.setattr("tandem.market_ai.inbox.messages.MAX_BYTES", 500)
    cases = [
        (b"{", "not valid JSON"),
        (b"\xff\x00", "not valid JSON"),
        (b"[1]", "not an object with a type"),
        (b'{"type": 7}', "not an object with a type"),
        (b'{"type": "analyze_campaign", "campaign_id": "\\u0000"}', "NUL"),
        (b'{"type": "shout", "campaign_id": "x"}', "no such job type: 'shout'; there are analyze_campaign"),
        (b'{"type": "send_email", "to": "ada@example.com"}', "campaign_id is missing or no UUID"),
        (b'{"type": "analyze_campaign"}', "campaign_id is missing or no UUID"),
        (b'{"type": "analyze_campaign", "campaign_id": 7}', "campaign_id is missing or no UUID"),
        (order((None, uuid4())).encode(), "there is no campaign"),
        (order(campaign, type="generate_content").encode(), "KeyError: 'brief'"),
        (order(campaign, type="send_email").encode(), "content_id: Field required"),
        (order(campaign, type="generate_content", brief="x", kind="poem").encode(), "kind: Input should be"),
        (order(campaign, brief="x" * 500).encode(), "longer than 500 bytes"),
    ]
    for raw, _ in cases:
        queue.lpush(QUEUE, raw)
    with capture_logs() as logs:
        await boxes().move_all()
    kept = [json.loads(entry) for entry in reversed(queue.lrange(REJECTED, 0, -1))]
    assert len(kept) == len(cases)
    for (raw, reason), one in zip(cases, kept, strict=True):
        assert reason in one["reason"], (raw, one)
        message = base64.b64decode(one["message_base64"]) if "message_base64" in one else one["message"].encode()
        assert message == raw
    assert (await jobs(connection), left(queue)) == ([], [REJECTED])
    assert [line["reason"] for line in logs if line["event"] == "inbox_rejected"] == [one["reason"] for one in kept]


async def test_a_redis_that_goes_away_is_waited_for(settings, server, queue, connection, campaign):
    queue.lpush(QUEUE, order(campaign))
    async with working(settings, JOBS, options=QUICK):
        await until(connection, "SELECT count(*) = 1 FROM jobs")
        server.kill()
        await asyncio.sleep(0.2)
        server.start()
        queue.lpush(QUEUE, order(campaign))
        await until(connection, "SELECT count(*) = 2 FROM jobs WHERE status = 'succeeded'")
        server.kill()
    server.start()


async def test_a_message_waits_for_a_database_that_fails(settings, queue, connection, campaign):
    await connection.execute("ALTER TABLE campaigns RENAME TO moved_away")
    async with working(settings, JOBS, options=QUICK):
        queue.lpush(QUEUE, order(campaign))
        await until_true(lambda: queue.keys(TAKEN + "*"))
        await asyncio.sleep(0.1)
        assert len(queue.keys(TAKEN + "*")) == 1
        await connection.execute("ALTER TABLE moved_away RENAME TO campaigns")
        await until(connection, "SELECT count(*) = 1 FROM jobs WHERE status = 'succeeded'")
        await until_true(lambda: not left(queue))


async def test_a_worker_that_runs_once_empties_the_queue_first(settings, queue, connection, campaign):
    for _ in range(3):
        queue.lpush(QUEUE, order(campaign))
    async with asyncio.timeout(10):
        await run_worker(settings, JOBS, stop=asyncio.Event(), options=QUICK, once=True)
    assert [job["status"] for job in await jobs(connection)] == ["succeeded"] * 3


async def test_a_worker_does_without_redis(market_settings, server, connection):
    await run_worker(market_settings, JOBS, stop=asyncio.Event(), options=QUICK, once=True)
    away = market_settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    async with asyncio.timeout(10):
        await run_worker(away, JOBS, stop=asyncio.Event(), options=QUICK, once=True)
    wrong = market_settings.model_copy(update={"redis_url": SecretStr("http://u:hunter2@x")})
    with pytest.raises((SettingsError, WorkerError), match="not a Redis URL") as error:
        await run_worker(wrong, JOBS, stop=asyncio.Event(), options=QUICK, once=True)
    assert "hunter2" not in str(error.value)

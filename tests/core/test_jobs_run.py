"""How a job runs, fails, is retried, cancelled, held, and what a worker does when it leaves."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tandem.core.jobs import enqueue, operate, store
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.errors import Superseded, WorkerError
from tandem.core.jobs.queue_table import TABLES
from tandem.core.jobs.registry import Backoff, Jobs, cron, handles
from tandem.core.jobs.schedule import fire, latest
from tandem.core.jobs.worker import run_worker, working
from tests.core.jobs_service import (
    QUICK,
    SOON,
    Alone,
    Die,
    Fail,
    Note,
    Sleep,
    Steps,
    a_worker,
    connect,
    ended,
    job_settings,
    jobs,
    note,
    until,
)
from tests.servers import clean_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Any]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


async def put(connection: Any, payload: Any, **options: Any) -> Any:
    async with connection.transaction():
        return await enqueue(connection, payload, **options)


async def kinds(connection: Any, job_id: Any) -> list[str]:
    return [event["kind"] for event in await operate.events(connection, job_id)]


# ---- success and failure


async def test_a_job_runs_once_and_keeps_its_result(connection: Any, database_url: str) -> None:
    async with a_worker(database_url), a_worker(database_url):
        ids = [await put(connection, Note(text=str(n))) for n in range(40)]
        result = await put(connection, Sleep(seconds=0))
        for job_id in ids:
            row = await ended(connection, job_id)
            assert (row["status"], row["attempts"], row["failures"]) == ("succeeded", 1, 0)
        assert (await ended(connection, result))["result"] == '{"slept": 0.0}'
    assert await connection.fetchval("SELECT count(*) FROM done") == len(ids)
    assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 0
    assert await kinds(connection, result) == ["running", "succeeded"]


async def test_a_failing_job_is_retried_until_it_succeeds(connection: Any, database_url: str) -> None:
    async with a_worker(database_url):
        row = await ended(connection, job_id := await put(connection, Fail(times=3)))
    assert (row["status"], row["attempts"], row["failures"], row["result"]) == ("succeeded", 4, 3, "3")
    assert await kinds(connection, job_id) == ["running", "retry"] * 3 + ["running", "succeeded"]


async def test_a_job_out_of_retries_is_kept_with_its_error_and_retried_by_hand(
    connection: Any, database_url: str
) -> None:
    async with a_worker(database_url):
        job_id = await put(connection, Fail(times=4))
        row = await ended(connection, job_id)
        assert (row["status"], row["failures"]) == ("failed", 4)
        assert row["error"].startswith("ValueError: ")
        assert "hunter2secret" not in row["error"]
        await connection.execute("""UPDATE jobs SET payload = '{"times": 0}' WHERE id = $1""", job_id)
        async with connection.transaction():
            assert await operate.retry(connection, job_id)
            assert not await operate.retry(connection, job_id)
        row = await ended(connection, job_id, status="succeeded")
    assert (row["failures"], row["error"]) == (0, None)


async def test_a_failure_for_good_is_not_retried(connection: Any, database_url: str) -> None:
    async with a_worker(database_url):
        row = await ended(connection, await put(connection, Fail(times=1, how="for good")))
    assert (row["status"], row["attempts"], row["error"]) == ("failed", 1, "this campaign is gone")


async def test_a_payload_of_another_version_fails_for_good(connection: Any, database_url: str) -> None:
    job_id = await put(connection, Fail(times=0))
    await connection.execute("""UPDATE jobs SET payload = '{"secret": "x"}' WHERE id = $1""", job_id)
    async with a_worker(database_url):
        row = await ended(connection, job_id)
    assert (row["status"], row["error"]) == ("failed", "its payload does not fit this version: times")


async def test_a_job_over_its_time_limit_is_interrupted_and_retried(connection: Any, database_url: str) -> None:
    async with a_worker(database_url):
        row = await ended(connection, job_id := await put(connection, Fail(times=1, how="slow")))
    assert (row["status"], row["failures"]) == ("succeeded", 1)
    errors = [event["data"] for event in await operate.events(connection, job_id) if event["kind"] == "retry"]
    assert "took longer than 0.3 s" in errors[0]


async def test_a_handler_chooses_when_it_is_tried_again(connection: Any, database_url: str) -> None:
    async with a_worker(database_url):
        row = await ended(connection, await put(connection, Fail(times=1, how="later")))
    assert row["started_at"] - row["created_at"] >= timedelta(seconds=0.4)


def test_backoff_doubles_with_jitter_up_to_its_longest() -> None:
    backoff = Backoff(timedelta(seconds=2), 2.0, timedelta(seconds=60))
    for failures, full in ((1, 2), (2, 4), (3, 8), (6, 60), (1000, 60)):
        delays = {backoff.delay(failures).total_seconds() for _ in range(200)}
        assert full / 2 <= min(delays) < full * 0.6
        assert full * 0.9 < max(delays) <= full


async def test_one_type_is_held_to_its_concurrency_over_all_workers(connection: Any, database_url: str) -> None:
    ids = [await put(connection, Alone()) for _ in range(8)]
    async with a_worker(database_url), a_worker(database_url):
        for job_id in ids:
            assert (await ended(connection, job_id))["status"] == "succeeded"
    order = [row["step"] for row in await connection.fetch("SELECT step FROM paid ORDER BY at")]
    assert order == ["begin", "end"] * 8


# ---- steps, progress, fencing


async def test_a_finished_step_is_replayed_and_not_paid_twice(connection: Any, database_url: str) -> None:
    calls = {"first": 0, "second": 0}

    @handles(Steps, retries=2, backoff=SOON)
    async def pay_then_fail(job: JobContext, _: Steps) -> int:
        async def call(name: str) -> int:
            calls[name] += 1
            return calls[name]

        first = await job.step("first", lambda: call("first"))
        if job.attempt == 1:
            raise ConnectionResetError
        return first + await job.step("second", lambda: call("second"))

    async with a_worker(database_url, pay_then_fail):
        row = await ended(connection, await put(connection, Steps()))
    assert (row["status"], row["attempts"], row["result"]) == ("succeeded", 2, "2")
    assert calls == {"first": 1, "second": 1}


async def test_progress_is_numbered_without_gaps(connection: Any, database_url: str) -> None:
    async with a_worker(database_url):
        row = await ended(connection, job_id := await put(connection, Steps(count=3)))
    events = await operate.events(connection, job_id)
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["kind"] for event in events] == ["running", "progress", "progress", "progress", "succeeded"]
    assert (row["progress"], row["result"]) == (1.0, '{"total": 6}')
    assert await operate.events(connection, job_id, after=4) == events[4:]


async def test_a_run_that_was_taken_for_dead_changes_nothing(connection: Any, database_url: str) -> None:
    job_id = await put(connection, Note())
    worker, other = job_id, job_id
    old = await store.start(connection.fetch, job_id, worker, 5)
    new = await store.start(connection.fetch, job_id, other, 5)
    assert old is not None
    assert new is not None
    assert (old.attempt, new.attempt, new.lost) == (1, 2, 1)
    for late in (
        store.succeed(connection.fetch, job_id, old.attempt, None),
        store.finished_step(connection.fetch, job_id, old.attempt, "pay"),
        store.progress(connection.fetch, job_id, old.attempt, kind="progress", data={}, fraction=None),
    ):
        with pytest.raises(Superseded):
            await late
    assert not await store.fail(connection.fetch, job_id, old.attempt, "late")
    assert not await store.retry(connection.fetch, job_id, old.attempt, "late", timedelta(0))
    await store.succeed(connection.fetch, job_id, new.attempt, None)
    await store.succeed(connection.fetch, job_id, new.attempt, None)  # its answer was lost: asked again
    assert await store.start(connection.fetch, job_id, worker, 5) is None


async def test_what_a_superseded_run_wrote_is_rolled_back(connection: Any, database_url: str) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    @handles(Note, profile="paid")
    async def slow(job: JobContext, payload: Note) -> None:
        async with job.finish() as mine:
            await mine.execute("INSERT INTO done (job_id, note) VALUES ($1, 'first run')", job.id)
            entered.set()
            await go_on.wait()

    async with a_worker(database_url, slow):
        job_id = await put(connection, Note())
        await asyncio.wait_for(entered.wait(), 5)
        assert await store.start(connection.fetch, job_id, job_id, 5) is not None
        go_on.set()
        await asyncio.sleep(0.3)
    assert await connection.fetchval("SELECT count(*) FROM done") == 0
    assert await connection.fetchval("SELECT status FROM jobs") == "running"


# ---- cancelling


async def test_a_queued_job_is_cancelled_at_once(connection: Any, database_url: str) -> None:
    job_id = await put(connection, Note(), delay=timedelta(hours=1))
    async with connection.transaction():
        assert await operate.cancel(connection, job_id) == "cancelled"
        assert await operate.cancel(connection, job_id) is None
    assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 0
    async with a_worker(database_url):
        async with connection.transaction():
            assert await operate.retry(connection, job_id)
        assert (await ended(connection, job_id))["status"] == "succeeded"


async def test_cancelling_reaches_a_running_handler(connection: Any, database_url: str) -> None:
    async with a_worker(database_url, report=timedelta(hours=1)) as worker:
        job_id = await put(connection, Sleep(seconds=25))
        await ended(connection, job_id, status="running")
        async with connection.transaction():
            assert await operate.cancel(connection, job_id) == "running"
        row = await ended(connection, job_id, within=2)
        assert (row["status"], len(worker.runs)) == ("cancelled", 0)
    assert await kinds(connection, job_id) == ["running", "cancel_requested", "cancelled"]


async def test_a_cancellation_nobody_heard_is_found_all_the_same(connection: Any, database_url: str) -> None:
    async with a_worker(database_url):
        job_id = await put(connection, Sleep(seconds=25))
        await ended(connection, job_id, status="running")
        await connection.execute("UPDATE jobs SET cancel_requested_at = now() WHERE id = $1", job_id)
        assert (await ended(connection, job_id, within=3))["status"] == "cancelled"


# ---- crons


async def test_a_cron_seen_by_several_workers_fires_once(connection: Any, database_url: str) -> None:
    every_minute = cron("tick", "* * * * *", Note(text="tick"))
    await connection.execute("INSERT INTO job_crons VALUES ('tick', $1)", datetime.now(UTC) - timedelta(hours=3))
    async with (
        a_worker(database_url, note, crons=[every_minute]),
        a_worker(database_url, note, crons=[every_minute]),
        a_worker(database_url, note, crons=[every_minute]),
    ):
        await asyncio.sleep(1)
    fired = await connection.fetchval("SELECT count(*) FROM jobs")
    assert fired in {1, 2}  # two when the test met the turn of a minute
    assert await connection.fetchval("SELECT fired_at FROM job_crons") >= datetime.now(UTC) - timedelta(minutes=1)


async def test_every_time_of_a_cron_fires_once_and_with_its_transaction(connection: Any, database_url: str) -> None:
    hourly = cron("hourly", "0 * * * *", Note())
    at = latest(hourly, datetime(2026, 5, 1, 10, 30, tzinfo=UTC))
    assert at == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert latest(hourly, at) == at
    await connection.execute("INSERT INTO job_crons VALUES ('hourly', $1)", at - timedelta(hours=5))
    transaction = connection.transaction()
    await transaction.start()
    assert await fire(connection, hourly, at)
    await transaction.rollback()
    async with connection.transaction():
        assert await fire(connection, hourly, at)
        assert not await fire(connection, hourly, at)
    assert await connection.fetchval("SELECT count(*) FROM jobs") == 1


async def test_a_new_cron_waits_for_its_first_time(connection: Any, database_url: str) -> None:
    async with a_worker(database_url, note, crons=[cron("yearly", "0 0 1 1 *", Note())]):
        await asyncio.sleep(0.5)
    assert await connection.fetchval("SELECT count(*) FROM jobs") == 0


def test_wrong_registrations_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="cron expression"):
        cron("x", "61 * * * *", Note())
    with pytest.raises(ValueError, match="two handlers"):
        Jobs("x", handlers=[note, note])
    with pytest.raises(ValueError, match="nobody handles sleep"):
        Jobs("x", handlers=[note], crons=[cron("x", "* * * * *", Sleep(seconds=1))])


# ---- leaving and repairing


async def test_a_leaving_worker_lets_short_jobs_finish_and_gives_long_ones_back(
    connection: Any, database_url: str
) -> None:
    async with a_worker(database_url, drain=timedelta(seconds=0.7)):
        short = await put(connection, Sleep(seconds=0.4))
        long = await put(connection, Sleep(seconds=25))
        for job_id in (short, long):
            await ended(connection, job_id, status="running")
    row = await connection.fetchrow("SELECT status, failures, lost FROM jobs WHERE id = $1", long)
    assert tuple(row) == ("queued", 0, 0)
    assert await connection.fetchval("SELECT status FROM jobs WHERE id = $1", short) == "succeeded"
    assert await connection.fetchval("SELECT status::text FROM pgqueuer") == "queued"
    assert await connection.fetchval("SELECT count(*) FROM job_workers") == 0
    async with a_worker(database_url):  # another has it at once
        assert (await ended(connection, long, status="running", within=2))["attempts"] == 2
        async with connection.transaction():
            await operate.cancel(connection, long)


async def test_a_job_in_no_queue_is_queued_again(connection: Any, database_url: str) -> None:
    job_id = await put(connection, Note())
    await connection.execute("DELETE FROM pgqueuer")
    await connection.execute("UPDATE jobs SET status = 'running', worker_id = $1, started_at = now()", job_id)
    async with a_worker(database_url, upkeep=timedelta(hours=1)) as worker:
        assert await worker.upkeep.repair() == 0  # it may just be on its way
        assert await worker.upkeep.repair(young=timedelta(0)) == 1
        assert (await ended(connection, job_id))["status"] == "succeeded"


async def test_history_and_the_engines_log_are_pruned(connection: Any, database_url: str) -> None:
    async with a_worker(database_url):
        old, failed = await put(connection, Note()), await put(connection, Fail(times=1, how="for good"))
        new = await put(connection, Note())
        for job_id in (old, failed, new):
            await ended(connection, job_id)
        await connection.execute("UPDATE jobs SET finished_at = now() - interval '31 days' WHERE id <> $1", new)
        await until(connection, "SELECT NOT EXISTS (SELECT FROM pgqueuer)")
        await connection.execute("UPDATE pgqueuer_log SET created = now() - interval '2 hours'")
        assert await connection.fetchval("SELECT count(*) FROM pgqueuer_log") > 0
        await until(connection, "SELECT NOT EXISTS (SELECT FROM pgqueuer_log)")
    assert {row["id"] for row in await connection.fetch("SELECT id FROM jobs")} == {failed, new}


async def test_a_job_that_kills_its_process_is_held(connection: Any, database_url: str, tmp_path: Path) -> None:
    job_id = await put(connection, Die())
    environment = clean_environment(DATABASE_URL=database_url, PYTHONPATH=str(ROOT))
    command = [sys.executable, "-m", "tests.core.jobs_service"]
    starts = 0
    with (tmp_path / "log").open("wb") as log:
        while await connection.fetchval("SELECT status FROM jobs") != "held":
            starts += 1
            assert starts < 12, (tmp_path / "log").read_text()
            # The engine gives a picked job to another after the heartbeat; here that is not waited for.
            await connection.execute("UPDATE pgqueuer SET heartbeat = now() - interval '1 hour'")
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
            async with asyncio.timeout(20):
                while process.returncode is None:
                    if await connection.fetchval("SELECT status FROM jobs") == "held":
                        process.send_signal(signal.SIGTERM)
                        await process.wait()
                    await asyncio.sleep(0.02)
    row = await connection.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)
    assert (row["attempts"], row["lost"], row["error"]) == (5, 5, "held: 5 starts never ended")
    assert await connection.fetchval("SELECT count(*) FROM done") == 5


# ---- starting


async def test_a_worker_refuses_a_transaction_pooler(database_url: str) -> None:
    settings = job_settings(f"{database_url}&pgbouncer=true")
    with pytest.raises(WorkerError, match="DIRECT_DATABASE_URL"):
        await run_worker(settings, jobs(), stop=asyncio.Event())


async def test_a_worker_goes_to_the_direct_address(database_url: str, connection: Any) -> None:
    named = job_settings("postgresql://me@nowhere-pooler.invalid/x")
    settings = named.model_copy(update={"direct_database_url": job_settings(database_url).database_url})
    async with working(settings, jobs(), options=QUICK):
        assert (await ended(connection, await put(connection, Note())))["status"] == "succeeded"


async def test_a_worker_says_that_the_tables_are_missing(postgres: Any, connection: Any) -> None:
    postgres.create_database("without_jobs")
    with pytest.raises(WorkerError, match="tandem migrate"):
        await run_worker(job_settings(postgres.url("without_jobs")), jobs(), stop=asyncio.Event())


async def test_the_engine_finds_its_schema_as_it_wants_it(connection: Any) -> None:
    from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver

    from tandem.core.jobs import engine

    plan = await engine.queries(AsyncpgDriver(connection)).plan_upgrade()
    assert list(plan.statements) == [], "a new migration has to bring the engine's schema up to date"
    settings = engine.SETTINGS
    named = {settings.queue_table, settings.queue_table_log, settings.statistics_table, settings.schedules_table}
    assert named == TABLES
    logged = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relname = ANY($1) AND relpersistence = 'p'", list(TABLES)
    )
    assert len(logged) == len(TABLES)


def test_enqueueing_does_not_load_the_engine() -> None:
    code = "import sys, tandem.core.jobs, tandem.momentum.main; print([m for m in sys.modules if 'pgqueuer' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"

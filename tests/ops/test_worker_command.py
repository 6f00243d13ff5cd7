"""`tandem worker`, `tandem serve --with-worker` and `tandem jobs` as a person or a platform runs them."""

import asyncio
import json
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tandem.accounts.schemas import PurgeExpiredSessions
from tandem.core.jobs import enqueue
from tests.core.jobs_service import connect
from tests.ops.test_cli import TANDEM, fetch, tandem
from tests.servers import RunningServer, clean_environment, free_port

IN_THE_TRASH = """
INSERT INTO "user" (id, name, email, "emailVerified") VALUES ('u', 'u', 'u@example.com', false);
INSERT INTO tasks (user_id, id, title) VALUES ('u', gen_random_uuid(), 'old'), ('u', gen_random_uuid(), 'new');
UPDATE tasks SET deleted_at = now() - CASE title WHEN 'old' THEN interval '31 days' ELSE interval '1 day' END;
"""


def put(url: str, sql: str = "SELECT 1", **options: Any) -> UUID:
    async def run() -> UUID:
        connection = await connect(url)
        try:
            async with connection.transaction():
                await connection.execute(sql)
                return await enqueue(connection, PurgeExpiredSessions(), **options)
        finally:
            await connection.close()

    return asyncio.run(run())


def jobs(url: str, cwd: Path, *arguments: str) -> Any:
    return tandem("jobs", *arguments, cwd=cwd, DATABASE_URL=url)


def wait_for(url: str, sql: str, within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not fetch(url, sql)[0][0]:
        assert time.monotonic() < deadline, sql
        time.sleep(0.1)


def test_once_purges_the_old_trash_and_leaves(database_url: str, tmp_path: Path) -> None:
    put(database_url, IN_THE_TRASH)
    done = tandem("worker", "momentum", "--once", cwd=tmp_path, DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    assert [row["title"] for row in fetch(database_url, "SELECT title FROM tasks")] == ["new"]
    results = fetch(database_url, "SELECT type, status, result::text FROM jobs ORDER BY type")
    assert {row["type"]: row["status"] for row in results} == {
        "purge_expired_sessions": "succeeded",
        "purge_trash": "succeeded",
    }
    assert json.loads(results[-1]["result"]) == {"removed": 1}


def test_a_worker_answers_health_checks_and_counts(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    command = [*TANDEM, "worker", "momentum", "--health-port", str(port)]
    with RunningServer(command, port, clean_environment(DATABASE_URL=database_url), tmp_path) as worker:
        job_id = put(database_url)
        wait_for(database_url, "SELECT bool_and(status = 'succeeded') FROM jobs")
        status, body = worker.request("GET", "/health")
        assert (status, body["status"], body["database"]) == (200, "healthy", "connected")
        assert (body["service"], body["jobs"]["workers"]) == ("momentum-todo-worker", 1)
        with urllib.request.urlopen(f"{worker.url}/metrics", timeout=5) as answer:  # noqa: S310 - our own
            text = answer.read().decode()
        assert 'jobs_ended_total{outcome="succeeded",type="purge_expired_sessions"} 1.0' in text
        assert "job_workers 1.0" in text
        assert worker.request("GET", "/health/live")[0] == 200
        assert worker.terminate(signal.SIGTERM) == 0
    assert fetch(database_url, "SELECT attempts FROM jobs WHERE id = $1", job_id)[0][0] == 1


def test_metrics_of_a_deployed_worker_want_the_token(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    environment = clean_environment(
        DATABASE_URL=database_url, ENVIRONMENT="production", CORS_ORIGINS="https://todo.acme.dev",
        SESSION_HASH_SECRET="f3a91c7e5b2d48069ce1d7a4b85f2063", HEALTH_TOKEN="a-token-for-the-worker",
    )  # fmt: skip
    command = [*TANDEM, "worker", "momentum", "--health-port", str(port)]
    with RunningServer(command, port, environment, tmp_path) as worker:
        status, problem = worker.request("GET", "/metrics")
        assert (status, problem["code"]) == (401, "unauthorized")
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{worker.url}/metrics", headers={"Authorization": "Bearer a-token-for-the-worker"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            assert answer.status == 200


@pytest.mark.parametrize("how", ["the option", "the setting"])
def test_a_web_process_may_run_the_worker(how: str, database_url: str, tmp_path: Path) -> None:
    port = free_port()
    command = [*TANDEM, "serve", "momentum", "--port", str(port)]
    environment = clean_environment(DATABASE_URL=database_url)
    if how == "the option":
        command.append("--with-worker")
    else:
        environment["RUN_WORKER"] = "true"
    with RunningServer(command, port, environment, tmp_path) as server:
        put(database_url)
        wait_for(database_url, "SELECT bool_and(status = 'succeeded') FROM jobs")
        assert server.terminate() == 0
    assert fetch(database_url, "SELECT count(*) FROM job_workers")[0][0] == 0


def test_operators_list_show_cancel_retry_and_purge(database_url: str, tmp_path: Path) -> None:
    job_id = str(put(database_url, owner="acme"))
    listed = jobs(database_url, tmp_path, "list", "momentum", "--json", "--owner", "acme", "--status", "queued")
    assert [job["id"] for job in json.loads(listed.stdout)] == [job_id]
    for_people = jobs(database_url, tmp_path, "list", "momentum")
    assert job_id in for_people.stdout
    assert "1 due" in for_people.stdout
    assert "cancelled" in jobs(database_url, tmp_path, "cancel", "momentum", job_id).stderr
    again = jobs(database_url, tmp_path, "cancel", "momentum", job_id)
    assert (again.returncode, "does not wait or run" in again.stderr) == (1, True)
    assert jobs(database_url, tmp_path, "retry", "momentum", job_id).returncode == 0
    assert jobs(database_url, tmp_path, "retry", "momentum", job_id).returncode == 1
    fetch(database_url, "UPDATE jobs SET status = 'failed', error = 'ValueError: no', finished_at = now() RETURNING id")
    assert "1 queued again" in jobs(database_url, tmp_path, "retry", "momentum", "--all-failed").stderr
    shown = json.loads(jobs(database_url, tmp_path, "show", "momentum", job_id, "--json").stdout)
    assert (shown["status"], shown["payload"], shown["owner"]) == ("queued", {}, "acme")
    assert [event["kind"] for event in shown["events"]] == ["cancelled", "queued", "queued"]
    assert job_id in jobs(database_url, tmp_path, "show", "momentum", job_id).stdout
    refused = jobs(database_url, tmp_path, "purge", "momentum", "--status", "queued")
    assert (refused.returncode, "only jobs that ended" in refused.stderr) == (1, True)
    fetch(database_url, "UPDATE jobs SET status = 'failed', finished_at = now() - interval '3 days' RETURNING id")
    assert "0 deleted" in jobs(database_url, tmp_path, "purge", "momentum", "--status", "failed").stderr
    assert "1 deleted" in jobs(database_url, tmp_path, "purge", "momentum", "--status", "failed", "--days", "2").stderr


def test_wrong_calls_are_said_in_words(database_url: str, tmp_path: Path, postgres: Any) -> None:
    assert "a status is one of" in jobs(database_url, tmp_path, "list", "momentum", "--status", "lost").stderr
    missing = "00000000-0000-7000-8000-000000000000"
    assert f"there is no job {missing}" in jobs(database_url, tmp_path, "show", "momentum", missing).stderr
    assert jobs(database_url, tmp_path, "retry", "momentum").returncode == 2
    pooled = tandem("worker", "momentum", cwd=tmp_path, DATABASE_URL=f"{database_url}&pgbouncer=true")
    assert (pooled.returncode, "DIRECT_DATABASE_URL" in pooled.stderr) == (1, True)
    postgres.create_database("not_migrated")
    for arguments in (["worker", "momentum"], ["jobs", "list", "momentum"]):
        empty = tandem(*arguments, cwd=tmp_path, DATABASE_URL=postgres.url("not_migrated"))
        assert (empty.returncode, "tandem migrate" in empty.stderr) == (1, True), empty.stderr

"""What callers get when the database fails for real: an honest 503, then service as before, and nothing half-written."""

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest
import requests

from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url
from tandem.ops.migrate import migrate
from tandem.ops.services import SERVICES
from tests.builders import User
from tests.conformance.live import LiveServer, serve
from tests.conformance.tables import Tables
from tests.databases import Clones, cluster_parent

Serve = Callable[..., LiveServer]


@pytest.fixture(scope="module")
def mortal() -> Iterator[EmbeddedPostgres]:
    """A server that may be stopped and killed, with a migrated database."""
    directory = cluster_parent()
    postgres = EmbeddedPostgres(directory / "postgres", durable=True)
    try:
        postgres.start()
        postgres.create_database("momentum")
        migrate(SERVICES["momentum"], postgres.url("momentum"))
        yield postgres
        postgres.destroy()
    finally:
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def serve_clone(clones: Clones, postgres: EmbeddedPostgres) -> Iterator[Serve]:
    """Momentum on a database of the test's own; the server is stopped by its `with` block."""
    name = clones.take()
    yield lambda **values: serve(postgres.url(name), **values)
    clones.drop(name)


def test_a_stopped_database_is_503_and_all_is_well_once_it_is_back(mortal: EmbeddedPostgres) -> None:
    with serve(mortal.url("momentum"), pool_timeout=2) as server:
        user = server.sign_up()
        task = server.api(user, "POST", "/api/tasks", json={"title": "Survives"})
        _in_parallel(server, user, 8)  # so that the pool has several connections to lose
        assert _health(server) == (200, "healthy", "connected")

        mortal.stop()
        for method, path, body in (
            ("GET", "/api/tasks", None),
            ("POST", "/api/tasks", {"title": "Lost"}),
            ("GET", f"/api/tasks/{task['id']}", None),
            ("GET", "/api/auth/get-session", None),
            ("GET", "/api/tokens", None),
            ("GET", "/api/export", None),
        ):
            _is_unavailable(_request(server, user, method, path, body), "database_unavailable")
        time.sleep(1.1)  # the answer of health is kept for a second
        assert _health(server) == (503, "unhealthy", "disconnected")
        assert server.http.get(f"{server.url}/health/live", timeout=10).status_code == 200

        mortal.start()
        answers = [_request(server, user, "GET", "/api/tasks").status_code for _ in range(10)]
        assert answers == [200] * 10, "a connection of the time before was handed out"
        time.sleep(1.1)
        assert _health(server) == (200, "healthy", "connected")
        assert [t["title"] for t in server.api(user, "GET", "/api/tasks")["items"]] == ["Survives"]


def test_a_restart_between_two_requests_goes_unnoticed(mortal: EmbeddedPostgres) -> None:
    with serve(mortal.url("momentum"), pool_timeout=2) as server:
        user = server.sign_up()
        _in_parallel(server, user, 8)
        mortal.stop()
        mortal.start()
        assert set(_in_parallel(server, user, 8)) == {200}
        server.api(user, "POST", "/api/tasks", json={"title": "After the restart"})


def test_a_database_that_is_killed_in_the_middle_of_a_write_keeps_nothing_of_it(mortal: EmbeddedPostgres) -> None:
    """The bulk request has written all of its tasks but the last when the server dies under it."""
    with serve(mortal.url("momentum"), statement_timeout=10) as server:
        user = server.sign_up()
        label = server.api(user, "POST", "/api/labels", json={"name": "locked"})["id"]
        holder = _Holder(mortal.url("momentum"), "SELECT FROM labels WHERE user_id = $1 FOR UPDATE", user.id)
        with holder:
            answer = _Later(lambda: _request(server, user, "DELETE", f"/api/labels/{label}"))
            holder.wait_for_another_waiting_for_it()
            assert mortal.pid is not None
            os.kill(mortal.pid, signal.SIGKILL)
            _is_unavailable(answer.result(), "database_unavailable")
        # Its backends notice a moment before it can be reaped, and start() leaves a server alone that seems to run.
        while mortal.pid is not None:
            time.sleep(0.01)
        mortal.start()
        assert [one["id"] for one in server.api(user, "GET", "/api/labels")["items"]] == [label]
        assert [c["version"] for c in server.api(user, "GET", "/api/sync")["changes"]] == [1]


def test_a_bulk_write_that_is_cut_off_leaves_nothing(mortal: EmbeddedPostgres) -> None:
    with serve(mortal.url("momentum"), statement_timeout=10) as server, Tables(mortal.url("momentum")) as tables:
        user = server.sign_up()
        task = server.api(user, "POST", "/api/tasks", json={"title": "Locked"})
        before = tables.rows_of(user.id)
        operations = [{"op": "create", "data": {"title": f"Lost {n}"}} for n in range(50)]
        operations.append({"op": "complete", "id": task["id"]})
        with _Holder(mortal.url("momentum"), "SELECT FROM tasks WHERE user_id = $1 FOR UPDATE", user.id) as holder:
            answer = _Later(lambda: _request(server, user, "POST", "/api/tasks/bulk", {"operations": operations}))
            backend = holder.wait_for_another_waiting_for_it()
            assert tables.fetchval("SELECT pg_terminate_backend($1)", backend)
            _is_unavailable(answer.result(), "database_unavailable")
        assert tables.rows_of(user.id) == before
        assert server.api(user, "GET", "/api/tasks")["total"] == 1


def test_an_exhausted_pool_is_503_in_time_and_the_service_stays_healthy(serve_clone: Serve) -> None:
    with serve_clone(pool_size=1, pool_overflow=0, pool_timeout=0.5) as server:
        user = server.sign_up()
        with _Holder(server.database_url, "SELECT momentum_lock($1)", user.id) as holder:
            writer = _Later(lambda: _request(server, user, "POST", "/api/tasks", {"title": "Waits"}))
            holder.wait_for_another_waiting_for_it()
            began = time.monotonic()
            for method, path, body in (("GET", "/api/tasks", None), ("POST", "/api/tasks", {"title": "No"})):
                _is_unavailable(_request(server, user, method, path, body), "pool_exhausted")
            assert time.monotonic() - began < 3
            assert _health(server) == (200, "healthy", "connected")
        assert writer.result().status_code == 201
        assert server.api(user, "GET", "/api/tasks")["total"] == 1


def test_a_write_that_waits_too_long_for_its_turn_is_a_statement_timeout(serve_clone: Serve) -> None:
    with serve_clone(statement_timeout=0.5) as server:
        user = server.sign_up()
        with _Holder(server.database_url, "SELECT momentum_lock($1)", user.id):
            _is_unavailable(_request(server, user, "POST", "/api/tasks", {"title": "No"}), "statement_timeout")
            assert server.api(user, "GET", "/api/tasks")["total"] == 0, "a reader waits for nobody"
            other = server.sign_up()
            server.api(other, "POST", "/api/tasks", json={"title": "Another user's turn is another turn"})
        server.api(user, "POST", "/api/tasks", json={"title": "Yes"})
        assert [c["version"] for c in server.api(user, "GET", "/api/sync")["changes"]] == [1]


def test_a_write_waits_for_its_users_other_write_and_then_goes_on(serve_clone: Serve) -> None:
    with serve_clone() as server:
        user = server.sign_up()
        with _Holder(server.database_url, "SELECT momentum_lock($1)", user.id) as holder:
            answer = _Later(lambda: _request(server, user, "POST", "/api/tasks", {"title": "Patient"}))
            holder.wait_for_another_waiting_for_it()
        assert answer.result().status_code == 201


def test_a_deadlock_is_a_503_that_a_retry_solves(serve_clone: Serve) -> None:
    """An operator's transaction holds the task and then wants the user's turn, which the request has."""
    with serve_clone() as server:
        user = server.sign_up()
        task = server.api(user, "POST", "/api/tasks", json={"title": "Wanted by two"})
        url = f"/api/tasks/{task['id']}"
        with _Holder(server.database_url, "SELECT FROM tasks WHERE user_id = $1 FOR UPDATE", user.id) as holder:
            holder.be_the_last_to_look_for_deadlocks()
            answer = _Later(lambda: _request(server, user, "PATCH", url, {"title": "Mine"}))
            holder.wait_for_another_waiting_for_it()
            holder.run("SELECT momentum_lock($1)", user.id)  # returns when the request was chosen as the victim
            _is_unavailable(answer.result(), "unavailable")
        assert server.api(user, "GET", url) == task
        assert server.api(user, "PATCH", url, json={"title": "Mine"})["title"] == "Mine"


class _Holder:
    """A transaction of somebody else's that runs a statement, and keeps its locks until the `with` block ends."""

    def __init__(self, database_url: str, sql: str, *args: Any) -> None:
        self._where = parse_database_url(database_url).asyncpg_args
        self._loop = asyncio.new_event_loop()
        self._sql, self._args = sql, args

    def __enter__(self) -> "_Holder":
        self._connection = self._wait(asyncpg.connect(**self._where))
        self._watcher = self._wait(asyncpg.connect(**self._where))
        self._pid = self._connection.get_server_pid()
        self.run("BEGIN")
        self.run(self._sql, *self._args)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in (self._connection, self._watcher):
            connection.terminate()
        self._wait(asyncio.sleep(0))
        self._loop.close()

    def run(self, sql: str, *args: Any) -> None:
        self._wait(self._connection.fetch(sql, *args) if args else self._connection.execute(sql))

    def be_the_last_to_look_for_deadlocks(self) -> None:
        """The one who looks first, after deadlock_timeout, is cancelled."""
        self.run("SET LOCAL deadlock_timeout = '60s'")

    def wait_for_another_waiting_for_it(self) -> int:
        """The process id of the backend that is blocked by this transaction."""
        sql = "SELECT pid FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)) LIMIT 1"
        deadline = time.monotonic() + 10
        while (blocked := self._wait(self._watcher.fetchval(sql, self._pid))) is None:
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.02)
        return int(blocked)

    def _wait(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)


class _Later:
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], requests.Response]) -> None:
        self._answers: list[requests.Response] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(call()))
        self._thread.start()

    def result(self) -> requests.Response:
        self._thread.join(30)
        assert self._answers, "there was no answer"
        return self._answers[0]


def _request(server: LiveServer, user: User, method: str, path: str, body: Any = None) -> requests.Response:
    """Outside `server.http`, which is one thread's."""
    return requests.request(method, server.url + path, json=body, headers=user.headers, timeout=20)


def _in_parallel(server: LiveServer, user: User, count: int) -> list[int]:
    calls = [_Later(lambda: _request(server, user, "GET", "/api/tasks")) for _ in range(count)]
    return [call.result().status_code for call in calls]


def _health(server: LiveServer) -> tuple[int, str, str]:
    answer = server.http.get(f"{server.url}/health", timeout=10)
    return answer.status_code, answer.json()["status"], answer.json()["database"]


def _is_unavailable(response: requests.Response, code: str) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"]) == (503, code), response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert int(response.headers["Retry-After"]) >= 1
    assert problem["request_id"] == response.headers["X-Request-ID"]

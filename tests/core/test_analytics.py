"""Product events, received by a real HTTP server that plays PostHog."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import httpx2
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from tandem.core import analytics
from tandem.core.settings import Settings
from tests.builders import SECRET

KEY = "phc_loopback"


class PostHog:
    """`statuses` are answered one after the other, then 200. While `silent` is set nothing is answered."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.statuses: list[int] = []
        self.silent = threading.Event()
        self.leave = threading.Event()
        self.came = threading.Condition()
        handler = type("Handler", (_Handler,), {"posthog": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def taken(self) -> list[dict[str, Any]]:
        """Events of requests that were answered with 200, each once."""
        return list({one["uuid"]: one for _, body in self.requests for one in body["batch"]}.values())

    async def wait_for(self, count: int) -> None:
        """Until so many events were taken."""

        def wait() -> bool:
            with self.came:
                return self.came.wait_for(lambda: len(self.taken) >= count, 30)

        assert await asyncio.to_thread(wait), self.requests

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    posthog: PostHog

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.posthog.silent.is_set():
            self.posthog.leave.wait(30)
            return
        status = self.posthog.statuses.pop(0) if self.posthog.statuses else 200
        if status == 200:
            with self.posthog.came:
                self.posthog.requests.append((self.path, body))
                self.posthog.came.notify_all()
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, *args: Any) -> None:
        pass


@pytest.fixture
def posthog(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostHog]:
    monkeypatch.setattr(analytics, "FIRST_PAUSE", 0.01)
    with PostHog() as server:
        yield server


def configured(host: str, **more: Any) -> Settings:
    given: dict[str, Any] = {
        "environment": "test", "app_version": "9.8.7", "posthog_api_key": SecretStr(KEY), "posthog_host": host,
        "session_hash_secret": SecretStr(SECRET),
    }  # fmt: skip
    return Settings(_env_file=None, **given | more)


async def test_an_event_says_what_and_not_who(posthog: PostHog) -> None:
    async with analytics.running(configured(posthog.url + "/"), service="the-worker"):
        analytics.capture("task_created", "user-1", size=3)
        analytics.capture("task_created", "user-1")
        analytics.capture("task_created", "user-2")
    [(path, body)] = posthog.requests
    assert (path, body["api_key"]) == ("/batch/", KEY)
    first, second, other = body["batch"]
    assert first["event"] == "task_created"
    assert first["properties"] == {
        "service": "the-worker", "version": "9.8.7", "environment": "test", "size": 3, "$lib": "tandem",
        "$process_person_profile": False, "$geoip_disable": True,
    }  # fmt: skip
    assert first["distinct_id"] == second["distinct_id"] != other["distinct_id"]
    assert first["uuid"] != second["uuid"]
    assert "user-1" not in json.dumps(body)


async def test_ids_cannot_be_found_again_without_the_secret_of_the_service(posthog: PostHog) -> None:
    for secret in (SECRET, "another secret, that is long enough for it"):
        async with analytics.running(configured(posthog.url, session_hash_secret=SecretStr(secret))):
            analytics.capture("signed_up", "user-1")
    assert len({one["distinct_id"] for one in posthog.taken}) == 2


async def test_a_full_batch_does_not_wait(posthog: PostHog) -> None:
    async with analytics.running(configured(posthog.url)):
        for number in range(2 * analytics.BATCH):
            analytics.capture("task_created", f"user-{number}")
        await posthog.wait_for(2 * analytics.BATCH)
    assert len(posthog.taken) == 2 * analytics.BATCH
    assert {len(body["batch"]) for _, body in posthog.requests} == {analytics.BATCH}


async def test_what_failed_for_a_while_is_sent_again_and_known_by_its_id(posthog: PostHog) -> None:
    posthog.statuses = [503, 429]
    async with analytics.running(configured(posthog.url)):
        analytics.capture("signed_up", "user-1")
    assert [one["event"] for one in posthog.taken] == ["signed_up"]
    assert posthog.statuses == []


@pytest.mark.parametrize("statuses", [[401], [500, 500, 500]])
async def test_what_cannot_be_sent_is_dropped_and_said_so(posthog: PostHog, statuses: list[int]) -> None:
    posthog.statuses = list(statuses)
    with capture_logs() as logged:
        async with analytics.running(configured(posthog.url)):
            analytics.capture("signed_up", "user-1")
    assert (posthog.taken, posthog.statuses) == ([], [])
    assert "analytics_dropped" in [line["event"] for line in logged]
    assert f"status {statuses[0]}" in str(logged)
    assert KEY not in str(logged)


@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "not an address", "http://[::bad"])
async def test_an_address_without_posthog_stops_nothing(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(analytics, "INTERVAL", 0.01)
    async with analytics.running(configured(host)):
        analytics.capture("signed_up", "user-1")
        await asyncio.sleep(0.1)
        analytics.capture("signed_up", "user-2")
        assert [task.get_name() for task in asyncio.all_tasks()].count("analytics") == 1
    assert not analytics.active()


async def test_more_than_fits_is_dropped_and_the_end_waits_only_so_long(
    posthog: PostHog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analytics, "FLUSH_TIMEOUT", 0.2)
    posthog.silent.set()
    began = time.monotonic()
    with capture_logs() as logged:
        async with analytics.running(configured(posthog.url)):
            await asyncio.sleep(0)
            for number in range(analytics.QUEUE + 30):
                analytics.capture("task_created", f"user-{number}")
            assert time.monotonic() - began < 5  # nobody waits for it
    assert time.monotonic() - began < 20  # the machine may be busy; unbounded it would be 30 and more
    assert sum(line.get("events", 0) for line in logged if line["event"] == "analytics_dropped") == analytics.QUEUE + 30


async def test_without_a_key_nothing_is_sent(posthog: PostHog) -> None:
    async with analytics.running(configured(posthog.url, posthog_api_key=None)):
        analytics.capture("signed_up", "user-1")
        assert not analytics.active()
    assert posthog.requests == []


def test_no_client_is_imported_without_a_key() -> None:
    code = (
        "import asyncio, sys\n"
        "from tandem.core.settings import Settings\n"
        "from tandem.core.app import create_app\n"
        "app = create_app(Settings(_env_file=None), title='x', description='x', routers=[])\n"
        "async def run():\n"
        "    async with app.router.lifespan_context(app): pass\n"
        "asyncio.run(run())\n"
        "print('httpx2' in sys.modules)"
    )
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/none"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- of a service


async def test_what_people_do_with_momentum_becomes_events(settings: Settings, posthog: PostHog) -> None:
    from tandem.momentum.main import build

    app = build(settings.model_copy(update={"posthog_api_key": SecretStr(KEY), "posthog_host": posthog.url}))
    ada = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        token = (await client.post("/api/auth/sign-up/email", json=ada)).json()["token"]
        client.cookies.clear()
        assert (await client.post("/api/auth/sign-up/email", json=ada)).status_code == 422
        client.headers["Authorization"] = f"Bearer {token}"
        task = {"id": "01980b13-7f2e-7c3a-9d55-3f1f0a6b2c11", "title": "A telling title"}
        assert (await client.post("/api/tasks", json=task)).status_code == 201
        assert (await client.post("/api/tasks", json=task)).status_code == 200  # it was there
        assert (await client.post("/api/tasks", json={"title": ""})).status_code == 422
        assert (await client.post(f"/api/tasks/{task['id']}/complete")).status_code == 200
        assert (await client.post("/api/tasks/01980b13-0000-7c3a-9d55-3f1f0a6b2c11/complete")).status_code == 404
    assert [one["event"] for one in posthog.taken] == ["signed_up", "task_created", "task_completed"]
    assert len({one["distinct_id"] for one in posthog.taken}) == 1
    sent = json.dumps(posthog.requests)
    for private in ("Ada", "example.com", "telling", token, task["id"]):
        assert private not in sent

"""A deploy loses nothing: behind a real nginx a migration is applied and every process replaced, under load.

Every request of every client has to be answered as on any other day, POSTs too, which nginx does not repeat. Every job
has to end well, those that a worker left half done too, and the model is paid once for each.
"""

import asyncio
import contextlib
import itertools
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from tandem.core.postgres_url import parse_database_url
from tandem.ops.migrate import migrate
from tandem.ops.services import SERVICES, Service
from tests.builders import SECRET, User, signed_up_user
from tests.nginx_server import Nginx
from tests.openai_server import OpenAIServer
from tests.servers import RunningServer, clean_environment, free_port

CLIENTS = 8
PATIENCE = 240  # seconds that nothing takes, unless it never comes
PAUSE = 0.02  # seconds between three requests of a client, so that processes can start beside them
JOBS = 3  # that each of the AI clients orders before a worker is replaced
AI_CLIENTS = 3
MODEL_TAKES = 1.5  # seconds; a worker is told to leave while it waits for the model
COPY = {
    "headline": "Tulips",
    "body": "Tulips, while stocks last.",
    "call_to_action": "Order",
    "channel": [{"name": "subject", "value": "Tulips"}, {"name": "preheader", "value": "Now"}],
    "citations": [],
}
EXPAND = '''
"""What a version to come would do to a table in use: a column, and an index that locks nobody out."""

from alembic import op

revision, down_revision = "9999_expand", "{head}"


def upgrade() -> None:
    op.execute("ALTER TABLE {table} ADD COLUMN colour text NOT NULL DEFAULT 'green'")
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY ix_{table}_colour ON {table} (colour)")
'''


@dataclass(frozen=True)
class Coming(Service):
    """A service, one revision ahead."""

    directory: Path = Path()

    @property
    def versions_dir(self) -> Path:
        return self.directory


@dataclass
class Load:
    """What the clients saw. `failures` is what they should not have seen."""

    made: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(
        self, client: httpx2.AsyncClient, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx2.Response | None:
        try:
            answer = await client.request(method, path, json=body, headers=headers)
        except httpx2.HTTPError as error:
            self.failures.append(f"{method} {path}: {error!r}")
            return None
        if not answer.is_success:
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return None
        self.made[f"{method} {answer.status_code}"] += 1
        return answer

    async def more(self, requests: int) -> None:
        """Until so many more were answered: whatever happened, the load went on after it."""
        wanted = self.made.total() + requests
        async with asyncio.timeout(PATIENCE):
            while self.made.total() < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def coming(service: Service, table: str, directory: Path) -> Coming:
    shutil.copytree(service.versions_dir, directory, ignore=shutil.ignore_patterns("__pycache__"))
    head = max(path.stem for path in directory.glob("*.py"))
    (directory / "9999_expand.py").write_text(EXPAND.format(head=head, table=table))
    return Coming(**{**vars(service), "directory": directory})


@contextlib.asynccontextmanager
async def client_of(url: str, user: User) -> AsyncIterator[httpx2.AsyncClient]:
    """One keep-alive connection, as a front end's server has it."""
    limits = httpx2.Limits(max_connections=1)
    async with httpx2.AsyncClient(
        base_url=url, headers=user.headers, timeout=60, limits=limits, trust_env=False
    ) as client:
        yield client


async def use_brands(load: Load, url: str, user: User) -> None:
    async with client_of(url, user) as client:
        for number in itertools.count():
            if load.over.is_set():
                return
            made = await load.send(client, "POST", "/api/brands", {"name": f"Brand {number}"})
            if made is not None:
                path, etag = f"/api/brands/{made.json()['id']}", made.headers["etag"]
                await load.send(client, "PATCH", path, {"voice": {"tone": "warm"}}, **{"If-Match": etag})
            await load.send(client, "GET", "/api/brands?limit=20")
            await asyncio.sleep(PAUSE)


async def use_tasks(load: Load, url: str, user: User) -> None:
    async with client_of(url, user) as client:
        for number in itertools.count():
            if load.over.is_set():
                return
            made = await load.send(client, "POST", "/api/tasks", {"title": f"Task {number}"})
            if made is not None:
                await load.send(client, "POST", f"/api/tasks/{made.json()['id']}/complete")
            await load.send(client, "GET", "/api/tasks?limit=20")
            await asyncio.sleep(PAUSE)


async def order_copy(load: Load, url: str, user: User) -> None:
    """Twice within a minute at most: more than ten jobs would be too many for the rate limit."""
    async with client_of(url, user) as client:
        campaign = await load.send(client, "POST", "/api/campaigns", {"name": "Spring bulbs", "type": "email"})
        assert campaign is not None, load.failures
        for number in range(JOBS):
            order = {"kind": "email", "brief": f"Tulips, letter {number}.", "variants": 1}
            job = await load.send(client, "POST", f"/api/campaigns/{campaign.json()['id']}/generate", order)
            if job is not None:
                load.jobs.append(job.json()["id"])


@contextlib.asynccontextmanager
async def under_load(clients: list[Awaitable[None]], load: Load) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(client) for client in clients]
    try:
        yield
        load.over.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Instances:
    """Processes of one service. `replace` ends one with SIGTERM and starts its successor on the same port."""

    def __init__(self, service: str, directory: Path, **settings: str) -> None:
        self._service, self._directory = service, directory
        self._environment = clean_environment(
            SESSION_HASH_SECRET=SECRET, RATE_LIMIT="1000000/minute", LOG_LEVEL="INFO", **settings
        )
        self.running: dict[str, RunningServer] = {}
        self._starts = itertools.count()

    def start(self, name: str, *command: str, port: int | None = None) -> RunningServer:
        chosen = port or free_port()
        words = [word.format(port=chosen) for word in command]
        directory = self._directory / f"{next(self._starts)}-{name}"
        directory.mkdir()
        server = RunningServer([sys.executable, "-m", "tandem", *words], chosen, self._environment, directory)
        self.running[name] = server.__enter__()
        return server

    def serve(self, name: str, port: int | None = None) -> RunningServer:
        return self.start(name, "serve", self._service, "--port", "{port}", port=port)

    def work(self, name: str) -> RunningServer:
        return self.start(name, "worker", self._service, "--health-port", "{port}")

    def end(self, name: str) -> None:
        server = self.running.pop(name)
        code = server.terminate(patience=60)
        assert code == 0, server.output()

    def replace(self, name: str) -> None:
        port = self.running[name].port
        self.end(name)
        self.serve(name, port)


@pytest.fixture
def momentum(database_url: str, tmp_path: Path) -> Iterator[Instances]:
    instances = Instances("momentum", tmp_path, DATABASE_URL=database_url, WEB_CONCURRENCY="2")
    yield instances
    for server in instances.running.values():
        server.__exit__(None, None, None)


async def in_database(url: str, sql: str, *args: Any) -> Any:
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    try:
        return await connection.fetchval(sql, *args)
    finally:
        await connection.close()


async def test_a_deploy_of_market_ai_fails_no_request_and_loses_no_job(market_url: str, tmp_path: Path) -> None:
    load, service = Load(), SERVICES["market-ai"]
    users = [await signed_up_user(market_url) for _ in range(CLIENTS + AI_CLIENTS)]
    next_version = coming(service, "brands", tmp_path / "versions")
    with OpenAIServer(tmp_path / "billed", behave=f"slow:{MODEL_TAKES}") as model:
        model.control["answer"] = {"variants": [COPY]}
        instances = Instances(
            "market-ai", tmp_path, DATABASE_URL=market_url, OPENAI_API_KEY="sk-loopback", OPENAI_BASE_URL=model.url()
        )
        try:
            for start in (instances.serve, instances.work):
                await asyncio.gather(*(asyncio.to_thread(start, f"{start.__name__} {n}") for n in ("a", "b")))
            ports = [instances.running[name].port for name in ("serve a", "serve b")]
            with Nginx(tmp_path, *ports) as nginx:
                async with under_load([use_brands(load, nginx.url, user) for user in users[:CLIENTS]], load):
                    await load.more(100)
                    await asyncio.to_thread(migrate, next_version, market_url)
                    await load.more(100)
                    for name in ("serve a", "serve b"):
                        await asyncio.to_thread(instances.replace, name)
                        await load.more(100)
                    for name in ("work a", "work b"):
                        await asyncio.gather(*(order_copy(load, nginx.url, user) for user in users[CLIENTS:]))
                        await has_a_job(market_url, instances.running[name].process.pid)
                        await asyncio.to_thread(instances.end, name)
                        if name == "work a":  # one is enough to take over what is left
                            await asyncio.to_thread(instances.work, "next")
                    await load.more(100)
                assert load.failures == [], nginx.errors()[-3000:]
                await all_ended(market_url)
        finally:
            for server in instances.running.values():
                server.__exit__(None, None, None)
        paid = model.ledger.total()
    assert await in_database(market_url, "SELECT count(*) FROM brands") == load.made["POST 201"] - 2 * AI_CLIENTS
    assert await in_database(market_url, "SELECT count(*) FROM brands WHERE colour = 'green'") > 0
    states = "SELECT string_agg(DISTINCT concat_ws(': ', status, error), ' ') FROM jobs WHERE id = ANY($1::uuid[])"
    assert await in_database(market_url, states, load.jobs) == "succeeded"
    assert len(load.jobs) == 2 * AI_CLIENTS * JOBS == paid["requests"] == paid["billed"]


async def has_a_job(url: str, pid: int) -> None:
    """Until the worker of that process is at one: it is then told to leave in the middle of it."""
    at_one = """SELECT count(*) FROM jobs j JOIN job_workers w ON w.id = j.worker_id
                 WHERE j.status = 'running' AND j.type = 'generate_content' AND w.pid = $1"""
    deadline = time.monotonic() + PATIENCE
    while not await in_database(url, at_one, pid):
        assert time.monotonic() < deadline, "the worker takes no job"
        await asyncio.sleep(0.05)


async def all_ended(url: str) -> None:
    open_jobs = "SELECT count(*) FROM jobs WHERE type = 'generate_content' AND status IN ('queued', 'running')"
    deadline = time.monotonic() + PATIENCE
    while left := await in_database(url, open_jobs):
        assert time.monotonic() < deadline, f"{left} jobs have not ended"
        await asyncio.sleep(0.1)


async def test_a_deploy_of_momentum_with_several_workers_fails_no_request(
    database_url: str, momentum: Instances, tmp_path: Path
) -> None:
    load = Load()
    users = [await signed_up_user(database_url) for _ in range(CLIENTS)]
    next_version = coming(SERVICES["momentum"], "tasks", tmp_path / "versions")
    for name in ("a", "b"):
        await asyncio.to_thread(momentum.serve, name)
    with Nginx(tmp_path, *(server.port for server in momentum.running.values())) as nginx:
        async with under_load([use_tasks(load, nginx.url, user) for user in users], load):
            await load.more(100)
            await asyncio.to_thread(migrate, next_version, database_url)
            for name in ("a", "b"):
                await asyncio.to_thread(momentum.replace, name)
                await load.more(100)
        assert load.failures == [], nginx.errors()[-3000:]
    assert await in_database(database_url, "SELECT count(*) FROM tasks") == load.made["POST 201"]

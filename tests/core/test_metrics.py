"""Metrics of one process, and of a real uvicorn with two workers."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from tandem.core import metrics
from tandem.core.app import create_app
from tandem.core.ratelimit import Limit
from tandem.core.settings import Settings

NOWHERE = "postgresql://tandem@127.0.0.1:1/none"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

router = APIRouter()


@router.get("/things/{number}")
async def thing(number: int) -> dict[str, int]:
    return {"number": number}


@router.get("/limited", dependencies=[Depends(Limit("1/hour", name="metered").per_address)])
async def limited() -> None:
    return None


@asynccontextmanager
async def serving(web_concurrency: int = 1) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
    url = SecretStr(NOWHERE)
    settings = Settings(_env_file=None, environment="test", database_url=url, web_concurrency=web_concurrency)
    app = create_app(settings, title="Metrics", description="", routers=[router])
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client,
    ):
        yield app, client


def parse(text: str) -> Samples:
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


async def scrape(client: httpx2.AsyncClient) -> Samples:
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return parse(response.text)


async def test_requests_are_counted_and_timed_by_route_template() -> None:
    async with serving() as (_, client):
        before = await scrape(client)
        for number in range(5):
            await client.get(f"/things/{number}")
        await client.get("/things/x")
        after = await scrape(client)
    grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    route = "/things/{number}"
    assert value(grown, "http_requests_total", method="GET", route=route, status="200") == 5
    assert value(grown, "http_requests_total", method="GET", route=route, status="422") == 1
    assert value(grown, "http_request_duration_seconds_count", method="GET", route=route) == 6
    assert value(grown, "http_request_duration_seconds_bucket", method="GET", route=route, le="+Inf") == 6


async def test_paths_and_methods_that_clients_invent_make_no_new_series() -> None:
    async with serving() as (_, client):
        await client.get("/nothing/0")
        await client.request("BREW", "/nothing/0")
        before = await scrape(client)
        for number in range(50):
            await client.get(f"/nothing/{number}")
            await client.request(f"BREW{number}", f"/coffee/{number}")
        after = await scrape(client)
    assert before.keys() == after.keys()
    labels = {"route": "unmatched", "status": "404"}
    assert value(after, "http_requests_total", method="GET", **labels) >= 51
    assert "BREW" not in str(after.keys())
    assert "coffee" not in str(after.keys())


def test_the_number_of_series_is_bounded_whatever_is_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_SERIES", len(metrics._series) + 10)
    for number in range(100):
        metrics.observe("GET", f"/bounded/{number}", 200, 0.001)
    assert len(metrics._series) == metrics.MAX_SERIES
    assert len(re.findall(r"http_requests_total\{[^}]*/bounded/", metrics.render().decode())) == 10


async def test_a_request_in_progress_is_seen_and_then_gone() -> None:
    async with serving() as (_, client):
        samples = await scrape(client)  # which is itself in progress
        assert value(samples, "http_requests_in_progress") == 1
        assert value(parse(metrics.render().decode()), "http_requests_in_progress") == 0


async def test_refused_requests_are_counted_by_policy() -> None:
    async with serving() as (_, client):
        before = await scrape(client)
        codes = [(await client.get("/limited")).status_code for _ in range(3)]
        after = await scrape(client)
    name = "rate_limited_requests_total"
    assert codes == [200, 429, 429]
    assert value(after, name, policy="metered") - value(before, name, policy="metered") == 2


async def test_pool_process_and_build_are_described() -> None:
    async with serving() as (_, client):
        samples = await scrape(client)
    assert value(samples, "db_pool_connections_max") == 15
    assert value(samples, "db_pool_connections", state="in_use") == 0
    assert value(samples, "process_resident_memory_bytes") > 10_000_000
    assert value(samples, "process_cpu_seconds_total") > 0
    assert value(samples, "process_open_fds") > 3
    assert value(samples, "tandem_build_info", service="tandem", version="0.1.0") == 1


async def test_several_workers_without_a_common_directory_are_warned_about(capsys: pytest.CaptureFixture[str]) -> None:
    for workers, warned in ((1, False), (2, True)):
        async with serving(web_concurrency=workers):
            assert ("metrics_of_one_worker_only" in capsys.readouterr().err) is warned


# Several workers

SERVER = """
import os, sys
import uvicorn
from tandem.core.metrics_directory import prepare_multiprocess

if __name__ == "__main__":
    print(prepare_multiprocess(), flush=True)
    uvicorn.run("workers_app:app", port=int(sys.argv[1]), workers=2, log_level="warning")
"""
APP = """
import os
from fastapi import APIRouter
from pydantic import SecretStr
from tandem.core.app import create_app
from tandem.core.settings import Settings

router = APIRouter()

@router.get("/pid")
async def pid() -> int:
    return os.getpid()

settings = Settings(_env_file=None, environment="test", log_level="ERROR", database_url=SecretStr("%s"))
app = create_app(settings, title="Workers", description="", routers=[router])
"""


@contextmanager
def two_workers(directory: Path) -> Iterator[tuple[str, Path]]:
    """The base URL and the metrics directory of a uvicorn with two workers."""
    (directory / "server.py").write_text(SERVER)
    (directory / "workers_app.py").write_text(APP % NOWHERE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"} | {"TMPDIR": str(directory)}
    command = [sys.executable, "server.py", str(port)]
    with subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{port}", Path(server.stdout.readline().strip())
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()


async def ask(url: str) -> httpx2.Response:
    """On a connection of its own, so that either worker may take it."""
    deadline = time.monotonic() + 30
    while True:
        try:
            async with httpx2.AsyncClient() as client:
                return await client.get(url)
        except httpx2.TransportError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def ask_until_both_answered(base: str, *, but: int | None = None) -> tuple[set[int], int]:
    """The workers' process ids, and how many requests it took. `but` is one that is known to be gone."""
    pids: set[int] = set()
    for asked in range(1, 2000):
        pid = int((await ask(f"{base}/pid")).text)
        assert pid != but
        pids.add(pid)
        if len(pids) == 2:
            return pids, asked
        await asyncio.sleep(0.005)
    raise AssertionError("one worker never answered")


async def test_any_worker_answers_for_all_and_the_dead_are_forgotten_but_their_counts_are_not(tmp_path: Path) -> None:
    def counted(samples: Samples) -> float:
        return value(samples, "http_requests_total", method="GET", route="/pid", status="200")

    def living(samples: Samples) -> set[int]:
        return {int(dict(labels)["pid"]) for name, labels in samples if name == "process_resident_memory_bytes"}

    with two_workers(tmp_path) as (base, directory):
        pids, asked = await ask_until_both_answered(base)
        for _ in range(6):  # whichever worker answers
            samples = parse((await ask(f"{base}/metrics")).text)
            assert counted(samples) == asked
            assert living(samples) == pids
        assert value(samples, "db_pool_connections_max") == 30
        assert value(samples, "http_requests_in_progress") == 1

        victim = pids.pop()
        os.kill(victim, signal.SIGKILL)
        await asyncio.sleep(1)
        survivors, more = await ask_until_both_answered(base, but=victim)
        samples = parse((await ask(f"{base}/metrics")).text)
        assert counted(samples) == asked + more
        assert living(samples) == survivors
        assert not list(directory.glob(f"gauge_live*_{victim}.db"))
    assert not directory.exists()


def test_a_directory_left_by_a_killed_parent_is_swept_and_one_in_use_is_not(tmp_path: Path) -> None:
    program = (
        "import sys, time; from tandem.core.metrics_directory import prepare_multiprocess;"
        "print(prepare_multiprocess(), flush=True); sys.stdin.read()"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"} | {"TMPDIR": str(tmp_path)}

    def owner() -> tuple[subprocess.Popen[str], Path]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", program], env=environment, text=True, **pipes)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    killed, left_behind = owner()
    with killed:
        killed.kill()
    living, in_use = owner()
    with living:
        long_ago = time.time() - 3600
        for directory in (left_behind, in_use):
            os.utime(directory, (long_ago, long_ago))
        another, _ = owner()
        with another:
            assert not left_behind.exists()
            assert in_use.exists()
            another.communicate()
        living.communicate()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_the_operator_named_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "named"))
    assert metrics.prepare_multiprocess() == tmp_path / "named"
    assert (tmp_path / "named").is_dir()

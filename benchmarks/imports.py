"""`python -m benchmarks --imports`: CSV files of leads through one worker, and whether its memory grows with them.

Also run by `make bench`. Prints a table and writes the imports section of docs/performance.md.
"""

import asyncio
import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from pydantic import SecretStr

from benchmarks.load import BenchmarkError
from benchmarks.section import Figure, Section
from benchmarks.servers import own_postgres
from tandem.accounts.principal import Principal
from tandem.core.jobs.registry import Jobs
from tandem.core.jobs.worker import working
from tandem.core.log import configure_logging
from tandem.core.postgres_url import parse_database_url
from tandem.core.settings import Settings
from tandem.market_ai.imports.jobs import import_rows
from tandem.market_ai.imports.schemas import LeadImportFields
from tandem.market_ai.imports.service import start_import
from tandem.market_ai.imports.uploads import inspect_file
from tandem.market_ai.tenancy import OrgWriter
from tandem.ops.services import SERVICES

WHAT = "imports of leads"

MIN_RATE, MAX_GROWTH = 2000.0, 30.0  # rows a second; MB that the largest file may add to what the smallest one took
SERVICE = SERVICES["market-ai"]
FULL, QUICK = (1000, 10_000, 100_000), (100, 500, 1000)
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Measured:
    """Rows a second of new leads and of the same file once more; the most that the worker's memory came to, in MB."""

    rows: int
    new: float
    again: float
    memory: float


def missed(results: list[Measured]) -> Iterator[str]:
    largest = results[-1]
    if largest.new < MIN_RATE:
        yield f"{largest.rows} rows: {largest.new:.0f}/s, the target is {MIN_RATE:g}/s"
    if (growth := largest.memory - results[0].memory) > MAX_GROWTH:
        yield f"memory grew by {growth:.0f} MB with the size of the file, the target is {MAX_GROWTH:g} MB at most"


def serve(url: str) -> None:
    """A worker process, as `tandem worker` is one."""
    configure_logging(settings(url))
    asyncio.run(_serve(url))


async def _serve(url: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with working(settings(url), Jobs("bench", handlers=[import_rows]), stop=stop):
        await stop.wait()


def settings(url: str) -> Settings:
    return SERVICE.settings_class(_env_file=None, environment="test", database_url=SecretStr(url), log_level="ERROR")


def measure(sizes: tuple[int, ...], say: Callable[[str], None]) -> list[Measured]:
    """On a durable Postgres of its own, that is deleted afterwards; each size for an organization of its own."""
    with own_postgres("market-ai") as url, _worker(url) as process:
        results = []
        for rows in sizes:
            say(f"import of {rows} leads")
            results.append(asyncio.run(_measure(url, rows, process)))
        return results


async def _measure(url: str, rows: int, process: psutil.Process) -> Measured:
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    try:
        org_id = f"org-{rows}"
        await connection.execute("INSERT INTO organizations (id, name) VALUES ($1, $1)", org_id)
        data = _file(rows)
        new, memory = await _import(connection, org_id, data, rows, process)
        again, _ = await _import(connection, org_id, data, rows, process)
        made = await connection.fetchval("SELECT count(*) FROM leads WHERE org_id = $1", org_id)
        assert made == rows
        return Measured(rows, new, again, memory)
    finally:
        await connection.close()


async def _import(connection: Any, org_id: str, data: bytes, rows: int, process: psutil.Process) -> tuple[float, float]:
    """Rows a second from the job's start to its end, and the most memory the worker was seen with."""
    principal = Principal(
        user_id="bench", via="session", actor="session:bench", scopes=None, org_id=org_id, role="admin"
    )
    incoming = inspect_file("leads", io.BytesIO(data), "leads.csv", LeadImportFields())
    async with connection.transaction():
        await start_import(OrgWriter(principal, connection, org_id, "admin"), "leads", incoming)
    memory = 0
    while True:
        job = await connection.fetchrow(
            "SELECT status, attempts, error, finished_at - started_at AS took FROM jobs ORDER BY id DESC LIMIT 1"
        )
        memory = max(memory, process.memory_info().rss)
        if job["status"] not in {"queued", "running"}:
            # A restart would count all rows for the time of the last run alone.
            if (job["status"], job["attempts"]) != ("succeeded", 1):
                raise BenchmarkError(f"an import is {job['status']} after {job['attempts']} runs: {job['error']}")
            return rows / job["took"].total_seconds(), memory / MEGABYTE
        await asyncio.sleep(0.02)


def _file(rows: int) -> bytes:
    lines = ["email,name,tags,consent,consent source,city,plan,visits"]
    lines += [
        f'lead{n}@example.com,Lead Number {n},"customer,{n % 50}",granted,newsletter form,Berlin,pro,{n}'
        for n in range(rows)
    ]
    return "\n".join(lines).encode()


@contextmanager
def _worker(url: str) -> Iterator[psutil.Process]:
    """Forked from a process that has imported everything."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.imports"])
    process = context.Process(target=serve, args=(url,))
    process.start()
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join(30)
        process.kill()
        process.join()


def section(results: list[Measured]) -> Section:
    figures = []
    for one in results:
        figures += [
            Figure(f"{one.rows:,} leads: new, rows a second", f"{one.new:,.0f}", f"≥ {MIN_RATE:g}"),
            Figure(f"{one.rows:,} leads: the same file once more", f"{one.again:,.0f}"),
            Figure(f"{one.rows:,} leads: memory of the worker", f"{one.memory:.0f} MB", f"+ {MAX_GROWTH:g} MB at most"),
        ]
    intro = "eight columns, two of them a consent, on a durable Postgres"
    return Section("imports", intro, figures, list(missed(results)))


def run(*, quick: bool, say: Callable[[str], None]) -> None:
    """Measure, show, and unless it is quick write."""
    found = section(measure(QUICK if quick else FULL, say))
    found.show()
    if not quick:
        found.write()

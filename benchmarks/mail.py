"""`python -m benchmarks --mail`: mails through one worker to an SMTP server on the loopback, and 10,000 under kills.

Also run by `make bench`. Prints a table and writes the mail section of docs/performance.md.
"""

import asyncio
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

from benchmarks.section import Figure, Section
from benchmarks.servers import work_folder
from tests.conformance import mail_worker
from tests.conformance.test_mail_once import prove
from tests.conformance.worker_processes import durable_server
from tests.market_ai.making import connected
from tests.smtp_server import smtp_server

ROOT = Path(__file__).parents[1]
WHAT = "sending"
MIN_RATE, MAX_GROWTH = 100.0, 30.0  # mails a second; MB that the most leads may add to what the fewest took
MEGABYTE = 1_000_000
_ACCEPTED = "SELECT count(*) FROM deliveries WHERE state = 'accepted'"


@dataclass(frozen=True)
class Scale:
    """Of each number of leads at most `sent` are waited for; `killed` mails are sent while workers are killed."""

    leads: tuple[int, ...]
    sent: int
    killed: int
    kills: int


FULL = Scale((1000, 10_000, 100_000), 3000, 10_000, 20)
QUICK = Scale((50, 100), 100, 600, 2)


@dataclass(frozen=True)
class Measured:
    """Seconds to plan, mails a second, the worker's CPU ms for each, and the most that its memory came to, in MB."""

    leads: int
    planned: float
    rate: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Results:
    sizes: list[Measured]
    killed: int
    states: Counter[str]


def measure(scale: Scale, say: Callable[[str], None]) -> Results:
    """On a durable Postgres each time, that is deleted afterwards."""
    os.environ["PYTHONPATH"] = str(ROOT)
    sizes = []
    for leads in scale.leads:
        say(f"mails to {leads} leads, one worker")
        with work_folder() as folder, durable_server("market-ai") as database:
            sizes.append(asyncio.run(_measure(database.url("market-ai"), leads, scale.sent, folder)))
    say(f"{scale.killed} mails over 2 workers under kill -9")
    with work_folder() as folder, durable_server("market-ai") as database:
        states = asyncio.run(prove(database, folder, mails=scale.killed, kills=scale.kills))
    return Results(sizes, scale.killed, states)


async def _measure(url: str, leads: int, most: int, folder: Path) -> Measured:
    with smtp_server(folder) as smtp:
        async with connected(url) as connection:
            began = perf_counter()
            await mail_worker.order_sends(connection, leads, 1)
            planned = perf_counter() - began
            with _worker(url, smtp.url) as process:
                wanted, memory = min(leads, most), 0
                first, began, cpu = await _wait(connection, 1), perf_counter(), _cpu(process)
                while (sent := await connection.fetchval(_ACCEPTED)) < wanted:
                    memory = max(memory, process.memory_info().rss)
                    await asyncio.sleep(0.2)
                memory = max(memory, process.memory_info().rss)
                seconds, cpu = perf_counter() - began, _cpu(process) - cpu
                mails = sent - first
                return Measured(leads, planned, mails / seconds, cpu / mails * 1000, memory / MEGABYTE)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _wait(connection: Any, wanted: int) -> int:
    async with asyncio.timeout(60):
        while (sent := await connection.fetchval(_ACCEPTED)) < wanted:  # noqa: ASYNC110 - it is in the database
            await asyncio.sleep(0.01)
    return int(sent)


@contextmanager
def _worker(url: str, smtp: str) -> Iterator[psutil.Process]:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=mail_worker.main, args=(url, smtp))
    process.start()
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.join()


def missed(results: Results) -> Iterator[str]:
    for one in results.sizes[1:]:
        if one.rate < MIN_RATE:
            yield f"{one.leads} leads: {one.rate:.0f} mails/s, the target is {MIN_RATE:g}/s"
    if (growth := results.sizes[-1].memory - results.sizes[0].memory) > MAX_GROWTH:
        yield f"memory grew by {growth:.0f} MB with the number of leads, the target is {MAX_GROWTH:g} MB at most"


def section(results: Results) -> Section:
    figures = []
    for one in results.sizes:
        figures += [
            Figure(f"{one.leads:,} leads: made and planned", f"{one.planned:.1f} s"),
            Figure(f"{one.leads:,} leads: mails a second, one worker", f"{one.rate:,.0f}", f"≥ {MIN_RATE:g}"),
            Figure(f"{one.leads:,} leads: CPU of the worker for a mail", f"{one.cpu:.1f} ms"),
            Figure(
                f"{one.leads:,} leads: memory of the worker", f"{one.memory:.0f} MB", f"+ {MAX_GROWTH:g} MB at most"
            ),
        ]
    told = ", ".join(f"{count} {state}" for state, count in results.states.most_common())
    figures += [
        Figure(f"{results.killed:,} mails under kill -9, sent twice", "0", "0"),
        Figure("what became of them", told, "every one in one state"),
    ]
    intro = (
        "a durable Postgres and an aiosmtpd server on the same machine; "
        f"of more than {FULL.sent:,} leads the first {FULL.sent:,} mails were waited for"
    )
    return Section("mail", intro, figures, list(missed(results)))


def run(*, quick: bool, say: Callable[[str], None]) -> None:
    """Measure, show, and unless it is quick write. Raises AssertionError when somebody was sent two mails."""
    found = section(measure(QUICK if quick else FULL, say))
    found.show()
    if not quick:
        found.write()

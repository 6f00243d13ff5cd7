"""`python -m benchmarks`: everything, or with `--quick` a second per route and nothing written."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks import imports, jobs, mail, market_ai
from benchmarks.load import BenchmarkError, require_wrk
from benchmarks.measure import compare, flatness
from benchmarks.report import Results, show, write
from benchmarks.seeds import User, seed
from benchmarks.servers import clean_environment, momentum_server, raw_server
from benchmarks.startup import import_times, seconds_to_ready
from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url
from tandem.ops.migrate import migrate
from tandem.ops.services import SERVICES

SERVICE = SERVICES["momentum"]
DATABASE = "benchmark"
MEGABYTE = 1_000_000
PARTS: dict[str, Any] = {"jobs": jobs, "market-ai": market_ai, "imports": imports, "mail": mail}
"""What is measured after Momentum, each with a section of its own; or alone."""


@dataclass(frozen=True)
class Scale:
    """How much is measured, and for how long. `large` are numbers of tasks of one user."""

    users: int
    tasks: int
    large: tuple[int, ...]
    rounds: int
    seconds: int
    starts: int


FULL = Scale(users=100, tasks=1000, large=(1000, 30_000, 1_000_000), rounds=5, seconds=3, starts=5)
QUICK = Scale(users=4, tasks=100, large=(500, 1000), rounds=1, seconds=1, starts=1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a second per route, little data, write nothing")
    parser.add_argument("--importtime", action="store_true", help="only show where the time of the imports goes")
    for name, part in PARTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"measure {part.WHAT} only")
    chosen = parser.parse_args()
    try:
        if chosen.importtime:
            _show_imports()
            return
        alone = [part for name, part in PARTS.items() if getattr(chosen, name.replace("-", "_"))]
        if not alone:
            require_wrk()
            results = run(QUICK if chosen.quick else FULL)
            show(results)
            if not chosen.quick:
                write(results)
        for part in alone or PARTS.values():
            part.run(quick=chosen.quick, say=_say)
    except BenchmarkError as error:
        sys.exit(f"benchmarks: {error}")


async def _prepare(postgres: EmbeddedPostgres, scale: Scale) -> list[list[User]]:
    """A migrated, seeded database; its users in groups of equally many tasks."""
    postgres.create_database(DATABASE)
    url = postgres.url(DATABASE)
    await asyncio.to_thread(migrate, SERVICE, url)
    return await seed(url, users=scale.users, tasks=scale.tasks, large=list(scale.large), say=_say)


def run(scale: Scale) -> Results:
    """Everything, on a Postgres of its own that is deleted afterwards; raises BenchmarkError."""
    with _work_folder() as folder, _postgres(folder) as postgres:
        users, *large = asyncio.run(_prepare(postgres, scale))
        url = postgres.url(DATABASE)
        make_ours = partial(momentum_server, url, folder)
        make_raw = partial(raw_server, url, folder, users[0].id)
        _say("starting and stopping")
        ready, raw_ready = (seconds_to_ready(make, times=scale.starts) for make in (make_ours, make_raw))
        with make_ours() as ours, make_raw() as raw:
            settings = {"rounds": scale.rounds, "seconds": scale.seconds, "folder": folder, "say": _say}
            comparisons = compare(ours, raw, users, **settings)
            flat = flatness(ours, [group[0] for group in large], **settings)
            memory = ours.memory() / MEGABYTE
        return Results(comparisons, flat, memory, ready, raw_ready, asyncio.run(_postgres_version(url)))


@contextmanager
def _work_folder() -> Iterator[Path]:
    """Open to the unprivileged user that runs the embedded server for root."""
    folder = Path(tempfile.mkdtemp(prefix="tandem-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder / "postgres") as server:
        try:
            yield server
        finally:
            server.destroy()


async def _postgres_version(url: str) -> str:
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    try:
        version = connection.get_server_version()
        return f"{version.major}.{version.minor}"
    finally:
        await connection.close()


def _show_imports() -> None:
    with _work_folder() as folder:
        for name, microseconds in import_times("tandem.momentum.main", clean_environment(folder)):
            print(f"{microseconds / 1000:8.1f} ms  {name}")


def _say(text: str) -> None:
    print(f"· {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

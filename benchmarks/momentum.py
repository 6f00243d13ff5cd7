"""`python -m benchmarks --momentum`: Momentum beside a bare ASGI callable on the same database, and what it weighs."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import asyncpg

from benchmarks.load import require_wrk
from benchmarks.measure import compare, flatness
from benchmarks.report import Results, show, write
from benchmarks.seeds import seed
from benchmarks.servers import momentum_server, own_postgres, raw_server, work_folder
from benchmarks.startup import seconds_to_ready
from tandem.core.postgres_url import parse_database_url

WHAT = "Momentum beside a raw server"
MEGABYTE = 1_000_000


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


def run(*, quick: bool, say: Callable[[str], None]) -> None:
    """Measure, show, and unless it is quick write. Raises BenchmarkError."""
    require_wrk()
    results = measure(QUICK if quick else FULL, say)
    show(results)
    if not quick:
        write(results)


def measure(scale: Scale, say: Callable[[str], None]) -> Results:
    """Everything, on a Postgres of its own that is deleted afterwards."""
    with work_folder() as folder, own_postgres("momentum") as url:
        users, *large = asyncio.run(seed(url, users=scale.users, tasks=scale.tasks, large=list(scale.large), say=say))
        make_ours = partial(momentum_server, url, folder)
        make_raw = partial(raw_server, url, folder, users[0].id)
        say("starting and stopping")
        ready, raw_ready = (seconds_to_ready(make, times=scale.starts) for make in (make_ours, make_raw))
        with make_ours() as ours, make_raw() as raw:
            settings = {"rounds": scale.rounds, "seconds": scale.seconds, "folder": folder, "say": say}
            comparisons = compare(ours, raw, users, **settings)
            flat = flatness(ours, [group[0] for group in large], **settings)
            memory = ours.memory() / MEGABYTE
        return Results(comparisons, flat, memory, ready, raw_ready, asyncio.run(_postgres_version(url)))


async def _postgres_version(url: str) -> str:
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    try:
        version = connection.get_server_version()
        return f"{version.major}.{version.minor}"
    finally:
        await connection.close()

"""Rounds of the same measurements on both servers in turn, and their medians.

A ratio is taken within one round, where both servers met the same machine a second apart; the median is over rounds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.load import Request, Run, drive
from benchmarks.routes import RAW, ROUTES, Route
from benchmarks.seeds import User
from benchmarks.servers import Server

CONNECTIONS = 8


@dataclass(frozen=True)
class Comparison:
    """Medians over rounds. `ratio` is CPU time per request over the raw server's, `rate_ratio` requests/s."""

    route: Route
    ours: Run
    raw: Run
    ratio: float
    rate_ratio: float


@dataclass(frozen=True)
class Flatness:
    """Median latencies in milliseconds of a list page, by the number of tasks its user has."""

    page: str
    latencies: dict[int, float]

    @property
    def ratio(self) -> float:
        """Of the largest list to the smallest."""
        return self.latencies[max(self.latencies)] / self.latencies[min(self.latencies)]


def compare(
    ours: Server, raw: Server, users: list[User], *, rounds: int, seconds: int, folder: Path, say: Callable[[str], None]
) -> list[Comparison]:
    """Every route in every round, each right after the raw request it is compared with.

    Before several rounds there is one that warms up and counts for nothing; a single one is no measurement anyway.
    """
    found: dict[str, list[tuple[Run, Run]]] = {route.name: [] for route in ROUTES}

    def run(server: Server, route: Route, length: int) -> Run:
        make = RAW[route.against] if server is raw else route.requests
        return drive(server, make(users), seconds=length, connections=CONNECTIONS, folder=folder)

    for number in range(0 if rounds > 1 else 1, rounds + 1):
        say(f"round {number} of {rounds}" if number else "warming up")
        for route in ROUTES:
            pair = run(raw, route, seconds if number else 1), run(ours, route, seconds if number else 1)
            if number:
                found[route.name].append(pair)
    return [_comparison(route, found[route.name]) for route in ROUTES]


def flatness(
    ours: Server, users: list[User], *, rounds: int, seconds: int, folder: Path, say: Callable[[str], None]
) -> list[Flatness]:
    """The first and a deep page of lists of growing length, over one connection so that nothing queues."""
    pages: dict[str, Callable[[User], str]] = {
        "first page": lambda _: "/api/tasks?cursor=",
        "page nine tenths down": lambda user: f"/api/tasks?cursor={user.deep_cursor}",
    }
    found = []
    for name, path in pages.items():
        say(f"list lengths, {name}")
        runs: dict[int, list[float]] = {user.tasks: [] for user in users}
        for _ in range(rounds):
            for user in users:
                request = Request("GET", path(user), user.token)
                done = drive(ours, [request], seconds=seconds, connections=1, folder=folder)
                runs[user.tasks].append(done.p50)
        found.append(Flatness(name, {tasks: median(values) for tasks, values in runs.items()}))
    return found


def _comparison(route: Route, pairs: list[tuple[Run, Run]]) -> Comparison:
    raw, ours = _median([raw for raw, _ in pairs]), _median([ours for _, ours in pairs])
    return Comparison(
        route,
        ours,
        raw,
        ratio=median(ours.cpu / raw.cpu for raw, ours in pairs),
        rate_ratio=median(ours.rate / raw.rate for raw, ours in pairs),
    )


def _median(runs: list[Run]) -> Run:
    return Run(
        rate=median(run.rate for run in runs),
        p50=median(run.p50 for run in runs),
        p99=median(run.p99 for run in runs),
        cpu=median(run.cpu for run in runs),
    )

"""How many connections a database must bear: pools x processes x instances, twice while a deploy replaces them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tandem.ops.doctor.result import Check, Result

CONNECTIONS = Check(
    "database.connections",
    "At the limit Postgres refuses connections: requests wait, then fail, and most likely during a deploy.",
)
PROBE = 1  # the health check's own connection
QUEUE = 5  # a worker's for its queue (4) and to listen (1)
RESERVED = 10  # for migrations, backups and a person with psql
SMALL = 100  # connections of a Render Postgres with less than 8 GB
_LARGE = {8: 200, 16: 400}  # from so many GB on


@dataclass(frozen=True)
class Processes:
    """One kind of process. `pool` counts size and overflow; a web process that works holds a second pool."""

    name: str
    pool: int
    processes: int
    instances: int
    serves: bool
    works: bool

    @property
    def each(self) -> int:
        return (self.pool + PROBE if self.serves else 0) + (self.pool + QUEUE if self.works else 0)

    @property
    def total(self) -> int:
        return self.each * self.processes * self.instances


def budget(check: Check, database: str, users: Sequence[Processes], limit: int) -> Result:
    most = 2 * sum(one.total for one in users)
    parts = ", ".join(f"{one.name} {one.each} x {one.processes} x {one.instances}" for one in users)
    seen = f"{database}: {most} connections at most during a deploy ({parts}, twice), of {limit - RESERVED} usable"
    if most <= limit - RESERVED:
        return check.ok(seen)
    return check.error(
        seen,
        "lower SQLALCHEMY_POOL_SIZE, SQLALCHEMY_POOL_OVERFLOW, WEB_CONCURRENCY or maxInstances, or connect through a "
        "pooler (DATABASE_URL to it, DIRECT_DATABASE_URL past it)",
    )


def room(plan: str) -> int:
    """What a Render plan bears: 100 below 8 GB of memory."""
    memory = re.search(r"-(\d+)gb?$", plan)
    gigabytes = int(memory[1]) if memory else 0
    return max([SMALL, *(count for size, count in _LARGE.items() if gigabytes >= size)])

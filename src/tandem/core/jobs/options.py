"""How a worker behaves. The values are measured (docs/jobs.md); tests shorten the times."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from tandem.core.jobs.registry import ProfileName


@dataclass(frozen=True)
class Profile:
    """`batch_size` jobs are taken from the queue at once, `concurrency` run at once in one worker (twice that or more).

    A worker that is killed repeats what it held: with a batch of one never a job that had not begun.
    """

    batch_size: int
    concurrency: int

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= self.concurrency / 2:
            raise ValueError("a profile's concurrency is at least twice its batch size")


def profiles(paid_concurrency: int) -> dict[ProfileName, Profile]:
    return {"paid": Profile(1, max(2, paid_concurrency)), "bulk": Profile(10, 20)}


@dataclass(frozen=True)
class Options:
    profiles: Mapping[ProfileName, Profile] = field(default_factory=lambda: profiles(4))
    heartbeat: timedelta = timedelta(seconds=30)  # a job without a sign of life for this long is given to another
    poll: timedelta = timedelta(seconds=2)  # a retry is not announced, so this is how late one may be found
    drain: timedelta = timedelta(seconds=25)  # jobs may finish for this long after SIGTERM, then they are given back
    max_lost: int = 5  # starts that never ended, after which a job is held
    upkeep: timedelta = timedelta(seconds=60)
    report: timedelta = timedelta(seconds=5)  # between two signs of life of the worker itself
    keep_history: timedelta = timedelta(days=30)
    keep_engine_log: timedelta = timedelta(hours=1)

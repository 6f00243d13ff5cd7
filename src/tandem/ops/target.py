"""Which database is migrated, and how long that may take.

Apart from `tandem.ops.migrate`, so that servers and workers do without Alembic.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import MetaData

Progress = Callable[[str], None]
"""Told each step of a command in words."""

START_DEADLINE = 60.0  # seconds for a database that is still starting
TURN_DEADLINE = 600.0  # seconds for another instance's migration


@dataclass(frozen=True)
class Target:
    """What `migrations/env.py` finds in `config.attributes["target"]`."""

    url: str
    on_progress: Progress
    start_deadline: float = START_DEADLINE
    turn_deadline: float = TURN_DEADLINE
    metadata: "MetaData | None" = None  # for `alembic revision --autogenerate` and `alembic check`

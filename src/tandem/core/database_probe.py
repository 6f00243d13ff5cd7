"""Asking the database whether it lives, without taking part in the traffic.

The probe has a connection of its own: with a busy pool the service is slow, not down, and taking it out of rotation
would make that worse. Answers are kept for CACHE seconds and simultaneous callers share one question, so a flood of
health checks costs the database one tiny query a second.
"""

import asyncio
from contextvars import Context
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from tandem.core.db import Database

if TYPE_CHECKING:
    DedicatedConnection = asyncpg.Connection[Any]
else:
    DedicatedConnection = asyncpg.Connection

CACHE = 1.0  # seconds
DEADLINE = 2.0  # seconds for an answer, connecting included
KEEP = 10.0  # seconds; an older connection may have been dropped on its way, unnoticed

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """`seconds` is how long it took; `revisions` what alembic_version holds."""

    connected: bool
    seconds: float
    revisions: frozenset[str] = frozenset()
    at: float = field(default_factory=monotonic)


class DatabaseProbe:
    """One per process; `close()` with the application."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: DedicatedConnection | None = None
        self._last: Answer | None = None
        self._asking: asyncio.Task[Answer] | None = None

    async def ask(self) -> Answer:
        """Never raises, never takes longer than DEADLINE."""
        if self._last is not None and monotonic() - self._last.at < CACHE:
            return self._last
        if self._asking is None:
            # In a context of its own: what it logs is not about the request that happened to ask.
            self._asking = asyncio.create_task(self._ask(), name="database-probe", context=Context())
        return await asyncio.shield(self._asking)  # a caller who hangs up takes nothing from the others

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        self._drop()

    async def _ask(self) -> Answer:
        began, revisions, reason = monotonic(), frozenset[str](), ""
        try:
            async with asyncio.timeout(DEADLINE):
                revisions = await self._revisions()
        except asyncpg.TooManyConnectionsError:
            # It answers, but has no place for the probe: what counts is whether this process has connections to serve.
            pool = self._database.pool
            reason = "" if pool.checkedin() + pool.checkedout() > 0 else "TooManyConnectionsError"
        except Exception as error:  # whatever it was, there is no database to work with
            reason = type(error).__name__
        finally:
            self._asking = None
        return self._remember(Answer(not reason, monotonic() - began, revisions), reason)

    def _remember(self, answer: Answer, reason: str) -> Answer:
        before = self._last is None or self._last.connected
        if before and not answer.connected:
            log.warning("database_unreachable", reason=reason)
        elif answer.connected and not before:
            log.info("database_reachable")
        if not answer.connected:
            self._drop()
        self._last = answer
        return answer

    async def _revisions(self) -> frozenset[str]:
        if self._connection is not None and self._last is not None and monotonic() - self._last.at < KEEP:
            try:
                async with asyncio.timeout(DEADLINE / 2):
                    return await _query(self._connection)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pass  # dropped or gone with a restart of the server: only a new connection tells whether it is back
        self._drop()
        self._connection = await asyncpg.connect(**self._database.where.asyncpg_args)
        return await _query(self._connection)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()  # closing politely would wait for a server that may be gone
            self._connection = None


async def _query(connection: DedicatedConnection) -> frozenset[str]:
    try:
        rows = await connection.fetch("SELECT version_num FROM alembic_version")
    except asyncpg.SyntaxOrAccessError:
        return frozenset()  # no such table yet, or not for us: an answer all the same
    return frozenset(row["version_num"] for row in rows)

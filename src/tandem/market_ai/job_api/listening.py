"""LISTEN on a connection of its own, opened anew when it is lost.

A notice only says that there is something to read, so whoever listens reads after every gap and misses nothing.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from tandem.core.postgres_url import DatabaseUrl

if TYPE_CHECKING:
    DedicatedConnection = asyncpg.Connection[Any]
else:
    DedicatedConnection = asyncpg.Connection

AGAIN = 0.5  # seconds until it is tried again
ASK = 10.0  # seconds between two signs of life of the connection
ANSWER = 5.0  # seconds it has for one
APPLICATION = "tandem job events"  # in pg_stat_activity

log = structlog.get_logger(__name__)


class Listening:
    """One channel. `heard` gets each payload; `gap` is called when notices may have been missed: read then.

    While `up` is false nothing is heard at all. Behind a pooler in transaction mode that is always so.
    """

    def __init__(
        self, where: DatabaseUrl, channel: str, *, heard: Callable[[str], None], gap: Callable[[], None]
    ) -> None:
        self._where, self._channel, self._heard, self._gap = where, channel, heard, gap
        self.up = False

    async def run(self, wanted: Callable[[], bool]) -> None:
        """Until it is not `wanted` any more, which is asked every ASK seconds."""
        told = False
        while wanted():
            connection: DedicatedConnection | None = None
            try:
                args = self._where.asyncpg_args
                named = args["server_settings"] | {"application_name": APPLICATION}
                connection = await asyncpg.connect(**args | {"server_settings": named})
                await self._hear(connection, wanted)
                told = False
            except Exception as error:
                if not told:
                    log.warning("job_events_listener_lost", reason=type(error).__name__)
                    told = True
            finally:
                self.up = False
                if connection is not None:
                    connection.terminate()
            self._gap()
            if wanted():
                await asyncio.sleep(AGAIN)

    async def _hear(self, connection: DedicatedConnection, wanted: Callable[[], bool]) -> None:
        """Until the connection is lost or not wanted."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(self._channel, self._deliver)
        self.up = True
        self._gap()
        while wanted() and not lost.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), ASK)
                break
            async with asyncio.timeout(ANSWER):
                await connection.execute("SELECT 1")

    def _deliver(self, _connection: object, _pid: object, _channel: object, payload: object) -> None:
        self._heard(str(payload))

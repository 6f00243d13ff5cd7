"""The inbox: moves what is pushed onto the Redis list `job_queue` into Postgres, and removes it there only then.

A crash at any point leaves the message in a list. In `job_queue:taken:<worker>` it waits for a worker that lives, which
finds by its stamp whether Postgres has the job already.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tandem.core.db import Database
from tandem.core.jobs.operate import WORKER_SILENCE
from tandem.core.jobs.registry import Running
from tandem.core.jobs.worker import Worker
from tandem.market_ai.inbox.lists import PATIENCE, Lists
from tandem.market_ai.inbox.messages import Maker, Rejected, Taken, read_message, rejection
from tandem.market_ai.inbox.service import enqueue_message

SWEEP = 30.0  # seconds between two looks for what dead workers left behind
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds after a failure
LAST_LOOK = 2.0  # seconds, when the worker leaves, for a message that was taken in that moment

log = structlog.get_logger(__name__)
_LIVING = "SELECT id::text FROM job_workers WHERE seen_at > now() - $1::interval"


def inbox(makers: Mapping[str, Maker]) -> Running:
    """For `Jobs(running=…)`; does nothing without REDIS_URL. `makers` has a function for every type that is served."""

    @asynccontextmanager
    async def running(worker: Worker) -> AsyncIterator[None]:
        url = worker.settings.redis_url
        if url is None:
            yield
            return
        lists = Lists(url.get_secret_value(), str(worker.id))
        box = Inbox(lists, worker.database, makers)
        moving = None if worker.once else asyncio.create_task(box.keep_moving(worker.stop), name="inbox")
        try:
            if moving is None:
                await box.move_all()
            yield
        finally:
            if moving is not None:
                worker.stop.set()
                await asyncio.gather(moving, return_exceptions=True)
            await lists.close()

    return running


class Inbox:
    """Of one worker."""

    def __init__(
        self, lists: Lists, database: Database, makers: Mapping[str, Maker], *, silence: timedelta = WORKER_SILENCE
    ) -> None:
        self.lists, self.database, self.makers, self.silence = lists, database, makers, silence
        away = (asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError, PoolTimeout)
        self.outages: tuple[type[Exception], ...] = (*lists.failures, *away)
        self._pause = 0.0

    async def keep_moving(self, stop: asyncio.Event) -> None:
        """Until told to stop; whatever fails is tried again."""
        while not stop.is_set():
            try:
                await self.recover()
                await self._move_for(SWEEP, stop)
            except Exception as error:
                if not self._pause:
                    self._tell(error)
                self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
                await _wait(stop, self._pause)
        with suppress(Exception):  # another worker finds what stays
            async with asyncio.timeout(LAST_LOOK):
                await self._finish()

    async def move_all(self) -> None:
        """Everything that is there now. Does without when Redis or the database is away."""
        try:
            await self.recover()
            while (entry := await self.lists.take()) is not None:
                await self.settle(entry)
        except Exception as error:
            self._tell(error)

    async def recover(self) -> None:
        """Finish what this worker had begun, and what workers had that are silent."""
        others = await self.lists.workers()
        if others:
            async with self.database.connection() as connection:
                living = {row["id"] for row in await connection.fetch(_LIVING, self.silence)}
            for worker in others:
                if worker not in living and (count := await self.lists.adopt(worker)):
                    log.info("inbox_recovered", worker=worker, count=count)
        await self._finish()

    async def _finish(self) -> None:
        for entry in await self.lists.mine():
            await self.settle(entry)

    async def settle(self, entry: bytes) -> None:
        """One message from this worker's list to where it belongs. Raises what Redis and the database raise."""
        taken = Taken.of(entry)
        if taken.job_id is None:
            before, taken = taken, taken.stamped()
            if not await self.lists.restamp(before.entry, taken.entry):
                return  # another worker has it now
        try:
            await self._enqueue(taken)
        except Rejected as rejected:
            await self._reject(taken, str(rejected))
        except asyncpg.DataError as error:
            await self._reject(taken, f"the database cannot store it: {type(error).__name__}")
        else:
            await self.lists.done(taken.entry)

    async def _enqueue(self, taken: Taken) -> None:
        assert taken.job_id is not None  # noqa: S101 - it is stamped
        message = read_message(taken.raw, self.makers)
        async with self.database.connection() as connection, connection.transaction():
            new = await enqueue_message(connection, message, taken.job_id, self.makers)
        log.info("inbox_moved" if new else "inbox_had_moved", job_id=str(taken.job_id), job_type=message.type)

    async def _reject(self, taken: Taken, reason: str) -> None:
        if await self.lists.reject(taken.entry, rejection(taken.raw, reason)):
            log.warning("inbox_rejected", reason=reason)

    async def _move_for(self, seconds: float, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not stop.is_set() and loop.time() < until:
            entry = await self._take(stop)
            if self._pause and not stop.is_set():
                self._pause = 0.0
                log.info("inbox_resumed")
            if entry is not None:
                await self.settle(entry)

    def _tell(self, error: Exception) -> None:
        bug = None if isinstance(error, self.outages) else error
        log.warning("inbox_interrupted", reason=type(error).__name__, exc_info=bug)

    async def _take(self, stop: asyncio.Event) -> bytes | None:
        """Waits for a message, but not for longer than there is to do: what is taken meanwhile is found again."""
        taking = asyncio.create_task(self.lists.take(PATIENCE))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
            return None
        finally:
            taking.cancel()
            stopping.cancel()
            await asyncio.gather(taking, stopping, return_exceptions=True)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return

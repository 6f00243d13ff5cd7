"""Everyone in this process who follows a job: one listening connection and one reader for all of them.

A listener waits without a connection. When its job's notice comes, one statement reads for everybody who is due, and
those who stand at the same place of the same job share what it found. Nothing is handed on from notices: they only say
when to read, so a lost one is made up for by the next reading.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from fastapi import FastAPI

from tandem.core.db import Database
from tandem.core.errors import TooManyRequests
from tandem.core.jobs.operate import ENDED
from tandem.core.jobs.store import EVENTS_CHANNEL
from tandem.core.leaving import on_leaving
from tandem.core.postgres_url import DatabaseUrl, parse_database_url
from tandem.core.settings import Settings
from tandem.market_ai.job_api.listening import Listening
from tandem.market_ai.job_api.queries import read_events

MAX_STREAMS = 100  # of one user in one process
MAX_PLACES = 100  # that one statement reads for
POLL = 1.0  # seconds between two readings while nothing can be heard
AGAIN = 1.0  # seconds after a reading that failed

log = structlog.get_logger(__name__)
_Place = tuple[UUID, int]


class TooManyStreams(TooManyRequests):
    code, title = "too_many_streams", f"{MAX_STREAMS} open streams are the most a user can have"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of the next events: `seq`, `kind`, `json`. `over`: none will follow, or the job is gone."""

    events: Sequence[Any]
    over: bool


class Listener:
    """Who follows a job. `after` is the last event it was given; `stale` that there may be more to read."""

    __slots__ = ("after", "job_id", "stale", "task", "waiting")

    def __init__(self, job_id: UUID, after: int) -> None:
        self.job_id, self.after = job_id, after
        self.stale = True
        self.waiting: asyncio.Future[Batch | None] | None = None
        self.task: asyncio.Task[None] | None = None  # cancelled when the process leaves

    @property
    def waits(self) -> bool:
        return self.waiting is not None and not self.waiting.done()


class Hub:
    """One per process. Its tasks begin with the first listener."""

    def __init__(self, database: Database, where: DatabaseUrl) -> None:
        self.leaving = False
        self._database = database
        self._listening = Listening(where, EVENTS_CHANNEL, heard=self._heard, gap=self._gap)
        self._can_listen = not where.transaction_pooler
        self._listeners: defaultdict[UUID, set[Listener]] = defaultdict(set)
        self._streams: Counter[str] = Counter()
        self._due: set[Listener] = set()
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def require_room(self, user_id: str) -> None:
        """Raises TooManyStreams."""
        if self._streams[user_id] >= MAX_STREAMS:
            raise TooManyStreams(headers={"Retry-After": "60"})

    @contextmanager
    def listener(self, job_id: UUID, after: int, user_id: str) -> Iterator[Listener]:
        listener = Listener(job_id, after)
        self._listeners[job_id].add(listener)
        self._streams[user_id] += 1
        self._keep_going("job-events-reader", self._read_for_all)
        if self._can_listen:
            self._keep_going("job-events-listener", lambda: self._listening.run(lambda: bool(self._listeners)))
        try:
            yield listener
        finally:
            self._due.discard(listener)
            self._listeners[job_id].discard(listener)
            if not self._listeners[job_id]:
                del self._listeners[job_id]
            self._streams[user_id] -= 1
            if not self._streams[user_id]:
                del self._streams[user_id]

    async def next(self, listener: Listener, patience: float) -> Batch | None:
        """The events after `listener.after`; None when there were none for `patience` seconds."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Batch | None] = loop.create_future()
        listener.waiting = waiting
        timer = loop.call_later(patience, _give_up, waiting)
        if listener.stale:
            self._mark(listener)
        try:
            return await waiting
        finally:
            timer.cancel()
            listener.waiting = None

    def leave(self) -> None:
        """End every stream: their clients come back to another process."""
        self.leaving = True
        for listeners in self._listeners.values():
            for listener in listeners:
                if listener.task is not None:
                    listener.task.cancel()

    async def close(self) -> None:
        self.leave()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _keep_going(self, name: str, work: Any) -> None:
        task = self._tasks.get(name)
        if task is None or task.done():
            # In a context of its own: what it logs is not about the request that came first.
            self._tasks[name] = asyncio.create_task(work(), name=name, context=Context())

    def _heard(self, payload: str) -> None:
        try:
            job_id = UUID(payload)
        except ValueError:  # anyone may write to a channel
            return
        for listener in self._listeners.get(job_id, ()):
            self._mark(listener)

    def _gap(self) -> None:
        for listeners in self._listeners.values():
            for listener in listeners:
                self._mark(listener)
        self._wake.set()

    def _mark(self, listener: Listener) -> None:
        listener.stale = True
        if listener.waits:
            self._due.add(listener)
            self._wake.set()

    async def _read_for_all(self) -> None:
        while True:
            try:
                async with asyncio.timeout(None if self._listening.up or not self._listeners else POLL):
                    await self._wake.wait()
            except TimeoutError:
                self._gap()
            self._wake.clear()
            places = self._places()
            if not places:
                continue
            try:
                async with self._database.connection() as connection:
                    found = await read_events(connection, list(places))
                for (place, group), rows in zip(places.items(), found, strict=True):
                    self._hand_out(place, group, rows)
            except Exception as error:
                log.warning("job_events_not_read", reason=f"{type(error).__name__}: {error}"[:300])
                for listener in (one for group in places.values() for one in group):
                    self._mark(listener)
                await asyncio.sleep(AGAIN)

    def _places(self) -> dict[_Place, list[Listener]]:
        """Who is due, by where they are; the rest is left for the next reading."""
        places: dict[_Place, list[Listener]] = {}
        for listener in list(self._due):
            if not listener.waits:  # it was given something meanwhile, and asks again when it has passed that on
                self._due.discard(listener)
                continue
            place = (listener.job_id, listener.after)
            if place not in places and len(places) == MAX_PLACES:
                self._wake.set()
                continue
            places.setdefault(place, []).append(listener)
            self._due.discard(listener)
            listener.stale = False
        return places

    def _hand_out(self, place: _Place, group: list[Listener], rows: list[Any]) -> None:
        """What was read, to those who still wait for it; whoever does not will ask again."""
        events = [row for row in rows if row["seq"] is not None]
        after = events[-1]["seq"] if events else place[1]
        status, last = rows[0]["status"], rows[0]["events"]
        batch = Batch(events, status is None or is_over(status, last, after))
        more = status is not None and after < last
        if not events and not batch.over:
            return
        for listener in group:
            listener.stale = listener.stale or more or not listener.waits
            if listener.waiting is not None and listener.waits:
                listener.after = after
                listener.waiting.set_result(batch)


def is_over(status: str, last: int, after: int) -> bool:
    """Whether nothing comes after event `after` of a job in `status` whose last event is `last`."""
    return status in ENDED and after >= last


def _give_up(waiting: "asyncio.Future[Batch | None]") -> None:
    if not waiting.done():
        waiting.set_result(None)


@asynccontextmanager
async def job_events(app: FastAPI) -> AsyncIterator[None]:
    """For `create_app(running=…)`: `app.state.job_events`, whose streams end at the first signal to leave."""
    settings: Settings = app.state.settings
    database: Database = app.state.database
    where = database.where
    if where.transaction_pooler and settings.direct_database_url is not None:
        where = parse_database_url(settings.direct_database_url.get_secret_value())
    app.state.job_events = hub = Hub(database, where)
    with on_leaving(hub.leave):
        try:
            yield
        finally:
            await hub.close()

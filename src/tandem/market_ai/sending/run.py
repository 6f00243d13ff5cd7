"""One run of a send: lanes, each with a connection to the mail server, hand over what is claimed until nothing is due.

What must not be torn apart (the mark, the message, its outcome) is shielded from the worker's leaving, and outlives an
absence of the database. What cannot be helped, a process that dies in between, is parked as `unknown` by the next run.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import anyio
import asyncpg
import structlog
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tandem.core.db import Connection, Database
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.driver import is_outage
from tandem.core.jobs.registry import Backoff
from tandem.core.mail import MailConnection, MailNotSent, MailOutcomeUnknown, MailRefused
from tandem.market_ai.mail.language import MergeFault
from tandem.market_ai.mail.writing import NoUnsubscribeLink
from tandem.market_ai.sending import links
from tandem.market_ai.sending.hand import Hand
from tandem.market_ai.sending.letters import Letters
from tandem.market_ai.sending.pace import Pace
from tandem.market_ai.sending.service import hear

T = TypeVar("T")
MAX_TRIES = 10  # of one mail, when the server says "not now"
BATCH = 40  # deliveries claimed at once
SLICE = 600.0  # seconds a run goes on before another job takes over
OUTAGE = 120.0  # seconds that the database may be away
SHOWN = 2.0  # seconds between two progress events
RECONNECTS = (0.2, 1.0, 3.0)  # seconds before each further attempt to reach the mail server
AT_ONCE = 8  # statements of all runs of a process: other jobs need the pool too
_PASSING = {"40001", "40P01", "55P03", "57014"}  # another writer, or a time-out
# A server that knows no such recipient (RFC 3463). Full, blocked for policy, or too large says nothing of the address.
_NOBODY = frozenset({"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.4"})
_NOBODY_CODES = frozenset({550, 551, 553})

log = structlog.get_logger(__name__)
_turns: "WeakKeyDictionary[Database, asyncio.Semaphore]" = WeakKeyDictionary()


class ServerUnusable(Exception):
    """The mail server cannot be reached, or takes no mail of ours at all."""


@dataclass
class Told:
    """What this run did."""

    claimed: int = 0
    shown: float = 0.0


class Run:
    """`retry` is when a mail is tried again that the server did not want yet."""

    def __init__(
        self, job: JobContext, hand: Hand, letters: Letters, pace: Pace, *, lanes: int, planned: int, retry: Backoff
    ) -> None:
        self.job, self.hand, self.letters, self.pace = job, hand, letters, pace
        self._lanes, self._planned, self._retry = lanes, planned, retry
        self._ends = time.monotonic() + SLICE
        self._claimed: deque[tuple[float, Any]] = deque()
        self._claiming = anyio.Lock()
        self._told = Told()
        self._failure: ServerUnusable | None = None
        self._numbers: dict[str, int | None] = {}
        self._turn = _turns.setdefault(job.database, asyncio.Semaphore(AT_ONCE))

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._ends

    async def hand_over(self) -> bool:
        """Until nothing is due; False when nothing was. Raises ServerUnusable; what was claimed is given back then."""
        before = self._told.claimed
        try:
            async with anyio.create_task_group() as group:
                for _ in range(self._lanes):
                    group.start_soon(self._lane)
        except BaseExceptionGroup as errors:  # what befell one lane is what the job ends with
            raise _first(errors) from None
        await self.ask(self.hand.release)
        if self._failure is not None:
            raise self._failure
        return self._told.claimed > before

    async def ask(self, statement: Callable[[Connection], Awaitable[T]]) -> T:
        """A statement, or a transaction, that may be repeated: until the database is there to answer it."""
        patience = time.monotonic() + OUTAGE
        while True:
            try:
                async with self._turn, self.job.database.connection() as connection:
                    return await statement(connection)
            except Exception as error:
                if not _passes(error) or time.monotonic() > patience:
                    raise
                log.info("send_waits_for_database", reason=type(error).__name__, send_id=str(self.hand.send_id))
                await asyncio.sleep(0.2)

    async def _lane(self) -> None:
        async with self.letters.sender.mailer.connection() as server:
            while (taken := await self._next()) is not None:
                due, delivery = taken
                if (message := await self._written(delivery)) is None:
                    continue
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._deliver(server, delivery, message)
                await self._show()

    async def _next(self) -> tuple[float, Any] | None:
        """A delivery in hand, and when its turn is."""
        async with self._claiming:
            if self._failure is not None or self.over:
                return None
            if not self._claimed:
                await self._claim()
            return self._claimed.popleft() if self._claimed else None

    async def _claim(self) -> None:
        pace = self.pace
        rows = await self.ask(lambda c: self.hand.claim(c, pace.batch(BATCH), pace.per_domain(BATCH)))
        if not rows:
            return
        self._told.claimed += len(rows)
        waits = await self.ask(lambda c: pace.places(c, [row["domain"] for row in rows]))
        now = time.monotonic()
        self._claimed.extend(sorted(((now + wait, row) for wait, row in zip(waits, rows, strict=True)), key=_due))

    async def _written(self, delivery: Any) -> bytes | None:
        """The message; None when there is none, and then the delivery is not in hand any more."""
        if delivery["email"] is None:
            await self.ask(lambda c: self.hand.mark(c, delivery))  # which says why it cannot be
            return None
        try:
            return await self.letters.message(delivery, self._number_of)
        except NoUnsubscribeLink as fault:
            await self._settle(delivery, "skipped", "unsubscribe_link_missing", str(fault))
        except MergeFault as fault:
            await self._settle(delivery, "skipped", "merge_field_missing", str(fault))
        except ValueError as fault:
            await self._settle(delivery, "failed", "address_invalid", str(fault))
        return None

    async def _deliver(self, server: MailConnection, delivery: Any, message: bytes) -> None:
        try:
            await self._begin(server, delivery)
        except MailRefused as refused:
            await self._refused(delivery, refused)
            return
        except MailNotSent as error:
            await self._not_sent(delivery, error)
            return
        with self.job.uninterrupted():
            if not await self._marked(delivery):
                await server.abandon()
                return
            try:
                answer = await server.deliver(message)
            except MailRefused as refused:
                await self._refused(delivery, refused)
            except MailNotSent as error:
                await self._not_sent(delivery, error)
            except MailOutcomeUnknown as error:
                log.warning("mail_outcome_unknown", delivery_id=str(delivery["id"]), reason=str(error))
                await self._settle(delivery, "unknown", "no_answer", str(error))
            else:
                await self._settle(delivery, "accepted", None, answer)

    async def _begin(self, server: MailConnection, delivery: Any) -> None:
        sender = self.letters.sender.return_path(str(delivery["id"]))
        for pause in (*RECONNECTS, None):
            try:
                await server.begin(sender, delivery["email"])
            except MailNotSent:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _marked(self, delivery: Any) -> bool:
        try:
            async with self._turn, self.job.database.connection() as connection:
                return await self.hand.mark(connection, delivery)
        except Exception as error:
            if not _passes(error):
                raise
        # Whether the mark was written or not: the message was not given away.
        await self.ask(lambda c: self.hand.take_back(c, delivery["id"], timedelta(0)))
        return False

    async def _not_sent(self, delivery: Any, error: MailNotSent) -> None:
        """A server that is away is no fault of this mail, one that hangs up on it may be."""
        log.info("mail_not_sent", delivery_id=str(delivery["id"]), reason=str(error))
        if error.connected:
            await self._later(delivery, str(error))
            return
        await self.ask(lambda c: self.hand.take_back(c, delivery["id"], self._retry.first))
        self._failure = self._failure or ServerUnusable(str(error))

    async def _later(self, delivery: Any, said: str) -> None:
        tries = delivery["tries"] + 1
        if tries >= MAX_TRIES:
            await self._settle(delivery, "failed", "deferred_too_often", said)
        else:
            await self._settle(delivery, "planned", "deferred", said, self._retry.delay(tries))

    async def _refused(self, delivery: Any, refused: MailRefused) -> None:
        said = str(refused)
        if refused.stage == "sender" and refused.permanent:
            await self.ask(lambda c: self.hand.take_back(c, delivery["id"], self._retry.first))
            self._failure = self._failure or ServerUnusable(f"the mail server refuses the sender: {said}")
        elif not refused.permanent:
            await self._later(delivery, said)
        elif refused.stage == "recipient" and (refused.enhanced or refused.code) in _NOBODY | _NOBODY_CODES:
            await self._bounced(delivery, said)
        else:
            await self._settle(delivery, "failed", "refused", said)

    async def _bounced(self, delivery: Any, said: str) -> None:
        hand = self.hand

        async def write(connection: Connection) -> None:
            async with connection.transaction():
                if await hand.settle(connection, delivery["id"], "failed", "bounced", said):
                    await hear(connection, hand.org_id, delivery["id"], "bounced", "smtp", "smtp", detail=said)

        await self.ask(write)

    async def _settle(
        self, delivery: Any, state: str, reason: str | None, answer: str, wait: timedelta = timedelta(0)
    ) -> None:
        await self.ask(lambda c: self.hand.settle(c, delivery["id"], state, reason, answer, wait))

    async def _number_of(self, url: str) -> int | None:
        if url not in self._numbers:
            hand = self.hand
            self._numbers[url] = await self.ask(lambda c: links.number_of(c, hand.org_id, hand.send_id, url))
        return self._numbers[url]

    async def _show(self) -> None:
        told, now = self._told, time.monotonic()
        if now - told.shown < SHOWN:
            return
        told.shown = now
        standing = await self.ask(self.hand.standing)
        done = 1 - (standing["waiting"] + standing["in_hand"]) / max(1, self._planned)
        await self.job.progress(done, accepted=standing["accepted"], waiting=standing["waiting"])


def _first(errors: BaseExceptionGroup) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _due(taken: tuple[float, Any]) -> float:
    return taken[0]


def _passes(error: BaseException) -> bool:
    """It was not about the statement."""
    if isinstance(error, PoolTimeout) or is_outage(error):
        return True
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _PASSING

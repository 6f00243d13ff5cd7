"""What a handler is given: its job, a database, and the means to pay once, report and finish."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import anyio
from pydantic import TypeAdapter

from tandem.core.db import Connection, Database
from tandem.core.jobs import store
from tandem.core.jobs.statements import Target, fetch
from tandem.core.jobs.store import Fetch, Started
from tandem.core.settings import Settings

T = TypeVar("T")


class JobContext:
    """One run of one job.

    `attempt` counts starts from 1, `failures` the tries that failed before. `database` is for the handler's reads; what
    it writes belongs into `finish()`. `settings` are those of the service, whose worker this is.
    """

    def __init__(
        self,
        started: Started,
        database: Database,
        statement: Fetch,
        cancellation: anyio.CancelScope,
        settings: Settings,
    ) -> None:
        self.id: UUID = started.id
        self.type = started.type
        self.attempt = started.attempt
        self.failures = started.failures
        self.owner = started.owner
        self.database = database
        self.settings = settings
        self._fetch = statement
        self._cancellation = cancellation

    @property
    def cancelling(self) -> bool:
        """The job was cancelled, or its worker is leaving: the handler is interrupted at its next await."""
        return self._cancellation.cancel_called

    async def step(self, name: str, call: Callable[[], Awaitable[T]], *, returns: Any = None) -> T:
        """What `call()` gives, asked once: its result is committed, and a rerun of the job gets that instead.

        Between the end of the call and the commit a crash can still repeat it. The result must be JSON, or of the type
        `returns` (a pydantic model, a dataclass). Raises Superseded before calling when the run is not the job's.
        """
        adapter: TypeAdapter[T] = TypeAdapter(Any if returns is None else returns)
        done, result = await store.finished_step(self._fetch, self.id, self.attempt, name)
        if done:
            return adapter.validate_json(result or "null")
        value = await call()
        with anyio.CancelScope(shield=True):  # it has been paid for
            await store.save_step(self._fetch, self.id, name, adapter.dump_json(value).decode())
        return value

    async def progress(self, fraction: float | None = None, *, kind: str = "progress", **data: Any) -> None:
        """An event for whoever follows the job, committed at once; `fraction` is 0 to 1. Raises Superseded."""
        if fraction is not None:
            fraction = min(max(fraction, 0.0), 1.0)
            data.setdefault("fraction", fraction)
        await store.progress(self._fetch, self.id, self.attempt, kind=kind, data=data, fraction=fraction)

    @asynccontextmanager
    async def finish(self, result: Any = None) -> AsyncIterator[Connection]:
        """A transaction for what the job came to, in which the job succeeds too: both are committed, or neither.

        Raises Superseded at its end, and commits nothing, when another worker took the job over.
        """
        async with self.database.connection() as connection, connection.transaction():
            yield connection
            await self.finish_in(connection, result)

    async def finish_in(self, target: Target, result: Any = None) -> None:
        """The same in a transaction of the handler's own, a session's for example. Its last statement."""

        async def statement(sql: str, *args: Any) -> Any:
            return await fetch(target, sql, *args)

        json.dumps(result)  # before anything is written
        await store.succeed(statement, self.id, self.attempt, result)

    async def in_parts(self, part: Callable[[Connection], Awaitable[int]]) -> int:
        """Call `part` until it gives 0, in a transaction each time, so that no lock is held long; the sum of all parts.

        For work that needs no memory of its own: what a part did is done, when the job has to start again.
        """
        total = 0
        while True:
            async with self.database.connection() as connection, connection.transaction():
                done = await part(connection)
            if done == 0:
                return total
            total += done

    @staticmethod
    def uninterrupted() -> anyio.CancelScope:
        """`with job.uninterrupted():` a cancellation and the time limit wait until the block has ended."""
        return anyio.CancelScope(shield=True)

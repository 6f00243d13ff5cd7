"""An organization's money as the tests of the budget handle it: running jobs, reservations, balances."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import anyio

from tandem.core.db import Database
from tandem.core.ids import uuid7
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.store import Started
from tandem.market_ai.budget.service import CallIntent, Reservation, reserve, settle
from tandem.market_ai.budget.verification import verify
from tandem.market_ai.settings import MarketAiSettings

DOLLAR = 1_000_000
ORG = "org_test"


class Bank:
    """`org` is an organization that exists; every call is of a running job unless the test says otherwise."""

    def __init__(self, database: Database, settings: MarketAiSettings, org: str = ORG) -> None:
        self.database, self.settings, self.org = database, settings, org

    async def run(self, sql: str, *args: Any) -> list[Any]:
        async with self.database.connection() as connection:
            return list(await connection.fetch(sql, *args))

    async def value(self, sql: str, *args: Any) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetchval(sql, *args)

    async def job(self, *, attempt: int = 1, owner: str | None = None) -> UUID:
        job_id = uuid7()
        await self.run(
            "INSERT INTO jobs (id, type, payload, status, attempts, owner)"
            " VALUES ($1, 'generate_content', '{}', 'running', $2, $3)",
            job_id,
            attempt,
            owner or self.org,
        )
        return job_id

    async def context(self, scope: anyio.CancelScope | None = None) -> JobContext:
        """A new job as its handler sees it."""
        job_id = await self.job()
        started = Started(job_id, "running", "generate_content", "{}", 1, 0, 0, self.org, timedelta(0))
        return JobContext(started, self.database, self.run, scope or anyio.CancelScope(), self.settings)

    async def intent(self, micros: int = DOLLAR, *, job: UUID | None = None, **rest: Any) -> CallIntent:
        given: dict[str, Any] = {"attempt": 1, "step": "write", "prompt_hash": "p", "model": "m", "request_cap": 10**12}
        return CallIntent(org_id=self.org, job_id=job or await self.job(), micros=micros, **given | rest)

    async def hold(self, micros: int = DOLLAR, **rest: Any) -> Reservation:
        found = await reserve(self.database, await self.intent(micros, **rest))
        assert isinstance(found, Reservation)
        return found

    async def settle(self, held: Reservation, micros: int, result: Any = None) -> None:
        await settle(self.database, held, usage={"input_tokens": 1}, micros=micros, result=result)

    async def limit(self, scope: str, micros: int, key: str = "") -> None:
        await self.run(
            "INSERT INTO budget_limits (org_id, scope, key, cap_micros) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (org_id, scope, key) DO UPDATE SET cap_micros = excluded.cap_micros",
            *(self.org, scope, key, micros),
        )

    async def campaign(self) -> UUID:
        campaign_id = uuid7()
        await self.run(
            "INSERT INTO campaigns (org_id, id, name, type) VALUES ($1, $2, 'Stollen', 'email')", self.org, campaign_id
        )
        return campaign_id

    async def balance(self, scope: str = "organization") -> tuple[int, int, int]:
        """Spent, reserved, unknown: summed over the keys of a scope."""
        rows = await self.run(
            "SELECT coalesce(sum(spent_micros), 0)::bigint, coalesce(sum(reserved_micros), 0)::bigint,"
            " coalesce(sum(unknown_micros), 0)::bigint FROM budget_accounts WHERE org_id = $1 AND scope = $2",
            *(self.org, scope),
        )
        return tuple(rows[0])  # type: ignore[return-value]

    async def call(self, held: Reservation) -> Any:
        return (await self.run("SELECT * FROM budget_calls WHERE org_id = $1 AND id = $2", self.org, held.id))[0]

    async def problems(self, **rest: Any) -> list[str]:
        """The kinds of what verification finds."""
        async with self.database.connection() as connection:
            found = await verify(connection, self.org, **rest)
        assert found.valid == (not found.problems)
        return [problem.kind for problem in found.problems]


@asynccontextmanager
async def open_bank(settings: MarketAiSettings, org: str = ORG) -> AsyncIterator[Bank]:
    """A bank of an organization that is made here, on a pool as wide as the concurrency of its tests."""
    where = settings.database
    assert where is not None
    database = Database(settings.model_copy(update={"pool_size": 8}), where)
    try:
        bank = Bank(database, settings, org)
        await bank.run("INSERT INTO organizations (id, name) VALUES ($1, $1) ON CONFLICT DO NOTHING", org)
        yield bank
    finally:
        await database.close()

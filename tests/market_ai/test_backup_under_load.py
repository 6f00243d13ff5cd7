"""A backup while everything writes, the end of the database, and the service on what was restored."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tandem.market_ai.generation.schemas import GenerateContent
from tandem.market_ai.settings import MarketAiSettings
from tandem.ops.backup.manifest import Manifest
from tests.market_ai.budgeting import DOLLAR, Bank, open_bank
from tests.market_ai.conftest import MakeMember
from tests.market_ai.job_making import queue_job
from tests.market_ai.making import make_brand, make_campaign, post
from tests.market_ai.working import a_worker, ended
from tests.ops.backing_up import back_up, bring_back, connected, drop, folder

BRIEF = "Pre-order tulip bulbs for autumn."
WRITERS = 3
ENOUGH = 5  # rounds of each writer before the backup begins, and after it


class Load:
    """Writers that go on until they are stopped, each counting its rounds."""

    def __init__(self) -> None:
        self.rounds: dict[str, int] = {}
        self._stop = asyncio.Event()
        self._more = asyncio.Condition()

    async def repeat(self, name: str, write: Callable[[], Awaitable[object]]) -> None:
        self.rounds[name] = 0
        while not self._stop.is_set():
            await write()
            self.rounds[name] += 1
            async with self._more:
                self._more.notify_all()

    async def everybody_wrote(self, more: int) -> None:
        wanted = {name: count + more for name, count in self.rounds.items()}
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: all(self.rounds[name] >= count for name, count in wanted.items()))

    def stop(self) -> None:
        self._stop.set()


@asynccontextmanager
async def under_load(writers: dict[str, Callable[[], Awaitable[object]]]) -> AsyncIterator[Load]:
    load = Load()
    async with asyncio.TaskGroup() as group:
        for name, write in writers.items():
            group.create_task(load.repeat(name, write))
        await asyncio.sleep(0)
        try:
            yield load
        finally:
            load.stop()


async def spend(bank: Bank) -> None:
    await bank.settle(await bank.hold(DOLLAR), DOLLAR // 3, {"variants": ["Tulips"]})


async def counts(url: str, *tables: str) -> dict[str, int]:
    async with connected(url) as connection:
        return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def test_what_was_backed_up_under_load_is_whole_again_after_the_database_is_gone(
    tmp_path: Path, market: Any, market_settings: MarketAiSettings, market_url: str, member: MakeMember
) -> None:
    ada, store = await member(), folder(tmp_path)
    campaign = await make_campaign(market, ada)

    async def start_generation() -> None:
        order = GenerateContent(campaign_id=campaign["id"], kind="email", brief=BRIEF, variants=1)
        async with bank.database.connection() as connection:
            await queue_job(connection, ada.org_id, order)

    async with open_bank(market_settings, ada.org_id) as bank:
        writers: dict[str, Callable[[], Awaitable[object]]] = {
            "brands": lambda: make_brand(market, ada),
            "jobs": start_generation,
        }
        writers |= {f"money {number}": lambda: spend(bank) for number in range(WRITERS)}
        async with a_worker(market_settings), under_load(writers) as load:
            await load.everybody_wrote(ENOUGH)
            before = dict(load.rounds)
            manifest = await back_up(market_url, store, service="market-ai")
            during = {name: count - before[name] for name, count in load.rounds.items()}
            await load.everybody_wrote(ENOUGH)
    assert all(during.values()), "everybody wrote while the backup was made"
    at_the_end = await counts(market_url, "brands", "budget_calls", "jobs")
    await _destroy_and_restore(manifest, store, market_url)

    restored = await counts(market_url, "brands", "budget_calls", "jobs", "budget_ledger")
    assert restored == {name: manifest.tables[f"public.{name}"].rows for name in restored}
    assert all(restored[name] < at_the_end[name] for name in at_the_end), "it is of the moment, not of the end"
    await _holds_together(market_url)
    assert (await market.get("/api/budget/verify", headers=ada.headers)).json()["valid"] is True
    async with open_bank(market_settings, ada.org_id) as bank:
        assert await bank.problems() == []
        await spend(bank)
        assert await bank.problems() == []
    started = await post(
        market, ada, f"/api/campaigns/{campaign['id']}/generate", {"kind": "email", "brief": BRIEF, "variants": 2}
    )
    async with a_worker(market_settings):
        job = await ended(market, ada, started.json()["id"])
    assert job["status"] == "succeeded"
    await make_brand(market, ada)
    assert (await counts(market_url, "brands"))["brands"] == restored["brands"] + 1


async def _destroy_and_restore(manifest: Manifest, store: Any, url: str) -> None:
    name = url.partition("?")[0].rpartition("/")[2]
    await drop(url, [name])
    assert (await bring_back(manifest, store, url, name)).database == name


async def _holds_together(url: str) -> None:
    """What one transaction wrote is there together or not at all."""
    async with connected(url) as connection:
        alone = """
            SELECT count(*) FROM brands b
             WHERE NOT EXISTS (SELECT FROM audit_events a WHERE a.object_id = b.id::text AND a.action = 'brand.created')"""
        assert await connection.fetchval(alone) == 0
        unqueued = """
            SELECT count(*) FROM jobs j WHERE j.status IN ('queued', 'running')
               AND j.type = 'generate_content' AND j.worker_id IS NULL AND j.attempts = 0
               AND NOT EXISTS (SELECT FROM pgqueuer q WHERE q.payload = uuid_send(j.id))"""
        assert await connection.fetchval(unqueued) == 0

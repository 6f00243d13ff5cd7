"""The AI budget cannot be overspent: eight workers, random kill -9, a provider that fails at random and bills all it can.

What counts is the provider's own bill, as it wrote it down before each answer.
"""

import asyncio
import random
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tandem.core.jobs import enqueue, enqueue_many
from tandem.core.postgres import EmbeddedPostgres
from tandem.market_ai.asking import model_of
from tandem.market_ai.budget.schemas import SweepReservations
from tandem.market_ai.generation.prompts import writing_prompt
from tandem.market_ai.generation.schemas import GenerateContent
from tandem.market_ai.generation.service import prepare
from tandem.market_ai.settings import MarketAiSettings
from tests.conformance.worker_processes import Workers, durable_server
from tests.core.jobs_service import until
from tests.market_ai import working
from tests.market_ai.budgeting import Bank, open_bank
from tests.market_ai.making import connected
from tests.openai_server import OpenAIServer

WORKERS = 8
JOBS, CAMPAIGNS = 200, 4
FITS = 37  # worst cases
CAPS = {"organization": FITS, "month": FITS + 3, "day": FITS + 1}  # and a campaign's, which together are more:
CAMPAIGN_FITS = 12
TRIES = 2.5  # worst cases that one job may cost
KILLS, KILL_EVERY = 16, 0.3  # seconds; a kill leaves at most two reservations unknown, so that money is left to bill
ALL_ENDED = "SELECT NOT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL AND owner IS NOT NULL)"
BOUND = 60.0  # seconds from the last kill to the last job's end
COPY = {"headline": "Tulips", "body": "Tulips flower in April.", "call_to_action": "Order", "citations": []}
CHANNEL = [{"name": "subject", "value": "Tulips"}, {"name": "preheader", "value": "Now"}]


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with durable_server("market-ai") as server:
        yield server


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[OpenAIServer]:
    with OpenAIServer(tmp_path / "billed.jsonl", behave="random:0.3:11:greedy") as server:
        server.control["answer"] = {"variants": [COPY | {"channel": CHANNEL}]}
        yield server


def order(campaign: UUID, number: int) -> GenerateContent:
    """All of one length, so that all have the same worst case."""
    brief = f"Pre-order tulips. [[tag:{campaign}/{number:03d}]]"
    return GenerateContent(campaign_id=campaign, kind="email", brief=brief, variants=1)


async def worst_case(bank: Bank, settings: MarketAiSettings, campaign: UUID) -> int:
    one, model = order(campaign, 0), model_of(settings)
    await model.prepare()
    async with bank.database.connection() as connection:
        prepared = await prepare(connection, bank.org, one, searches_files=False)
    return model.worst_case(writing_prompt(one, prepared))


async def kill_at_random(workers: Workers) -> None:
    rng = random.Random(9)  # noqa: S311 - which worker is killed
    for _ in range(KILLS):
        await asyncio.sleep(KILL_EVERY)
        await asyncio.to_thread(workers.kill_one, rng)


def billed(provider: OpenAIServer) -> dict[str, int]:
    """Micro-dollars by job, as in `campaign/number`."""
    sums: dict[str, int] = defaultdict(int)
    for line in provider.ledger.lines:
        sums[line["tag"]] += line["micros"]
    return sums


async def test_the_provider_never_bills_more_than_any_limit(server: EmbeddedPostgres, provider: OpenAIServer) -> None:
    url = server.url("market-ai")
    given = {
        "database_url": url,
        "openai_api_key": "sk-loopback",
        "openai_base_url": provider.url(),
        "llm_timeout": 1.0,
    }
    settings = working.settings(given)
    async with open_bank(settings) as bank, connected(url) as connection:
        campaigns = [await bank.campaign() for _ in range(CAMPAIGNS)]
        worst = await worst_case(bank, settings, campaigns[0])
        for scope, fits in CAPS.items():
            await bank.limit(scope, fits * worst)
        for campaign in campaigns:
            await bank.limit("campaign", CAMPAIGN_FITS * worst, str(campaign))
        await bank.limit("request", int(TRIES * worst))
        async with connection.transaction():
            orders = [order(campaigns[n % CAMPAIGNS], n) for n in range(JOBS)]
            await enqueue_many(connection, orders, owner=bank.org)
        workers = Workers(WORKERS, working.main, given)
        try:
            await until(connection, "SELECT EXISTS (SELECT FROM budget_calls WHERE state = 'settled')", within=30)
            await kill_at_random(workers)
            await until(connection, ALL_ENDED, within=BOUND)
            ends = await asyncio.to_thread(workers.stop)
            assert set(ends) <= {0, -signal.SIGTERM}, ends  # one that was just started could not listen yet
        finally:
            workers.stop()
        async with working.a_worker(settings):
            async with connection.transaction():
                await enqueue(connection, SweepReservations())
            await until(connection, "SELECT NOT EXISTS (SELECT FROM budget_calls WHERE state = 'held')")
        bill = billed(provider)
        the_bill_is_within_every_limit(bill, worst)
        await every_job_says_what_became_of_it(bank, provider)
        await the_books_are_right(bank, bill, worst)


def the_bill_is_within_every_limit(bill: dict[str, int], worst: int) -> None:
    campaigns: dict[str, int] = defaultdict(int)
    for tag, micros in bill.items():
        campaigns[tag.split("/")[0]] += micros
    assert sum(bill.values()) <= min(CAPS.values()) * worst
    assert max(campaigns.values()) <= CAMPAIGN_FITS * worst
    assert max(bill.values()) <= TRIES * worst
    assert sum(bill.values()) > 4 * worst, "hardly anything was billed, so this proved little"


async def every_job_says_what_became_of_it(bank: Bank, provider: OpenAIServer) -> None:
    rows = await bank.run(
        "SELECT j.status, j.error, j.attempts, (SELECT count(*) FROM content_assets a WHERE a.job_id = j.id) AS assets,"
        " j.payload->>'brief' AS brief FROM jobs j WHERE j.owner = $1",
        bank.org,
    )
    assert len(rows) == JOBS
    answered = {line["tag"] for line in provider.ledger.lines if line["behaviour"] == "greedy"}
    for row in rows:
        tag = row["brief"].split("[[tag:")[1].removesuffix("]]")
        if row["status"] == "succeeded":
            assert row["assets"] == 1
            assert tag in answered
        else:
            assert row["status"] == "failed", dict(row)  # none is held: no job killed its workers by itself
            assert row["assets"] == 0
            assert row["error"]
    errors = [row["error"] or "" for row in rows]
    assert sum("budget_exceeded" in error for error in errors) > JOBS / 2
    assert sum(row["attempts"] > 1 for row in rows) >= 3, "the kills hardly met a running job"


async def the_books_are_right(bank: Bank, bill: dict[str, int], worst: int) -> None:
    assert await bank.problems() == []
    for scope, fits in CAPS.items():
        spent, reserved, unknown = await bank.balance(scope)
        assert reserved == 0
        assert spent + unknown <= fits * worst
        assert sum(bill.values()) <= spent + unknown, "the provider billed what the ledger does not charge"
    calls = await bank.run("SELECT state, count(*) FROM budget_calls GROUP BY state")
    states = {row["state"]: row["count"] for row in calls}
    assert set(states) <= {"settled", "released", "outcome_unknown"}
    assert states["outcome_unknown"] > 0

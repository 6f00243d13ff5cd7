"""An import survives kill -9 of its worker: every row is counted once, and every lead is there as if nothing had been."""

import asyncio
import csv
import io
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import import_worker
from tests.market_ai import conftest as market_ai
from tests.market_ai.lead_making import finished, upload
from tests.market_ai.making import connected

member, market_settings = market_ai.member, market_ai.market_settings  # fixtures
market_app, market = market_ai.market_app, market_ai.market

ROOT = Path(__file__).parents[2]
ROWS = 3000
KILLS = (1, 7, 20)  # after so many batches of 50 rows


@pytest.fixture
def start(market_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts a worker, forked from a process that has imported everything."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.conformance.import_worker"])
    started: list[Any] = []

    def start(batches: int | None) -> Any:
        process = context.Process(target=import_worker.main, args=(market_url, batches))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def file() -> str:
    """Every tenth row is wrong, every hundredth repeats an address of the row before it."""
    lines = ["email,number,tags"]
    for number in range(ROWS):
        email = "nobody" if number % 10 == 3 else f"lead{number - (number % 100 == 99)}@example.com"
        lines.append(f'{email},{number},"a,b"')
    return "\n".join(lines)


async def test_a_killed_import_counts_every_row_once(market: Any, member: Any, market_url: str, start: Any) -> None:
    ada = await member()
    one = (await upload(market, ada, file(), consent="granted", consent_source="fair")).json()
    async with connected(market_url) as connection:
        done = 0
        for batches in KILLS:
            worker = start(batches)
            await asyncio.to_thread(worker.join, 120)
            assert worker.exitcode == -signal.SIGKILL
            done += 50 * (batches - 1)
            assert await connection.fetchval("SELECT rows FROM imports") == done < ROWS
        start(None)
        ended = await finished(market, ada, one["id"])
        wrong, repeated = ROWS // 10, ROWS // 100
        assert (ended["status"], ended["rows"], ended["errors"]) == ("succeeded", ROWS, wrong + repeated)
        assert (ended["created"], ended["updated"], ended["unchanged"]) == (ROWS - wrong - repeated, 0, 0)
        numbers = await connection.fetch("SELECT (attributes->>'number')::int AS n FROM leads ORDER BY 1")
        expected = [n for n in range(ROWS) if n % 10 != 3 and n % 100 != 99]
        assert [row["n"] for row in numbers] == expected
        assert await connection.fetchval("SELECT count(*) FROM lead_consents") == len(expected)
        job = await connection.fetchrow("SELECT lost, failures FROM jobs")
        assert tuple(job) == (len(KILLS), 0)
    answer = await market.get(f"/api/leads/imports/{one['id']}/report", headers=ada.headers)
    reported = [row[0] for row in csv.reader(io.StringIO(answer.text, newline=""))][1:]
    assert reported == [str(n + 2) for n in range(ROWS) if n % 10 == 3 or n % 100 == 99]

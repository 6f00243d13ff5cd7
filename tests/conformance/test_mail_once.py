"""Nobody gets a mail twice, whatever dies in the middle of it, and every mail has exactly one state.

Worker processes that are killed with SIGKILL, a mail server that refuses, defers and breaks connections, and a Postgres
that is restarted. The server writes down every message it takes.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tandem.core.postgres import EmbeddedPostgres
from tests.conformance import mail_worker
from tests.conformance.mail_worker import LANES, order_sends
from tests.conformance.worker_processes import Workers, durable_server, restart
from tests.market_ai.making import connected
from tests.smtp_server import fault_of, smtp_server

MAILS, CAMPAIGNS = 10_000, 4
CHAOS = 40  # one recipient in so many meets a fault
KILLS, LEAST_KILLS, KILL_EVERY = 10, 3, 0.7  # seconds
BOUND = 420.0  # seconds from the last kill to the last mail, on a machine that does other things too
DONE = "SELECT count(*) = 0 FROM sends WHERE finished_at IS NULL"


@pytest.fixture
def database() -> Iterator[EmbeddedPostgres]:
    with durable_server("market-ai") as server:
        yield server


async def finished(url: str, *, within: float) -> None:
    """While the database comes and goes."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            async with connected(url) as connection:
                if await connection.fetchval(DONE):
                    return
        await asyncio.sleep(0.2)
    async with connected(url) as connection:
        rows = await connection.fetch("SELECT state, reason, count(*) FROM deliveries GROUP BY 1, 2")
        jobs = await connection.fetch("SELECT status, error, attempts FROM jobs")
    pytest.fail(f"not finished: {[tuple(row) for row in rows]} {[tuple(job) for job in jobs]}")


async def test_nobody_gets_two_mails_whatever_is_killed(database: EmbeddedPostgres, tmp_path: Path) -> None:
    await prove(database, tmp_path, mails=MAILS, kills=KILLS)


async def prove(database: EmbeddedPostgres, folder: Path, *, mails: int, kills: int) -> Counter[str]:
    """Sends under kills; how many mails ended in which state. For the benchmark too, with more of them."""
    url = database.url("market-ai")
    with smtp_server(folder, chaos=CHAOS) as smtp:
        async with connected(url) as connection:
            await order_sends(connection, mails, CAMPAIGNS)
        workers = Workers(2, mail_worker.main, url, smtp.url)
        try:
            async with asyncio.timeout(60):
                while not smtp.taken():  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.05)
            await _disturb(database, workers, kills)
            await finished(url, within=BOUND)
        finally:
            workers.stop()
        taken = smtp.counts()
    async with connected(url) as connection:
        rows = await connection.fetch("SELECT id, email_key, state, reason FROM deliveries")
        totals = await connection.fetch("SELECT * FROM send_totals")
        suppressed = {r["email_key"] for r in await connection.fetch("SELECT email_key FROM suppressions")}
    assert [mail for mail, times in taken.items() if times > 1] == [], "somebody got two"
    by_mail = {f"<{row['id']}.mail@bakery.test>": row for row in rows}
    _states_are_true(by_mail, taken, suppressed, most_lost=kills * LANES * CAMPAIGNS)
    assert len(rows) == mails
    assert all(one["balanced"] for one in totals)
    open_states = sum(one["waiting"] + one["claimed"] + one["handed_off"] for one in totals)
    assert (open_states, sum(one["planned"] for one in totals)) == (0, mails)
    return Counter(row["state"] for row in rows)


async def _disturb(database: EmbeddedPostgres, workers: Workers, kills: int) -> None:
    """Kills and a restart of Postgres, as long as there is something to disturb."""
    rng = random.Random(8)  # noqa: S311 - which worker is killed
    for number in range(kills):
        await asyncio.sleep(KILL_EVERY)
        async with connected(database.url("market-ai")) as connection:
            if await connection.fetchval(DONE):
                assert number > LEAST_KILLS, f"all was sent after {number} kills, which proves little"
                return
        await asyncio.to_thread(workers.kill_one, rng)
        if number == 1:
            await restart(database)


def _states_are_true(rows: dict[str, Any], taken: Counter[str], suppressed: set[str], *, most_lost: int) -> None:
    faults = {mail: fault_of(row["email_key"], CHAOS) for mail, row in rows.items()}
    states = {state: {mail for mail, row in rows.items() if row["state"] == state} for state in
              ("accepted", "failed", "unknown")}  # fmt: skip
    assert sum(map(len, states.values())) == len(rows)
    assert states["accepted"] <= set(taken), "accepted, but the server has it not"
    assert set(taken) <= states["accepted"] | states["unknown"], "the server has it, but it counts as not sent"
    refused = {mail for mail, fault in faults.items() if fault == "refuse"}
    assert states["failed"] == refused
    assert suppressed == {rows[mail]["email_key"] for mail in refused}
    dropped = {mail for mail, fault in faults.items() if fault.startswith("drop")}
    lost = {mail for mail in states["unknown"] if rows[mail]["reason"] == "worker_lost"}
    assert len(lost) <= most_lost
    assert states["unknown"] - lost <= dropped, "unknown, but neither a kill nor a broken connection was in the way"
    assert dropped <= states["unknown"], "a mail whose answer was lost was sent again, or taken for sent"
    assert {rows[mail]["reason"] for mail in states["unknown"] - lost} == {"no_answer"}

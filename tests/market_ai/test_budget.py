"""The AI budget cannot be overspent, whatever runs at once and whatever becomes of a call."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from tandem.core.jobs.errors import Superseded
from tandem.market_ai.budget.jobs import forget_call_results, sweep_reservations
from tandem.market_ai.budget.schemas import ForgetCallResults, SweepReservations
from tandem.market_ai.budget.service import (
    BudgetExceeded,
    Replay,
    check_room,
    cost_of_job,
    mark_unknown,
    release,
    reserve,
    settle,
)
from tests.market_ai.budgeting import DOLLAR, ORG, open_bank

SCOPES = ("organization", "month", "day", "campaign", "request")


@pytest.fixture
async def bank(market_settings):
    async with open_bank(market_settings) as bank:
        yield bank


async def warnings(bank):
    rows = await bank.run("SELECT scope, threshold FROM budget_warnings WHERE org_id = $1 ORDER BY 1, 2", bank.org)
    return [(row["scope"], row["threshold"]) for row in rows]


async def test_of_twenty_calls_at_once_only_those_go_that_the_cap_has_room_for(bank):
    campaign = await bank.campaign()
    await bank.limit("day", 7 * DOLLAR + 999_999)
    intents = [await bank.intent(campaign_id=campaign) for _ in range(20)]
    ends = await asyncio.gather(*(reserve(bank.database, one) for one in intents), return_exceptions=True)
    refused = [end for end in ends if isinstance(end, BudgetExceeded)]
    assert (len(ends) - len(refused), len(refused)) == (7, 13)
    assert {one.extra["scope"] for one in refused} == {"day"}
    for scope in SCOPES:
        assert await bank.balance(scope) == (0, 7 * DOLLAR, 0)
    assert await bank.problems() == []


async def test_calls_that_end_in_every_way_at_once_leave_a_ledger_that_proves_the_balances(bank):
    await bank.limit("organization", 12 * DOLLAR)
    campaign = await bank.campaign()

    async def one(number):
        intent = await bank.intent(campaign_id=campaign if number % 2 else None)
        try:
            held = await reserve(bank.database, intent)
        except BudgetExceeded:
            return "refused"
        end = number % 4
        if end == 0:
            await bank.settle(held, 400_000, {"n": number})
        elif end == 1:
            await release(bank.database, held, "429")
        elif end == 2:
            await mark_unknown(bank.database, held, "timeout")
        return end

    ends = await asyncio.gather(*(one(number) for number in range(24)))
    spent, reserved, unknown = await bank.balance()
    assert spent == 400_000 * ends.count(0)
    assert (unknown, reserved) == (DOLLAR * ends.count(2), DOLLAR * ends.count(3))
    assert spent + reserved + unknown <= 12 * DOLLAR
    assert await bank.problems() == []


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_call_that_one_scope_has_no_room_for_is_reserved_in_none(bank, scope):
    campaign = await bank.campaign()
    await bank.limit(scope, 300_000, str(campaign) if scope == "campaign" else "")
    job = await bank.job()
    await bank.settle(await bank.hold(100_000, job=job, campaign_id=campaign), 100_000)
    with pytest.raises(BudgetExceeded) as refused:
        await bank.hold(250_001, job=job, campaign_id=campaign, step="more")
    assert (refused.value.status, refused.value.extra) == (
        402,
        {
            "scope": scope,
            "cap": "0.300000",
            "available": "0.200000",
            "required": "0.250001",
            "shortfall": "0.050001",
        },
    )
    for each in SCOPES:
        assert await bank.balance(each) == (100_000, 0, 0)
    await bank.hold(200_000, job=job, campaign_id=campaign, step="less")  # to the last micro-dollar
    assert await bank.problems() == []


async def test_a_cap_of_zero_means_nothing_and_no_cap_means_anything(bank):
    await bank.hold(10**11)
    await bank.limit("month", 0)
    with pytest.raises(BudgetExceeded):
        await bank.hold(1)


async def test_all_calls_of_a_job_share_the_cap_of_the_request(bank):
    job, other = await bank.job(), await bank.job()
    await bank.hold(6 * DOLLAR, job=job, request_cap=10 * DOLLAR)
    for intent in (
        await bank.intent(5 * DOLLAR, job=job, step="b", request_cap=10 * DOLLAR),
        await bank.intent(11 * DOLLAR, job=other, request_cap=10 * DOLLAR),
    ):
        with pytest.raises(BudgetExceeded) as refused:
            await reserve(bank.database, intent)
        assert refused.value.extra["scope"] == "request"
    await bank.limit("request", 5 * DOLLAR)  # the organization's own, which is tighter
    with pytest.raises(BudgetExceeded) as refused:
        await bank.hold(6 * DOLLAR, job=other, request_cap=10 * DOLLAR)
    assert refused.value.extra["cap"] == "5.000000"


async def test_settling_charges_what_was_used_and_frees_the_rest(bank):
    held = await bank.hold(DOLLAR)
    await bank.settle(held, 123_456, {"text": "copy"})
    call = await bank.call(held)
    assert (call["state"], call["settled_micros"], call["overrun"]) == ("settled", 123_456, False)
    for scope in ("organization", "month", "day", "request"):
        assert await bank.balance(scope) == (123_456, 0, 0)
    await bank.settle(held, 7, {"text": "other"})  # told twice
    assert (await bank.call(held))["result"] == {"text": "copy"}
    await release(bank.database, held, "late")
    await mark_unknown(bank.database, held, "late")
    assert await bank.balance() == (123_456, 0, 0)
    async with bank.database.connection() as connection:
        cost = await cost_of_job(connection, bank.org, held.job_id)
    assert cost == '{"spent" : "0.123456", "reserved" : "0.000000", "unknown" : "0.000000"}'


async def test_settlement_can_be_part_of_the_callers_transaction(bank):
    held = await bank.hold()
    async with bank.database.connection() as connection:
        with pytest.raises(RuntimeError):
            await settle(connection, held, usage={}, micros=1)
        transaction = connection.transaction()
        await transaction.start()
        await settle(connection, held, usage={}, micros=1)
        await transaction.rollback()
    assert await bank.balance() == (0, DOLLAR, 0)


async def test_what_was_paid_for_is_replayed_and_reserves_nothing(bank):
    job = await bank.job()
    result = {"text": "nul \0, lone \ud800, Ä", "n": [1.5, None]}
    await bank.settle(await bank.hold(job=job), 5, result)
    await bank.run("UPDATE jobs SET attempts = 2 WHERE id = $1", job)
    again = await reserve(bank.database, await bank.intent(job=job, attempt=2))
    assert isinstance(again, Replay)
    assert (again.result, again.micros) == (result, 5)
    assert await bank.balance() == (5, 0, 0)
    for other in ({"step": "other"}, {"prompt_hash": "q"}):  # another question is another call
        await bank.hold(job=job, attempt=2, **other)
    await bank.hold()


async def test_of_two_results_of_one_step_the_first_is_kept_and_both_are_charged(bank):
    job = await bank.job()
    first, second = await bank.hold(job=job), await bank.hold(job=job)
    await bank.settle(second, 20, "second")
    await bank.settle(first, 10, "first")
    found = await reserve(bank.database, await bank.intent(job=job))
    assert isinstance(found, Replay)
    assert found.result == "second"
    assert await bank.balance() == (30, 0, 0)


async def test_a_run_that_is_not_the_jobs_any_more_may_not_pay(bank):
    job = await bank.job(attempt=2)
    foreign = await bank.job(owner="org_other")
    for intent in (
        await bank.intent(job=job, attempt=1),
        await bank.intent(job=uuid4()),
        await bank.intent(job=foreign),
    ):
        with pytest.raises(Superseded):
            await reserve(bank.database, intent)
    assert await bank.balance() == (0, 0, 0)


async def test_what_a_killed_run_left_behind_stays_charged_and_is_shown(bank):
    job = await bank.job()
    left = await bank.hold(job=job)
    await bank.run("UPDATE jobs SET attempts = 2 WHERE id = $1", job)
    await bank.limit("organization", DOLLAR)
    with pytest.raises(BudgetExceeded):  # because of what was left, which is shown even so
        await reserve(bank.database, await bank.intent(job=job, attempt=2))
    assert (await bank.call(left))["state"] == "outcome_unknown"
    await bank.limit("organization", 2 * DOLLAR)
    await bank.hold(job=job, attempt=2)
    assert await bank.balance() == (0, DOLLAR, DOLLAR)
    trail = await bank.run("SELECT * FROM audit_events WHERE org_id = $1", bank.org)
    assert [(one["action"], one["object_id"]) for one in trail] == [("budget.outcome_unknown", str(left.id))]


async def test_an_unknown_outcome_stays_charged_until_its_usage_comes_after_all(bank):
    held, unheard = await bank.hold(), await bank.hold()
    await mark_unknown(bank.database, held, "ReadTimeout: \0 \ud800")
    await mark_unknown(bank.database, unheard, "timeout")
    assert await bank.balance() == (0, 0, 2 * DOLLAR)
    await bank.settle(held, 700_000)
    await release(bank.database, unheard, "it had been refused")
    assert await bank.balance() == (700_000, 0, 0)
    assert (await bank.call(held))["error"].startswith("ReadTimeout")
    assert await bank.problems() == []


async def test_a_cost_above_its_reservation_is_charged_and_marked(bank):
    await bank.limit("organization", DOLLAR)
    held = await bank.hold(DOLLAR)
    await bank.settle(held, 3 * DOLLAR)
    assert (await bank.call(held))["overrun"] is True
    assert await bank.balance() == (3 * DOLLAR, 0, 0)
    with pytest.raises(BudgetExceeded) as refused:
        await bank.hold(1)
    assert (refused.value.extra["available"], refused.value.extra["shortfall"]) == ("0.000000", "0.000001")
    assert await bank.problems() == []


async def test_a_settlement_counts_on_the_day_of_its_reservation(bank):
    await bank.limit("day", DOLLAR)
    held = await bank.hold(DOLLAR)
    for table in ("budget_calls", "budget_accounts"):  # as if it had been made yesterday
        column, condition = ("day", "") if table == "budget_calls" else ("key", "WHERE scope = 'day'")
        await bank.run(f"UPDATE {table} SET {column} = '2026-01-31' {condition}")
    await bank.run("UPDATE budget_accounts SET key = '2026-01' WHERE scope = 'month'")
    await bank.hold(DOLLAR)  # today's is untouched
    await bank.settle(held, 400_000)
    rows = await bank.run("SELECT key, spent_micros FROM budget_accounts WHERE scope IN ('day', 'month') ORDER BY 1")
    assert [tuple(row) for row in rows][:2] == [("2026-01", 400_000), ("2026-01-31", 400_000)]


async def test_a_sweep_leaves_unknown_what_has_expired_or_lost_its_run(bank):
    expired = await bank.hold(lifetime=timedelta(microseconds=1))
    ended, superseded, purged, alive = [await bank.hold() for _ in range(4)]
    await bank.run("UPDATE jobs SET status = 'cancelled' WHERE id = $1", ended.job_id)
    await bank.run("UPDATE jobs SET attempts = 2 WHERE id = $1", superseded.job_id)
    await bank.run("DELETE FROM jobs WHERE id = $1", purged.job_id)
    async with open_bank(bank.settings, "org_deleted") as other:
        orphan = await other.hold()
        await other.run("DELETE FROM organizations WHERE id = 'org_deleted'")
        await other.run("DELETE FROM jobs WHERE owner = 'org_deleted'")
        job = await bank.context()
        assert await sweep_reservations.function(job, SweepReservations()) == {"unknown": 5, "failed": 0}
        assert (await other.call(orphan))["state"] == "outcome_unknown"
        assert await other.problems() == []
    states = [(await bank.call(one))["state"] for one in (expired, ended, superseded, purged, alive)]
    assert states == ["outcome_unknown"] * 4 + ["held"]
    assert "expired" in (await bank.call(expired))["error"]
    assert await bank.balance() == (0, DOLLAR, 4 * DOLLAR)
    assert await bank.value("SELECT count(*) FROM audit_events WHERE actor = 'service:budget'") == 4
    assert await sweep_reservations.function(job, SweepReservations()) == {"unknown": 0, "failed": 0}
    assert await bank.problems() == []


async def test_balances_changed_by_hand_do_not_keep_others_from_being_swept(bank):
    await bank.hold(lifetime=timedelta(microseconds=1))
    await bank.run("UPDATE budget_accounts SET reserved_micros = 0")
    async with open_bank(bank.settings, "org_zzz") as other:
        left = await other.hold(lifetime=timedelta(microseconds=1))
        job = await other.context()
        assert await sweep_reservations.function(job, SweepReservations()) == {"unknown": 1, "failed": 1}
        assert (await other.call(left))["state"] == "outcome_unknown"
    assert "balance_differs" in await bank.problems()


async def test_results_are_forgotten_with_their_job_and_the_money_is_not(bank):
    gone, kept = await bank.hold(), await bank.hold()
    for held in (gone, kept):
        await bank.settle(held, 10, {"text": "private"})
    await bank.run("DELETE FROM jobs WHERE id = $1", gone.job_id)
    job = await bank.context()
    assert await forget_call_results.function(job, ForgetCallResults()) == {"forgotten": 1}
    assert ((await bank.call(gone))["result"], (await bank.call(kept))["result"]) == (None, {"text": "private"})
    assert await bank.balance() == (20, 0, 0)
    assert await bank.problems() == []


async def test_a_threshold_warns_once_for_each_cap(bank):
    await bank.limit("month", 10 * DOLLAR)
    await bank.hold(7_999_999)
    assert await warnings(bank) == []
    await bank.hold(1)
    assert await warnings(bank) == [("month", 80)]
    await bank.hold(DOLLAR)
    await release(bank.database, await bank.hold(DOLLAR), "429")
    await bank.hold(DOLLAR)
    assert await warnings(bank) == [("month", 80), ("month", 90), ("month", 100)]
    await bank.limit("month", 12 * DOLLAR)  # 10 of 12 is 83 %
    await bank.hold(1)
    assert await warnings(bank) == [("month", 80), ("month", 80), ("month", 90), ("month", 100)]


async def test_room_is_checked_without_taking_it(bank):
    campaign = await bank.campaign()
    await bank.limit("campaign", DOLLAR, str(campaign))
    await bank.hold(600_000, campaign_id=campaign)
    async with bank.database.connection() as connection:
        await check_room(connection, ORG, campaign, 400_000, 10 * DOLLAR)
        await check_room(connection, ORG, None, 500_000, 500_000)
        for of, micros, cap, scope in ((campaign, 400_001, 10 * DOLLAR, "campaign"), (None, 2, 1, "request")):
            with pytest.raises(BudgetExceeded) as refused:
                await check_room(connection, ORG, of, micros, cap)
            assert refused.value.extra["scope"] == scope
    assert await bank.balance() == (0, 600_000, 0)


async def test_an_intent_that_makes_no_sense_is_refused(bank):
    for wrong in ({"micros": -1}, {"micros": 10**13}, {"lifetime": timedelta(0)}):
        with pytest.raises(ValueError, match=r"micro-dollars|lives longer"):
            await bank.intent(**wrong)

"""`pay`: everything that must happen around a call that costs money, whatever becomes of the call."""

import asyncio

import anyio
import asyncpg
import pytest

from tandem.market_ai.budget import paying
from tandem.market_ai.budget.service import Bill, BudgetExceeded, pay
from tests.market_ai.budgeting import DOLLAR, open_bank


class Refused(Exception):
    """As a provider's 429."""


@pytest.fixture
async def bank(market_settings):
    async with open_bank(market_settings) as bank:
        yield bank


class Provider:
    """Counts what it is asked, and answers or fails as told."""

    def __init__(self, answer=None):
        self.asked, self.answer = 0, answer

    async def __call__(self):
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer or Bill({"input_tokens": 3}, 1234, {"text": "copy"})


async def buy(bank, provider, job=None, **rest):
    job = job or await bank.context()
    intent = await bank.intent(job=job.id, **rest)
    return await pay(job, intent, provider, not_billed=Refused)


async def state(bank):
    return await bank.value("SELECT state FROM budget_calls WHERE org_id = $1", bank.org)


async def test_a_call_is_paid_once_and_replayed_after(bank):
    job, provider = await bank.context(), Provider()
    assert await buy(bank, provider, job) == {"text": "copy"}
    assert await buy(bank, provider, job) == {"text": "copy"}
    assert provider.asked == 1
    assert await bank.balance() == (1234, 0, 0)


async def test_a_call_without_room_is_not_made(bank):
    await bank.limit("month", 1)
    provider = Provider()
    with pytest.raises(BudgetExceeded):
        await buy(bank, provider)
    assert provider.asked == 0


@pytest.mark.parametrize(
    ("error", "left", "balance"),
    [
        (Refused("429"), "released", (0, 0, 0)),
        (TimeoutError("read"), "outcome_unknown", (0, 0, DOLLAR)),
        (KeyError("a bug"), "outcome_unknown", (0, 0, DOLLAR)),
        (asyncio.CancelledError(), "outcome_unknown", (0, 0, DOLLAR)),
    ],
)
async def test_an_error_frees_the_money_only_when_nothing_was_billed(bank, error, left, balance):
    with pytest.raises(type(error)):
        await buy(bank, Provider(error))
    assert (await state(bank), await bank.balance()) == (left, balance)


async def test_an_answer_that_is_of_no_use_is_charged_and_raised(bank):
    with pytest.raises(ZeroDivisionError):
        await buy(bank, Provider(Bill({}, 99, failure=ZeroDivisionError("no JSON"))))
    assert await bank.balance() == (99, 0, 0)
    assert await bank.value("SELECT error FROM budget_calls") == "ZeroDivisionError: no JSON"
    assert await bank.value("SELECT result IS NULL FROM budget_calls")


async def test_a_cancellation_during_the_call_leaves_it_unknown_and_one_before_frees_it(bank):
    for begin, left in ((True, "outcome_unknown"), (False, "released")):
        with anyio.CancelScope() as scope:
            job = await bank.context(scope)
            intent = await bank.intent(job=job.id)
            if not begin:
                scope.cancel()

            async def ask(scope=scope):
                scope.cancel()
                await anyio.sleep(10)

            await pay(job, intent, ask)
        assert scope.cancelled_caught
        assert await bank.value("SELECT state FROM budget_calls WHERE job_id = $1", job.id) == left
    assert await bank.balance() == (0, 0, DOLLAR)
    assert await bank.problems() == []


async def test_an_outcome_is_written_although_the_database_was_away_for_a_moment(bank, monkeypatch):
    monkeypatch.setattr(paying, "PAUSES", (0.0, 0.0))
    settle, failures = paying.settle, [asyncpg.CannotConnectNowError("starting up"), ConnectionRefusedError()]

    async def unreliable(*args, **rest):
        if failures:
            raise failures.pop()
        await settle(*args, **rest)

    monkeypatch.setattr(paying, "settle", unreliable)
    assert await buy(bank, Provider()) == {"text": "copy"}
    assert await bank.balance() == (1234, 0, 0)
    failures += [ConnectionRefusedError()] * 3
    with pytest.raises(ConnectionRefusedError):
        await buy(bank, Provider())
    assert await bank.balance() == (1234, DOLLAR, 0)  # held, for the sweeper

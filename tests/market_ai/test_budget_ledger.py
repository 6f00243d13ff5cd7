"""The ledger is append-only, chained and balanced; whoever tampers with it is found out."""

import asyncio
import contextlib
import hashlib
import itertools
import json
from collections import Counter
from decimal import Decimal

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.accounts.principal import Principal
from tandem.market_ai.budget.schemas import Billed, NotBilled
from tandem.market_ai.budget.service import BudgetExceeded, CallNotUnknown, mark_unknown, release, resolve, sweep
from tandem.market_ai.fields import decimal_string
from tandem.market_ai.tenancy import OrgWriter
from tests.market_ai.budgeting import open_bank


@pytest.fixture
async def bank(market_settings):
    async with open_bank(market_settings) as bank:
        yield bank


async def some_history(bank):
    campaign = await bank.campaign()
    settled, released, unknown = [await bank.hold(campaign_id=campaign) for _ in range(3)]
    await bank.settle(settled, 250_000)
    await release(bank.database, released, "429")
    await mark_unknown(bank.database, unknown, "timeout")
    await bank.hold()
    return settled


async def tamper(bank, *statements):
    """As a superuser can, who switches the triggers off."""
    async with bank.database.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE budget_ledger SET spent_micros = 0",
        "DELETE FROM budget_ledger",
        "TRUNCATE budget_ledger",
        "DELETE FROM budget_chains",
        "DELETE FROM budget_calls",
        "TRUNCATE budget_accounts",
    ],
)
async def test_what_was_booked_is_not_changed_or_removed(bank, statement):
    await some_history(bank)
    with pytest.raises(asyncpg.RestrictViolationError, match="is refused"):
        await bank.run(statement)


async def test_an_entry_that_does_not_balance_or_names_its_own_place_is_not_taken(bank):
    held = await bank.hold()
    insert = (
        "INSERT INTO budget_ledger (org_id, kind, call_id, job_id, day, budget_micros, reserved_micros, unknown_micros,"
        " spent_micros, seq, created_at, prev_hash, hash)"
        " VALUES ($1, 'reserve', $2, $3, '2026-01-01', -5, $4, 0, 0, 77, '2020-01-01Z', 'x', 'y') RETURNING seq"
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await bank.run(insert, bank.org, held.id, held.job_id, 6)
    assert await bank.value(insert, bank.org, held.id, held.job_id, 5) == 2
    found = await bank.problems()
    assert {"balance_differs", "call_differs"} == set(found)  # it is chained, and yet nothing that happened


@pytest.mark.parametrize(
    ("found", "statement"),
    [
        ("entry_altered", "UPDATE budget_ledger SET kind = 'release' WHERE seq = 3"),
        ("entry_altered", "UPDATE budget_ledger SET created_at = created_at + interval '1 microsecond' WHERE seq = 3"),
        ("chain_broken", "UPDATE budget_ledger SET hash = sha256('x') WHERE seq = 3"),
        ("entry_missing", "DELETE FROM budget_ledger WHERE seq = 3"),
        ("head_differs", "DELETE FROM budget_ledger WHERE seq = 7"),
        ("head_differs", "DELETE FROM budget_chains"),
        ("head_differs", "UPDATE budget_chains SET head = sha256('x')"),
        ("balance_differs", "UPDATE budget_accounts SET spent_micros = spent_micros - 1 WHERE scope = 'day'"),
        ("balance_differs", "DELETE FROM budget_accounts WHERE scope = 'request' AND spent_micros > 0"),
        ("call_differs", "UPDATE budget_calls SET settled_micros = 1 WHERE state = 'settled'"),
        ("call_differs", "DELETE FROM budget_calls WHERE state = 'settled'"),
        (
            "entry_unbalanced",
            "ALTER TABLE budget_ledger DROP CONSTRAINT ck_budget_ledger_sums_to_zero;"
            "UPDATE budget_ledger SET budget_micros = 0 WHERE seq = 7;"
            "UPDATE budget_ledger e SET hash = budget_entry_hash(e) WHERE seq = 7;"
            "UPDATE budget_chains SET head = (SELECT hash FROM budget_ledger WHERE seq = 7)",
        ),
    ],
)
async def test_tampering_is_found(bank, found, statement):
    await some_history(bank)
    assert await bank.problems() == []
    await tamper(bank, *statement.split(";"))
    assert found in await bank.problems()


async def test_a_history_that_was_rewritten_to_the_end_is_found_by_its_balances_and_a_noted_head(bank):
    settled = await some_history(bank)
    head = await bank.value("SELECT head FROM budget_chains")
    rewrite = """
    DO $$ DECLARE e budget_ledger; before bytea := decode(repeat('00', 32), 'hex'); BEGIN
      FOR e IN SELECT * FROM budget_ledger ORDER BY seq LOOP
        UPDATE budget_ledger SET prev_hash = before WHERE seq = e.seq RETURNING * INTO e;
        UPDATE budget_ledger SET hash = budget_entry_hash(e) WHERE seq = e.seq RETURNING hash INTO before;
      END LOOP;
      UPDATE budget_chains SET head = before;
    END $$"""
    cheaper = "UPDATE budget_ledger SET spent_micros = 1, budget_micros = 999999 WHERE kind = 'settle'"
    await tamper(bank, cheaper, rewrite)
    found = Counter(await bank.problems())
    assert found == {"balance_differs": 5, "call_differs": 1}
    accounts = "UPDATE budget_accounts SET spent_micros = spent_micros - 249999 WHERE spent_micros > 0"
    calls = f"UPDATE budget_calls SET settled_micros = 1 WHERE id = '{settled.id}'"
    await tamper(bank, accounts, calls)  # who can rewrite everything
    assert await bank.problems() == []
    assert await bank.problems(noted=(7, head.hex())) == ["noted_entry_differs"]


async def test_the_chain_can_be_recomputed_from_what_the_api_shows(market, member, market_settings):
    """As docs/budget.md says, without this service's code."""
    ada = await member()
    async with open_bank(market_settings, ada.org_id) as bank:
        await some_history(bank)
    entries = (await market.get("/api/budget/ledger", headers=ada.headers)).json()["items"]
    before = "0" * 64
    for entry in reversed(entries):
        lines = {line["account"]: int(Decimal(line["amount"]) * 1_000_000) for line in entry["lines"]}
        assert sum(lines.values()) == 0
        assert len(lines) >= 2
        amounts = [lines.get(account, 0) for account in ("budget", "reserved", "unknown", "spent")]
        names = ("seq", "at", "kind", "call_id", "job_id", "campaign_id", "day")
        text = json.dumps([before, ada.org_id, *(entry[name] for name in names), *amounts], ensure_ascii=False)
        assert entry["prev_hash"] == before
        before = hashlib.sha256(text.encode()).hexdigest()
        assert entry["hash"] == before
    assert len(entries) == 7


async def test_the_ledger_outlives_jobs_campaigns_and_the_organization(bank):
    await some_history(bank)
    before = await bank.run("SELECT * FROM budget_ledger ORDER BY seq")
    await bank.run("DELETE FROM jobs")
    await bank.run("DELETE FROM campaigns")
    await bank.run("DELETE FROM organizations")
    assert await bank.run("SELECT * FROM budget_ledger ORDER BY seq") == before
    assert await bank.problems() == []


async def test_verification_goes_through_the_ledger_in_parts(bank, monkeypatch):
    monkeypatch.setattr("tandem.market_ai.budget.verification.PART", 2)
    await some_history(bank)
    assert await bank.problems() == []
    await tamper(bank, "DELETE FROM budget_ledger WHERE seq IN (3, 4)")
    assert "entry_missing" in await bank.problems()


CAPPED = ("organization", "day", "campaign")
AMOUNTS = st.integers(0, 400_000)
CAPS = st.fixed_dictionaries({}, optional={scope: st.integers(0, 1_000_000) for scope in CAPPED})
RESERVE = st.tuples(st.just("reserve"), AMOUNTS, st.integers(0, 1))
END = st.tuples(st.sampled_from(["settle", "release", "unknown", "unknown", "resolve"]), AMOUNTS, st.integers(0, 2))


class Model:
    """What should come of every step, said in the plainest way."""

    def __init__(self, caps):
        self.caps, self.calls = caps, {}

    def sum(self, *places, of_campaign=False):
        counted = [call for call in self.calls.values() if call["campaign"] or not of_campaign]
        return sum(call["amount"] for call in counted if call["place"] in places)

    def used(self, scope):
        return self.sum("reserved", "unknown", "spent", of_campaign=scope == "campaign")

    def fits(self, amount, campaign):
        counting = [scope for scope in self.caps if campaign or scope != "campaign"]
        return all(self.used(scope) + amount <= self.caps[scope] for scope in counting)

    def end(self, held, what, amount):
        call = self.calls[held]
        if what == "settle" and (call["place"] != "spent" or call["by_hand"]):
            call |= {"place": "spent", "amount": amount, "by_hand": False}
        elif what == "release" and call["place"] in {"reserved", "unknown"}:
            call |= {"place": "free", "amount": 0}
        elif what == "unknown" and call["place"] == "reserved":
            call |= {"place": "unknown"}
        elif what == "resolve" and call["place"] == "unknown":
            billed = amount % 2
            call |= {"place": "spent" if billed else "free", "amount": amount * billed, "by_hand": True}


async def play(bank, caps, steps):
    model, campaign = Model(caps), await bank.campaign()
    for scope, cap in caps.items():
        await bank.limit(scope, cap, str(campaign) if scope == "campaign" else "")
    for what, amount, which in steps:
        if what == "reserve":
            fits = model.fits(amount, campaign=which)
            try:
                held = await bank.hold(amount, campaign_id=campaign if which else None)
            except BudgetExceeded:
                assert not fits
            else:
                assert fits
                model.calls[held] = {"campaign": which, "place": "reserved", "amount": amount, "by_hand": False}
        elif model.calls:
            held = list(model.calls)[which % len(model.calls)]
            await end(bank, held, what, min(amount, held.micros))
            model.end(held, what, min(amount, held.micros))
        assert await bank.balance() == (model.sum("spent"), model.sum("reserved"), model.sum("unknown"))
        assert sum(await bank.balance("campaign")) == model.used("campaign")
    assert await bank.problems() == []


async def end(bank, held, what, amount):
    if what == "settle":
        await bank.settle(held, amount)
    elif what == "release":
        await release(bank.database, held, "429")
    elif what == "unknown":
        await mark_unknown(bank.database, held, "timeout")
    else:
        with contextlib.suppress(CallNotUnknown):
            await by_hand(bank, held, amount)


async def by_hand(bank, held, amount):
    billed = Billed(outcome="billed", amount=decimal_string(amount)) if amount % 2 else NotBilled(outcome="not_billed")
    async with bank.database.connection() as connection, connection.transaction():
        writer = OrgWriter(Principal("grace", "session", "session:1"), connection, bank.org, "manager")
        await resolve(writer, held.id, billed)


def test_whatever_happens_in_whichever_order_sums_caps_and_chain_hold(market_settings):
    numbers = itertools.count()

    async def example(caps, steps):
        async with open_bank(market_settings, f"org_{next(numbers)}") as bank:
            await play(bank, caps, steps)

    with asyncio.Runner() as runner:

        @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(CAPS, st.lists(st.one_of(RESERVE, END, END), max_size=16))
        def examples(caps, steps):
            runner.run(example(caps, steps))

        examples()


LIVES = st.lists(
    st.tuples(
        st.integers(0, 400_000),  # its worst case
        st.sampled_from(["settle", "release", "unknown", "resolve", "die", "settle late"]),
        st.floats(0, 1),  # of which so much is used
        st.booleans(),  # whether it is of the campaign
    ),
    min_size=1,
    max_size=10,
)


async def live(bank, campaign, life):
    """One call, as a worker or its death would have it, beside others; True when there was room for it."""
    amount, end_by, used, of_campaign = life
    try:
        held = await bank.hold(amount, campaign_id=campaign if of_campaign else None)
    except BudgetExceeded:
        return False
    cost = int(amount * used)
    if end_by in {"settle", "release", "unknown"}:
        await end(bank, held, end_by, cost)
    elif end_by == "settle late":
        await mark_unknown(bank.database, held, "timeout")
        await bank.settle(held, cost)
    elif end_by == "resolve":
        await mark_unknown(bank.database, held, "timeout")
        await by_hand(bank, held, cost)
    else:
        await bank.run("UPDATE jobs SET status = 'failed' WHERE id = $1", held.job_id)
        async with bank.database.connection() as connection, connection.transaction():
            await sweep(connection, bank.org)
    return True


async def live_together(bank, caps, lives):
    campaign = await bank.campaign()
    for scope, cap in caps.items():
        await bank.limit(scope, cap, str(campaign) if scope == "campaign" else "")
    room = await asyncio.gather(*(live(bank, campaign, one) for one in lives))
    for scope, cap in caps.items():
        assert sum(await bank.balance(scope)) <= cap
    if not caps:
        assert all(room)
    states = Counter(
        row["state"] for row in await bank.run("SELECT state FROM budget_calls WHERE org_id = $1", bank.org)
    )
    assert states.total() == sum(room)
    assert "held" not in states
    assert await bank.problems() == []


def test_calls_that_live_at_the_same_time_never_pass_a_cap_and_the_ledger_proves_it(market_settings):
    numbers = itertools.count()

    async def example(caps, lives):
        async with open_bank(market_settings, f"org_{next(numbers)}") as bank:
            await live_together(bank, caps, lives)

    with asyncio.Runner() as runner:

        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.fixed_dictionaries({}, optional={name: st.integers(0, 10**6) for name in (*CAPPED, "month")}), LIVES)
        def examples(caps, lives):
            runner.run(example(caps, lives))

        examples()

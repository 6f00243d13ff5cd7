"""The language that selects leads: what it selects, what it refuses, and that nothing in it reaches SQL but as a value."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.core.db import Args
from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.leads.filter_syntax import FIELDS, MAX_COMPARISONS, MAX_DEPTH, FilterError
from tandem.market_ai.leads.sql import MAILABLE, compile_filter
from tests.market_ai.making import connected

ORG = "acme"
NOW = datetime.now(UTC)
LEADS: list[tuple[str, str | None, dict[str, Any], list[str], str, datetime]] = [
    ("ada@example.com", "Ada Lovelace", {"plan": "Pro", "visits": 12, "trial": False, "born": "1815-12-10"},
     ["vip", "early"], "granted", NOW),
    ("grace@navy.example", "Grace O'Hopper", {"plan": "free", "visits": "3", "trial": True}, ["vip"], "granted",
     NOW - timedelta(days=40)),
    ("eve@example.com", None, {"visits": "many", "born": "soon"}, [], "withdrawn", NOW - timedelta(days=2)),
    ("alan@example.org", 'Alan "T" \\ 100%_', {"visits": -1.5, "born": "1912-06-23"}, ["früh"], "none", NOW),
]  # fmt: skip


async def fill(connection: Any) -> Any:
    await connection.execute("INSERT INTO organizations (id, name) VALUES ($1, 'Acme'), ('other', 'Other')", ORG)
    for email, name, attributes, tags, consent, at in LEADS:
        for org in (ORG, "other"):
            await connection.execute(
                """INSERT INTO leads (org_id, id, email, email_key, name, attributes, tags, consent, consent_at, timezone,
                                      locale, created_at)
                   VALUES ($1, gen_random_uuid(), $2, $2, $3, $4::text::jsonb, $5, $6,
                           CASE WHEN $6 <> 'none' THEN now() END, 'Europe/Berlin', 'de-DE', $7)""",
                *(org, email, name, json.dumps(attributes), tags, consent, at),
            )
    await connection.execute(
        "INSERT INTO suppressions (org_id, email_key, reason, source) VALUES ($1, 'grace@navy.example', 'bounced', 'x')",
        ORG,
    )
    return connection


@pytest.fixture
async def connection(market_url):
    async with connected(market_url) as connection:
        yield await fill(connection)


async def selected(connection: Any, text: str) -> set[str]:
    """The names, before the @, of whom the filter selects."""
    condition, arg = compile_filter(text, Args([ORG]))
    rows = await connection.fetch(f"SELECT email FROM leads l WHERE l.org_id = $1 AND {condition}", *arg)
    return {row["email"].partition("@")[0] for row in rows}


EVERYBODY = {"ada", "grace", "eve", "alan"}
CASES = {
    'email = "ADA@Example.com"': {"ada"},
    'email contains "EXAMPLE"': EVERYBODY,
    "domain = 'example.com'": {"ada", "eve"},
    "domain ends with .com": "error",
    'domain ends with ".com"': {"ada", "eve"},
    'name starts with "ada"': {"ada"},
    'name != "Ada Lovelace"': {"grace", "eve", "alan"},
    "name is empty": {"eve"},
    "name is not empty": EVERYBODY - {"eve"},
    'name contains "o\'h"': {"grace"},
    "name contains 'o\\'h'": {"grace"},
    'name contains "\\"T\\" \\\\"': {"alan"},
    'name contains "100%_"': {"alan"},
    'name contains "%"': {"alan"},
    "consent = granted": {"ada", "grace"},
    "consent in (none, withdrawn)": {"eve", "alan"},
    "consent not in (none, withdrawn)": {"ada", "grace"},
    "consent != granted and not suppressed": {"eve", "alan"},
    "suppressed": {"grace"},
    "mailable": {"ada"},
    "not mailable": EVERYBODY - {"ada"},
    "tags has VIP": {"ada", "grace"},
    'tags has any ("early", "früh")': {"ada", "alan"},
    "tags has vip and not tags has early": {"grace"},
    "tags is empty": {"eve"},
    "attributes.plan = pro": {"ada"},
    "attributes.plan in (pro, free)": {"ada", "grace"},
    "attributes.plan is empty": {"eve", "alan"},
    "attributes.visits >= 3": {"ada", "grace"},
    "attributes.visits < 3.5": {"grace", "alan"},
    "attributes.visits = -1.5": {"alan"},
    "attributes.visits != 12": EVERYBODY - {"ada"},
    "attributes.visits = many": {"eve"},
    "attributes.visits in (12, many)": {"ada", "eve"},
    "attributes.trial = true": {"grace"},
    "attributes.trial = false": {"ada"},
    "attributes.born < 1900-01-01": {"ada"},
    "attributes.born >= 1912-06-23": {"alan"},
    "attributes.born < 1 day ago": {"ada", "alan"},
    "attributes.unheard_of = 1": set(),
    "created_at > 30 days ago": {"ada", "eve", "alan"},
    "created_at <= 5 weeks ago": {"grace"},
    f"created_at = {NOW:%Y-%m-%d}": {"ada", "alan"},
    "created_at >= 2020-01-01T00:00:00+02:00": EVERYBODY,
    "consent_at is empty": {"alan"},
    "locale = de-de and timezone = 'europe/berlin'": EVERYBODY,
    "CONSENT = GRANTED": "error",
    "Consent = granted AND NOT (Tags HAS vip OR domain = 'x.y')": set(),
    "consent = granted or consent = none and tags is empty": {"ada", "grace"},
    "(consent = granted or consent = none) and tags is empty": set(),
}
WRONG = (
    "", " ", "consent", "consent =", "= granted", "consent = granted and", "consent = granted or or suppressed", "(suppressed",
    "suppressed)", "password = x", "org_id = other", "l.org_id = x", "attributes = 1", "attributes. = 1", "attributes.Ä = 1",
    "attributes.a.b = 1", "attributes.1 = 1", "consent = maybe", "tags = vip", "tags contains x", "consent > none",
    "name > x", "created_at contains 2026", "created_at = yesterday", "created_at > 2026-02-30", "created_at > 3",
    "created_at = 3 days ago", "created_at = 2026-01-01T00:00:00Z", "created_at > 2026-01-01T00:00:00", "suppressed = true",
    "created_at > 36501 days ago", "created_at > 1.5 days ago", "created_at > -1 days ago", "created_at > 5 minutes ago",
    "attributes.a > true", "attributes.a contains 5", "attributes.a has 5", "attributes.a = 2026-01-01T00:00:00Z",
    "attributes.a = 12345678901234567", "attributes.a in ()", "attributes.a in (1,)", "attributes.a in 1", "name = 5",
    'name = "open', "name = 'a' 'b'", "name = a.b", "name is", "name is not", "name starts x", 'name = "\\n"', "name ; DROP TABLE leads",
    "name = 'x' -- y", "name = $1", "name = `x`", "name like '%'", "created_at > 0001-01-01T00:00:00+14:00", "not", "and",
    "has any (1)", "tags has any ()", "tags not has x", "name = true",
)  # fmt: skip


async def test_a_filter_selects_what_it_says(connection):
    for text, expected in CASES.items():
        if expected == "error":
            with pytest.raises(FilterError):
                compile_filter(text)
        else:
            assert await selected(connection, text) == expected, text


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_filter_is_refused_with_the_place(text):
    with pytest.raises(FilterError, match=r"\(at character \d+\)") as refused:
        compile_filter(text)
    assert 1 <= refused.value.position <= len(text) + 1


def test_size_and_depth_are_bounded():
    compile_filter("(" * MAX_DEPTH + "suppressed" + ")" * MAX_DEPTH)
    compile_filter(" or ".join(["suppressed"] * MAX_COMPARISONS))
    for text in (
        "(" * (MAX_DEPTH + 1) + "suppressed" + ")" * (MAX_DEPTH + 1),
        "not " * (MAX_DEPTH + 1) + "suppressed",
        "(" * 4000,
        "not " * 1000,
        " or ".join(["suppressed"] * (MAX_COMPARISONS + 1)),
        f"name in ({', '.join('x' * 1 for _ in range(1000))})",
        f'name = "{"x" * 4000}"',
    ):
        with pytest.raises(FilterError):
            compile_filter(text)


def test_values_are_arguments_and_never_part_of_the_statement():
    condition, arg = compile_filter("""name = "'; DROP TABLE leads; --" and attributes.plan = 'pro"' """, Args(["org"]))
    assert "DROP" not in condition
    assert "pro" not in condition
    assert list(arg) == ["org", ["'; DROP TABLE leads; --"], "plan", 'pro"']


async def test_the_rule_of_who_may_be_written_to_is_that_of_the_filter(connection):
    rows = await connection.fetch(f"SELECT email FROM leads l WHERE l.org_id = $1 AND {MAILABLE}", ORG)
    assert {row["email"] for row in rows} == {"ada@example.com"}


_WORD = st.sampled_from(["vip", "pro", "granted", "x-y", "_"])
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
_QUOTED = _TEXT.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
_NUMBER = st.decimals(-(10**14), 10**14, places=3).map(str)
_DAY = st.dates().map(str)
_ATTRIBUTE = st.from_regex(r"\Aattributes\.[a-z][a-z0-9_]{0,8}\Z")
_ORDER = st.sampled_from(["<", "<=", ">", ">="])
_LEAF = st.one_of(
    st.sampled_from(["suppressed", "mailable", "tags is empty", "name is not empty", "consent = none"]),
    st.builds("tags has {}".format, _QUOTED),
    st.builds("{} {} {}".format, st.sampled_from(["name", "email", "domain", "locale"]),
              st.sampled_from(["=", "!=", "contains", "starts with", "ends with"]), _QUOTED),
    st.builds("{} {} {}".format, _ATTRIBUTE, _ORDER, st.one_of(_NUMBER, _QUOTED, _DAY)),
    st.builds("{} in ({}, {})".format, _ATTRIBUTE, st.one_of(_NUMBER, _QUOTED, _WORD), _QUOTED),
    st.builds("{} {} {}".format, st.sampled_from(["created_at", "consent_at"]), _ORDER, _DAY),
    st.builds("created_at > {} days ago".format, st.integers(0, 36500)),
)  # fmt: skip
_FILTER = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not {}".format, inner.map("({})".format)),
    ),
    max_leaves=8,
)
_PIECES = st.lists(
    st.one_of(
        st.sampled_from([*FIELDS, "attributes.a", "and", "or", "not", "in", "is", "empty", "has", "any", "(", ")", ",", "=",
                         "!=", "<", ">=", "contains", "starts", "with", "days", "ago", "true", "'", '"', "--", ";", "$1"]),
        _QUOTED, _NUMBER, _DAY, _WORD, st.text(max_size=5),
    ),
    max_size=14,
).map(" ".join)  # fmt: skip
_QUICK = settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def ask(market_url):
    """`selected`, for tests that are not asynchronous, as hypothesis is not."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(**parse_database_url(market_url).asyncpg_args))
        runner.run(fill(connection))
        yield lambda text: runner.run(selected(connection, text))
        runner.run(connection.close())


def test_any_filter_and_its_negation_part_the_leads_in_two(ask):
    @_QUICK
    @given(_FILTER)
    def check(text: str) -> None:
        found = ask(text)
        assert ask(f"not ({text})") == EVERYBODY - found

    check()


def test_any_text_is_a_filter_that_runs_or_is_refused(ask):
    @_QUICK
    @given(st.one_of(_PIECES, _FILTER.map(lambda text: text[:-1]), st.text(max_size=40)))
    def check(text: str) -> None:
        try:
            compile_filter(text)
        except FilterError:
            return
        assert ask(text) <= EVERYBODY

    check()

"""Comparing variants and periods, and how large a sample has to be, through the API."""

from typing import Any

import httpx2
import pytest

from tests.market_ai.conftest import MakeMember, Member
from tests.market_ai.making import make_campaign, problem
from tests.market_ai.measuring import day, put, row, url


@pytest.fixture
async def ada(member: MakeMember) -> Member:
    return await member()


async def get(market: Any, who: Member, campaign: Any, what: str, **query: Any) -> Any:
    answer = await market.get(url(campaign, what), params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def split(market: Any, who: Member, counts: dict[str, tuple[int, int]], at: int = 0, **fields: Any) -> Any:
    """A campaign with clicks and impressions by variant, on one day."""
    campaign = await make_campaign(market, who, **fields)
    await put(market, who, campaign, [shown(at, name, *pair) for name, pair in counts.items()])
    return campaign


def shown(at: int, name: str, clicks: int, impressions: int) -> dict[str, Any]:
    return row(at, variant=name, clicks=clicks, impressions=impressions)


async def test_two_variants_are_compared_with_the_numbers_of_the_vectors(
    market: httpx2.AsyncClient, ada: Member
) -> None:
    campaign = await split(market, ada, {"A": (200, 10_000), "B": (250, 10_000), "": (9, 9)})
    found = await get(market, ada, campaign, "comparison/variants")
    [pair] = found["pairs"]
    assert (pair["a"], pair["b"]) == ("A", "B")
    assert (pair["z"], pair["p"]) == (pytest.approx(-2.383995, abs=1e-6), pytest.approx(0.0171258, abs=1e-7))
    assert pair["interval"] == {"low": pytest.approx(0.00088705, abs=1e-8), "high": pytest.approx(0.00913827, abs=1e-8)}
    assert (pair["statistic"], pair["always_valid_p"]) == (
        pytest.approx(4.3379, abs=1e-4),
        pytest.approx(0.2305, abs=1e-4),
    )
    assert [one["name"] for one in found["variants"]] == ["A", "B"]  # and no variant is none
    assert found["variants"][1]["probability_best"] == pytest.approx(0.991423, abs=1e-6)
    # The usual test would have named B; who looks every day must not.
    assert (found["decision"], found["winner"]) == ("undecided", None)
    assert found["sample_ratio"] == {"weights": [0.5, 0.5], "chi2": 0, "p": 1, "mismatch": False}
    assert (found["date_from"], found["date_to"], found["left_out"]) == (day(0), day(0), 0)
    assert found["required_sample_size"] > 10_000


async def test_a_winner_is_named_when_the_sequential_test_allows_it(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await split(market, ada, {"A": (200, 10_000), "B": (300, 10_000)})
    found = await get(market, ada, campaign, "comparison/variants")
    assert (found["decision"], found["winner"]) == ("winner", "B")
    assert found["pairs"][0]["always_valid_p"] == pytest.approx(0.000459, abs=1e-6)
    strict = await get(market, ada, campaign, "comparison/variants", alpha=0.0004)
    assert (strict["decision"], strict["winner"]) == ("undecided", None)
    # Another pair that nobody can tell apart: the best must beat all, at a level for all pairs.
    await put(market, ada, campaign, [shown(0, "C", 298, 10_000)])
    found = await get(market, ada, campaign, "comparison/variants")
    assert (len(found["pairs"]), found["decision"]) == (3, "undecided")
    named = await get(market, ada, campaign, "comparison/variants", variant=["A", "B"])
    assert (len(named["pairs"]), named["winner"]) == (1, "B")


async def test_every_day_is_a_look_so_evidence_of_a_day_is_kept(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await split(market, ada, {"A": (200, 10_000), "B": (300, 10_000)})
    await put(market, ada, campaign, [shown(1, "A", 3800, 190_000), shown(1, "B", 3710, 190_000)])
    found = await get(market, ada, campaign, "comparison/variants")
    [pair] = found["pairs"]
    assert pair["statistic"] < 1
    assert pair["always_valid_p"] == pytest.approx(0.000459, abs=1e-6)
    assert found["decision"] == "undecided"  # the data do not say so any more
    later = await get(market, ada, campaign, "comparison/variants", date_from=day(1))
    assert later["pairs"][0]["always_valid_p"] > 0.05


async def test_a_skewed_split_names_nobody_unless_it_was_meant_to_be_so(
    market: httpx2.AsyncClient, ada: Member
) -> None:
    campaign = await split(market, ada, {"A": (200, 10_000), "B": (700, 20_000)})
    found = await get(market, ada, campaign, "comparison/variants")
    assert (found["decision"], found["winner"], found["sample_ratio"]["mismatch"]) == (
        "sample_ratio_mismatch", None, True,
    )  # fmt: skip
    meant = await get(market, ada, campaign, "comparison/variants", weight=[1, 2])
    assert (meant["decision"], meant["winner"], meant["sample_ratio"]["p"]) == ("winner", "B", 1)
    bad = [{"weight": [1]}, {"weight": [1, 0]}, {"weight": ["x", 1]}, {"alpha": 0}, {"effect": 1}, {"metric": "cpc"}]
    for query in bad:
        answer = market.get(url(campaign, "comparison/variants"), params=query, headers=ada.headers)
        assert await problem(answer) == (422, "invalid_payload"), query


async def test_that_more_of_a_variant_is_clicked_is_no_skewed_split(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    rows = [
        row(0, variant=name, impressions=10_000, clicks=clicks, conversions=50)
        for name, clicks in (("A", 200), ("B", 400))
    ]
    await put(market, ada, campaign, rows)
    found = await get(market, ada, campaign, "comparison/variants", metric="cvr")
    assert (found["sample_ratio"]["p"], found["decision"]) == (1, "undecided")


async def test_what_is_no_proportion_is_shown_and_not_tested(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    rows = [
        row(0, variant="A", clicks=100, conversions=120), row(0, variant="B", clicks=100, conversions=30),
        row(0, variant="C", impressions=5),
    ]  # fmt: skip
    await put(market, ada, campaign, rows)
    found = await get(market, ada, campaign, "comparison/variants", metric="cvr")
    assert (found["decision"], found["pairs"]) == ("too_few_variants", [])
    rates = [(one["name"], one["rate"], one["interval"] is None) for one in found["variants"]]
    assert rates == [("A", 1.2, True), ("B", 0.3, False), ("C", None, True)]


async def test_without_data_there_is_nothing_to_compare(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    found = await get(market, ada, campaign, "comparison/variants")
    assert (found["variants"], found["sample_ratio"], found["decision"]) == ([], None, "too_few_variants")
    periods = await get(market, ada, campaign, "comparison/periods")
    assert periods == {"currency": None, "period": None, "before": None, "change": None, "tests": []}
    named = await get(market, ada, campaign, "comparison/periods", date_from=day(0), date_to=day(1))
    assert named["change"]["clicks"] == {"absolute": 0, "relative": None}


async def test_more_than_ten_variants_are_the_ten_largest(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await split(market, ada, {f"v{n:02}": (20 + n, 1000 + n) for n in range(13)})
    found = await get(market, ada, campaign, "comparison/variants")
    assert [one["name"] for one in found["variants"]] == [f"v{n:02}" for n in range(3, 13)]
    assert (found["left_out"], len(found["pairs"])) == (3, 45)
    assert sum(one["probability_best"] for one in found["variants"]) == pytest.approx(1, abs=1e-5)


async def test_the_last_week_is_compared_with_the_one_before(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada, budget={"amount": "100", "currency": "CHF"})
    rows = [
        row(at, impressions=1000, clicks=20 if at < 7 else 30, cost="10.00", revenue="5" if at < 7 else "8")
        for at in range(14)
    ]
    await put(market, ada, campaign, rows)
    found = await get(market, ada, campaign, "comparison/periods")
    assert [found[name][end] for name in ("before", "period") for end in ("date_from", "date_to")] == [
        day(0), day(6), day(7), day(13),
    ]  # fmt: skip
    assert (found["currency"], found["period"]["days"]) == ("CHF", 7)
    change = found["change"]
    assert change["clicks"] == {"absolute": 70, "relative": 0.5}
    assert change["ctr"] == {"absolute": 0.01, "relative": 0.5}
    assert change["cpc"] == {"absolute": "-0.166667", "relative": pytest.approx(-1 / 3)}
    assert change["roi"] == {"absolute": 0.3, "relative": 0.6}  # -0.5 → -0.2 is up
    assert change["cvr"] == {"absolute": 0, "relative": None}
    assert change["cpa"] == {"absolute": None, "relative": None}
    ctr, cvr = found["tests"]
    assert (ctr["metric"], ctr["z"] > 3, ctr["interval"]["low"] > 0) == ("ctr", True, True)
    assert (cvr["metric"], cvr["z"], cvr["p"]) == ("cvr", None, None)
    query = {"date_from": day(0), "date_to": day(1), "before_from": day(9), "before_to": day(9)}
    chosen = await get(market, ada, campaign, "comparison/periods", **query)
    assert (chosen["change"]["clicks"]["absolute"], chosen["before"]["days"]) == (10, 1)
    ever = await get(market, ada, campaign, "comparison/periods", date_from="1900-01-01", date_to="2999-12-31")
    assert ever["before"]["date_from"] == "0800-01-01"
    wrong = [{"date_from": day(0)}, {"date_from": day(1), "date_to": day(0)}, {"before_from": day(0), "before_to": day(1)}]  # fmt: skip
    for query in wrong:
        answer = market.get(url(campaign, "comparison/periods"), params=query, headers=ada.headers)
        assert await problem(answer) == (422, "invalid_payload"), query


async def test_the_first_day_of_the_calendar_has_a_week_before_it(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    await put(market, ada, campaign, [row(0) | {"date": "1900-01-01"}])
    found = await get(market, ada, campaign, "comparison/periods")
    assert (found["before"]["date_from"], found["period"]["date_to"]) == ("1899-12-19", "1900-01-01")


async def test_a_sample_size_needs_a_rate_of_the_campaign_or_a_given_one(
    market: httpx2.AsyncClient, ada: Member
) -> None:
    campaign = await make_campaign(market, ada)
    assert (await get(market, ada, campaign, "sample-size", baseline=0.02))["per_variant"] == 13809
    path = url(campaign, "sample-size")
    for query in ({}, {"baseline": 0}, {"baseline": 0.996}, {"baseline": 0.2, "power": 1}, {"effect": 0}):
        assert await problem(market.get(path, params=query, headers=ada.headers)) == (422, "invalid_payload"), query
    await put(market, ada, campaign, [row(0, impressions=10_000, clicks=200)])
    own = await get(market, ada, campaign, "sample-size", power=0.8)
    assert own == {
        "metric": "ctr", "baseline": 0.02, "effect": 0.005, "alpha": 0.05, "power": 0.8, "per_variant": 13809,
    }  # fmt: skip


async def test_another_organization_sees_nothing(market: httpx2.AsyncClient, ada: Member, member: MakeMember) -> None:
    campaign = await split(market, ada, {"A": (1, 2)})
    stranger = await member()
    for what in ("comparison/variants", "comparison/periods", "sample-size?baseline=0.1", "chart.svg", "chart.html"):
        assert await problem(market.get(url(campaign, what), headers=stranger.headers)) == (404, "not_found")

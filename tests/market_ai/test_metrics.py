"""Daily metrics: what comes in, once, and the key figures, series and anomalies that come of it."""

import asyncio
from datetime import date, timedelta
from typing import Any

import httpx2
import pytest

from tests.market_ai.conftest import MakeMember, Member
from tests.market_ai.making import audited, connected, make_campaign, post, problem
from tests.market_ai.measuring import FIRST, day, put, row, url


@pytest.fixture
async def ada(member: MakeMember) -> Member:
    return await member()


async def get(market: Any, who: Member, campaign: Any, what: str, **query: Any) -> Any:
    answer = await market.get(url(campaign, what), params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_rows_come_in_once_and_replace_what_they_name(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    rows = [row(0, clicks=1), row(0, variant="B", clicks=2), row(1, clicks=3, cost="0.000001")]
    assert await put(market, ada, campaign, rows) == {"created": 3, "updated": 0, "unchanged": 0}
    assert await put(market, ada, campaign, rows) == {"created": 0, "updated": 0, "unchanged": 3}
    changed = [row(0, clicks=9), row(0, variant="B", clicks=2), row(2)]
    assert await put(market, ada, campaign, changed) == {"created": 1, "updated": 1, "unchanged": 1}
    found = await get(market, ada, campaign, "metrics")
    assert [(one["date"], one["variant"], one["clicks"]) for one in found["items"]] == [
        (day(2), "A", 0), (day(1), "A", 3), (day(0), "A", 9), (day(0), "B", 2),
    ]  # fmt: skip
    assert found["items"][1]["cost"] == "0.000001"
    assert found["total"] == 4
    # Only what changed something is in the trail.
    assert (await audited(market, ada, campaign["id"])).count("metrics.stored") == 2


async def test_a_thousand_rows_at_once_by_several_at_the_same_time_are_each_there_once(
    market: httpx2.AsyncClient, ada: Member
) -> None:
    campaign = await make_campaign(market, ada)
    rows = [row(number // 20, variant=f"v{number % 20}", clicks=number) for number in range(1000)]
    answers = await asyncio.gather(*(put(market, ada, campaign, rows[:: 1 if at % 2 else -1]) for at in range(4)))
    assert sum(one["created"] for one in answers) == 1000
    assert (await get(market, ada, campaign, "metrics", limit=1))["total"] == 1000
    assert (await get(market, ada, campaign, "kpis"))["total"]["clicks"] == sum(range(1000))


BAD_ROWS: dict[str, Any] = {
    "date": [None, "2026-02-30", "1899-12-31", "2026-12-01T00:00:00Z", 1, "20261201"],
    "channel": [None, "", "News Letter", "x" * 41, 5],
    "variant": [None, "x" * 61, "a\nb", "a\u2028b", 5],
    "clicks": [None, -1, 1.5, "1", True, 10**12 + 1, 2**70],
    "cost": [None, 1, 1.5, "-1", "1.0000001", "1e3", "1000000001", "NaN", " 1", "\uff11"],
}


@pytest.mark.parametrize("field", BAD_ROWS)
async def test_a_bad_value_anywhere_is_refused_and_nothing_is_stored(
    market: httpx2.AsyncClient, ada: Member, field: str
) -> None:
    campaign = await make_campaign(market, ada)
    for value in BAD_ROWS[field]:
        rows = [row(0, clicks=1), row(1) | {field: value}]
        answer = await market.put(url(campaign, "metrics"), json={"rows": rows}, headers=ada.headers)
        assert answer.status_code == 422, (field, value, answer.text)
        assert answer.json()["errors"][0]["field"].startswith(f"rows.1.{field}")
    assert (await get(market, ada, campaign, "metrics"))["total"] == 0


async def test_no_rows_too_many_rows_and_the_same_row_twice_are_refused(
    market: httpx2.AsyncClient, ada: Member
) -> None:
    campaign = await make_campaign(market, ada)
    short = {"date": day(0), "channel": "a"}
    twice = [row(0), row(1), row(0, clicks=5)]
    for rows in ([], [{**short, "variant": str(number)} for number in range(5001)], twice):
        answer = await market.put(url(campaign, "metrics"), json={"rows": rows}, headers=ada.headers)
        assert answer.status_code == 422, answer.text
    assert "rows 0 and 2" in answer.text
    most = [{**short, "variant": str(number)} for number in range(5000)]
    assert (await put(market, ada, campaign, most))["created"] == 5000


async def test_viewers_read_and_archived_campaigns_stay_as_they_are(
    market: httpx2.AsyncClient, ada: Member, member: MakeMember
) -> None:
    campaign = await make_campaign(market, ada)
    await put(market, ada, campaign, [row(0, clicks=1)])
    viewer, stranger = await member(role="viewer", org=ada.org_id), await member()
    assert (await get(market, viewer, campaign, "metrics"))["total"] == 1
    body, days = {"rows": [row(0)]}, {"date_from": day(0), "date_to": day(9)}
    for who, expected in ((viewer, (403, "insufficient_role")), (stranger, (404, "not_found"))):
        assert await problem(market.put(url(campaign, "metrics"), json=body, headers=who.headers)) == expected
        assert await problem(market.delete(url(campaign, "metrics"), params=days, headers=who.headers)) == expected
    for what in ("metrics", "kpis", "series", "anomalies"):
        assert await problem(market.get(url(campaign, what), headers=stranger.headers)) == (404, "not_found")
    await post(market, ada, f"/api/campaigns/{campaign['id']}/archive")
    archived = (409, "campaign_archived")
    assert await problem(market.put(url(campaign, "metrics"), json=body, headers=ada.headers)) == archived
    assert await problem(market.delete(url(campaign, "metrics"), params=days, headers=ada.headers)) == archived


async def test_what_is_deleted_is_what_was_named_and_a_deleted_campaign_takes_all_along(
    market: httpx2.AsyncClient, ada: Member, market_url: str
) -> None:
    campaign = await make_campaign(market, ada)
    await put(market, ada, campaign, [row(at, channel=name) for at in range(4) for name in ("mail", "ads")])
    query = {"date_from": day(1), "date_to": day(2), "channel": "ads"}
    for expected in (2, 0):
        answer = await market.delete(url(campaign, "metrics"), params=query, headers=ada.headers)
        assert (answer.status_code, answer.json()) == (200, {"deleted": expected})
    assert (await get(market, ada, campaign, "metrics"))["total"] == 6
    assert await problem(market.delete(url(campaign, "metrics"), headers=ada.headers)) == (422, "invalid_payload")
    assert (await audited(market, ada, campaign["id"])).count("metrics.deleted") == 1
    await market.delete(f"/api/campaigns/{campaign['id']}", headers=ada.headers)
    async with connected(market_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM campaign_metrics") == 0


async def test_key_figures_are_those_of_the_vector_in_all_and_in_groups(
    market: httpx2.AsyncClient, ada: Member
) -> None:
    budget = {"amount": "5000", "currency": "EUR"}
    campaign = await make_campaign(market, ada, budget=budget)
    halves = [
        row(0, variant="A", impressions=100000, clicks=3000, conversions=100, cost="1500.00", revenue="8000.00"),
        row(1, variant="B", channel="ads", impressions=25000, clicks=200, conversions=45, cost="1000", revenue="250"),
    ]
    await put(market, ada, campaign, halves)
    found = await get(market, ada, campaign, "kpis")
    assert (found["currency"], found["date_from"], found["date_to"]) == ("EUR", day(0), day(1))
    assert found["total"] == {
        "impressions": 125000, "clicks": 3200, "conversions": 145, "cost": "2500.000000", "revenue": "8250.000000",
        "ctr": 0.0256, "cvr": 0.0453125, "cpc": "0.781250", "cpm": "20.000000", "cpa": "17.241379",
        "roas": 3.3, "roi": 2.3,
    }  # fmt: skip
    for by, keys in (("day", [day(0), day(1)]), ("channel", ["ads", "newsletter"]), ("variant", ["A", "B"])):
        groups = (await get(market, ada, campaign, "kpis", by=by))["groups"]
        assert [group["key"] for group in groups] == keys
        assert sum(group["kpis"]["clicks"] for group in groups) == 3200
    only = await get(market, ada, campaign, "kpis", date_from=day(1), channel="ads")
    assert (only["total"]["clicks"], only["date_from"]) == (200, day(1))


async def test_where_nothing_can_be_divided_by_the_figure_is_null(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    none = await get(market, ada, campaign, "kpis", by="day")
    assert (none["date_from"], none["currency"], none["groups"]) == (None, None, [])
    ratios = ("ctr", "cvr", "cpc", "cpm", "cpa", "roas", "roi")
    assert {none["total"][name] for name in ratios} == {None}
    await put(market, ada, campaign, [row(0, impressions=10, revenue="5")])
    some = (await get(market, ada, campaign, "kpis"))["total"]
    assert (some["ctr"], some["cpm"], some["cvr"], some["roas"]) == (0, "0.000000", None, None)


async def test_sums_beyond_sixty_four_bits_are_still_exact(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    most = [row(0, variant=str(at), impressions=10**12, cost="1000000000") for at in range(5000)]
    await put(market, ada, campaign, most[:2500])
    await put(market, ada, campaign, [one | {"date": day(at)} for one in most for at in (1,)])
    found = (await get(market, ada, campaign, "kpis"))["total"]
    assert (found["impressions"], found["cost"]) == (7500 * 10**12, f"{7500 * 10**9}.000000")


async def test_a_series_has_every_interval_and_null_where_there_is_no_data(
    market: httpx2.AsyncClient, ada: Member
) -> None:
    campaign = await make_campaign(market, ada)
    await put(market, ada, campaign, [row(0, clicks=1, impressions=4), row(3, clicks=2), row(40, clicks=5)])
    series = await get(market, ada, campaign, "series", date_to=day(3))
    assert [point["value"] for point in series["lines"][0]["points"]] == [1, None, None, 2]
    assert [point["date"] for point in series["lines"][0]["points"]] == [day(at) for at in range(4)]
    assert (series["lines"][0]["key"], series["left_out"]) == ("", 0)
    rates = await get(market, ada, campaign, "series", metric="ctr", date_to=day(3))
    assert [point["value"] for point in rates["lines"][0]["points"]] == [0.25, None, None, None]
    weeks = (await get(market, ada, campaign, "series", interval="week"))["lines"][0]["points"]
    assert all(date.fromisoformat(point["date"]).weekday() == 0 for point in weeks)
    assert (len(weeks), weeks[0]["value"], weeks[-1]["value"]) == (6, 3, 5)
    months = (await get(market, ada, campaign, "series", interval="month"))["lines"][0]["points"]
    assert [(point["date"], point["value"]) for point in months] == [("2026-09-01", 3), ("2026-10-01", 5)]
    money = await get(market, ada, campaign, "series", metric="cost", date_to=day(0))
    assert money["lines"][0]["points"] == [{"date": day(0), "value": "0.000000"}]


async def test_a_series_by_variant_shows_the_six_largest(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    rows = [row(at, variant=f"v{number}", impressions=number + 1) for number in range(8) for at in range(2)]
    await put(market, ada, campaign, [*rows, row(0, variant="", impressions=10**6)])
    series = await get(market, ada, campaign, "series", metric="impressions", by="variant")
    assert [line["key"] for line in series["lines"]] == [f"v{number}" for number in range(2, 8)]
    assert series["left_out"] == 2
    named = await get(market, ada, campaign, "series", by="variant", variant=["v0", "v1"])
    assert ([line["key"] for line in named["lines"]], named["left_out"]) == (["v0", "v1"], 0)
    empty = await get(market, ada, campaign, "series", by="channel", channel="none")
    assert (empty["lines"], empty["left_out"]) == ([], 0)


async def test_an_odd_day_is_found_and_how_it_was_looked_for_is_said(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)

    def clicks(at: int) -> int:
        weekend = (FIRST + timedelta(days=at)).weekday() >= 5
        return (500 if weekend else 1000) + at * 7 % 13 + (400 if at == 32 else 0)

    await put(market, ada, campaign, [row(at, clicks=clicks(at), cost="5") for at in range(9)])
    few = await get(market, ada, campaign, "anomalies")
    assert (few["method"], few["days"], few["anomalies"]) == ("none", 9, [])
    await put(market, ada, campaign, [row(at, clicks=clicks(at), cost="5") for at in range(60)])
    found = await get(market, ada, campaign, "anomalies")
    assert (found["method"], found["days"], found["threshold"]) == ("weekdays", 60, 3.5)
    assert [(one["date"], one["value"], one["score"] > 10) for one in found["anomalies"]] == [
        (day(32), clicks(32), True)
    ]
    prices = await get(market, ada, campaign, "anomalies", metric="cpc")
    assert max(prices["anomalies"], key=lambda one: abs(one["score"]))["date"] == day(32)
    assert all(isinstance(one["value"], str) for one in prices["anomalies"])
    assert (await get(market, ada, campaign, "anomalies", metric="roas"))["method"] == "weekdays"
    assert (await get(market, ada, campaign, "anomalies", metric="cpa"))["method"] == "none"


async def test_too_many_groups_or_days_and_bad_queries_are_refused(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    await put(market, ada, campaign, [row(at) for at in range(1101)])
    long = (422, "invalid_payload")
    for what, query in [
        ("series", {}), ("anomalies", {}), ("kpis", {"by": "day"}), ("kpis", {"by": "campaign"}),
        ("series", {"metric": "names"}), ("series", {"interval": "hour"}), ("kpis", {"date_from": "yesterday"}),
        ("kpis", {"date_from": day(2), "date_to": day(1)}), ("metrics", {"channel": "A B"}), ("kpis", {"limit": 5}),
        ("kpis", {"variant": ["x"] * 21}),
    ]:  # fmt: skip
        answer = await market.get(url(campaign, what), params=query, headers=ada.headers)
        assert (answer.status_code, answer.json()["code"]) == long, (what, query)
    year = {"date_from": day(0), "date_to": day(1099)}
    assert len((await get(market, ada, campaign, "series", **year))["lines"][0]["points"]) == 1100
    await put(market, ada, campaign, [row(5000)])
    assert (await get(market, ada, campaign, "series", interval="month", date_from=day(1200)))["lines"]

"""Analyses: facts are computed, the model's words about them are checked, and a report is kept and shown."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from markdown_it import MarkdownIt
from pydantic import SecretStr

from tandem.market_ai.analysis.schemas import Summary
from tandem.market_ai.analysis.telling import faults
from tandem.market_ai.settings import MarketAiSettings
from tests.market_ai.conftest import MakeMember, Member
from tests.market_ai.making import audited, connected, make_brand, make_campaign, make_content, post, problem
from tests.market_ai.measuring import day, put, row, url
from tests.market_ai.test_charts import assert_policy_names_every_style
from tests.market_ai.working import a_worker, ended
from tests.openai_server import OpenAIServer

TRUE = "In the last 7 days there were 420 clicks, 50 % more. The CTR is 2.5 % of 28,000 impressions. B is the winner."
LIE = "The campaign earned 9,876 euros, and its CTR is 4.2 %."


@pytest.fixture
def model(tmp_path: Path) -> Iterator[OpenAIServer]:
    with OpenAIServer(tmp_path / "billed.jsonl") as server:
        yield server


@pytest.fixture
def market_settings(market_settings: MarketAiSettings, request: pytest.FixtureRequest) -> MarketAiSettings:
    """With a model on the loopback for the tests that ask for `model`."""
    if "model" not in request.fixturenames:
        return market_settings
    server: OpenAIServer = request.getfixturevalue("model")
    given = {"openai_api_key": SecretStr("sk-loopback"), "openai_base_url": server.url(), "llm_timeout": 2.0}
    return market_settings.model_copy(update=given)


@pytest.fixture
async def ada(member: MakeMember) -> Member:
    return await member()


async def measured(market: Any, who: Member, name: str = "Christmas stollen", **fields: Any) -> dict[str, Any]:
    """A campaign with fourteen days of two variants: 28,000 impressions, 700 clicks, 140 EUR."""
    budget = {"amount": "1500.00", "currency": "EUR"}
    campaign = await make_campaign(market, who, name, budget=budget, **fields)
    rows = [
        row(at, variant=variant, impressions=1000, clicks=clicks + (5 if at > 6 else -5), cost="5.00")
        for at in range(14)
        for variant, clicks in (("A", 20), ("B", 30))
    ]
    await put(market, who, campaign, rows)
    return campaign


async def analyze(market: Any, settings: MarketAiSettings, who: Member, campaign: Any, **fields: Any) -> Any:
    started = await post(market, who, url(campaign, "analyze"), fields)
    assert started.status_code == 202, started.text
    async with a_worker(settings):
        return await ended(market, who, started.json()["id"])


async def report_of(market: Any, who: Member, job: Any) -> dict[str, Any]:
    path = f"/api/campaigns/{job['campaign_id']}/reports/{job['result']['report_id']}"
    answer = await market.get(path, headers=who.headers)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def answering(*texts: str, recommendations: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"summary": " ".join(texts), "recommendations": list(recommendations)}


async def test_offline_a_report_says_what_was_computed_and_costs_nothing(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member
) -> None:
    campaign = await measured(market, ada, "Spring 2026")
    job = await analyze(market, market_settings, ada, campaign)
    assert (job["status"], job["error"], job["cost"]["spent"]) == ("succeeded", None, "0.000000")
    report = await report_of(market, ada, job)
    assert (report["model"], report["rejected"], report["language"]) == ("offline", [], "English")
    assert (report["job_id"], report["campaign_id"]) == (job["id"], campaign["id"])
    assert "28,000 impressions, 700 clicks and 0 conversions" in report["summary"]
    assert "clicks rose by 50.0 %: 280 in as many before, then 420" in report["summary"]
    assert "By its click-through rate the winner is variant “B”, with 3.00 %." in report["summary"]
    assert "Spring 2026 is draft" in report["summary"]
    said = Summary(summary=report["summary"], recommendations=report["recommendations"])
    assert faults(said, report["facts"], "English") == []
    metrics = report["facts"]["metrics"]
    assert metrics["total"]["ctr"] == 0.025
    assert [group["key"] for group in metrics["by_variant"]] == ["A", "B"]
    assert metrics["trend"]["period"]["days"] == 7
    assert [(found["metric"], found["winner"]) for found in metrics["comparisons"]] == [("ctr", "B")]
    assert job["result"]["metrics"] == metrics
    assert (await audited(market, ada, campaign["id"]))[-2:] == ["campaign.analysis_started", "campaign.analyzed"]


async def test_without_metrics_content_and_brand_there_is_still_a_report(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member
) -> None:
    campaign = await make_campaign(market, ada)
    job = await analyze(market, market_settings, ada, campaign)
    report = await report_of(market, ada, job)
    assert report["facts"]["metrics"] is None
    assert "findings" not in report["facts"]
    assert "It has no content yet." in report["summary"]
    for suffix in (".md", ".html"):
        shown = await market.get(url(campaign, f"reports/{report['id']}{suffix}"), headers=ada.headers)
        assert "Key figures" not in shown.text
        assert shown.status_code == 200


async def test_the_facts_have_the_content_and_what_ai_cost(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member
) -> None:
    brand = await make_brand(market, ada, "Green & Co")
    campaign = await make_campaign(market, ada, brand_id=brand["id"], objective="500 orders")
    content = await make_content(market, ada, campaign)
    await make_content(market, ada, campaign, kind="blog")
    await post(market, ada, f"/api/content/{content['id']}/submit")
    limits = {"campaigns": {campaign["id"]: "2.50"}}
    await market.put("/api/budget/limits", headers=ada.headers, json=limits)
    facts = (await analyze(market, market_settings, ada, campaign))["result"]
    assert facts["brand"] == "Green & Co"
    assert facts["campaign"]["objective"] == "500 orders"
    assert facts["content"]["total"] == 2
    assert facts["content"]["by_status"] == {"draft": 1, "in_review": 1}
    nothing = dict.fromkeys(("spent", "reserved", "unknown"), "0.000000")
    assert facts["ai_budget"] == {"calls": 0, "cap": "2.500000", **nothing}


async def test_what_a_model_says_with_computed_numbers_is_kept_and_paid_once(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    campaign = await measured(market, ada)
    model.control["answer"] = answering(TRUE, recommendations=("1. Show variant B.", "- Wait \x00for more.", " "))
    job = await analyze(market, market_settings, ada, campaign)
    assert job["status"] == "succeeded", job
    report = await report_of(market, ada, job)
    assert (report["summary"], report["rejected"]) == (TRUE, [])
    assert report["recommendations"] == ["Show variant B.", "Wait for more."]
    assert report["model"].startswith("gpt-4o-mini")
    billed = model.ledger.total()
    assert billed["requests"] == 1
    assert job["cost"]["spent"] == f"{Decimal(billed['micros']) / 1_000_000:.6f}"


async def test_a_lying_model_is_asked_again_and_then_not_believed(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    campaign = await measured(market, ada)
    model.control["answer"] = answering("All is well.", recommendations=(LIE,))
    job = await analyze(market, market_settings, ada, campaign)
    assert job["status"] == "succeeded", job
    report = await report_of(market, ada, job)
    assert [one["faults"] for one in report["rejected"]] == [["9,876", "4.2 %"]] * 2
    assert report["model"] == "computed"
    assert model.ledger.total()["requests"] == 2
    assert "4.2 %" in str(model.bodies[1])
    assert "earlier answer" in str(model.bodies[1])
    assert "28,000 impressions" in report["summary"]
    said = Summary(summary=report["summary"], recommendations=report["recommendations"])
    assert faults(said, report["facts"], "English") == []
    shown = [
        (await market.get(url(campaign, f"reports/{report['id']}{suffix}"), headers=ada.headers)).text
        for suffix in (".md", ".html")
    ]
    assert not any(number in text for text in shown for number in ("9,876", "4.2"))
    events = await market.get(f"/api/jobs/{job['id']}/events?after=0", headers=ada.headers)
    assert events.text.count("event: rejected") == 2


async def test_a_model_that_mends_its_numbers_is_believed(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    campaign = await measured(market, ada)
    model.control["answers"] = [answering(LIE), answering(TRUE)]
    job = await analyze(market, market_settings, ada, campaign)
    report = await report_of(market, ada, job)
    assert report["summary"] == TRUE
    assert [one["faults"] for one in report["rejected"]] == [["9,876", "4.2 %"]]
    assert model.ledger.total()["requests"] == 2


async def test_without_room_for_a_second_answer_the_summary_is_computed(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    campaign = await measured(market, ada)
    model.control["answer"] = answering(LIE)
    started = (await post(market, ada, url(campaign, "analyze"), {})).json()
    limits = {"organization": f"{Decimal(started['worst_case']) + Decimal('0.000010'):.6f}"}
    assert (await market.put("/api/budget/limits", headers=ada.headers, json=limits)).status_code == 200
    async with a_worker(market_settings):
        job = await ended(market, ada, started["id"])
    assert job["status"] == "succeeded", job
    report = await report_of(market, ada, job)
    assert (report["model"], len(report["rejected"]), model.ledger.total()["requests"]) == ("computed", 1, 1)


async def test_an_empty_summary_is_no_summary(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    campaign = await measured(market, ada)
    model.control["answer"] = answering(" \x07 ")
    report = await report_of(market, ada, await analyze(market, market_settings, ada, campaign))
    assert report["rejected"][0]["faults"] == ["the summary is missing"]
    assert report["model"] == "computed"


OUTCOMES = {
    "status:401": ("failed", "model_unauthorized", None),
    "silent": ("failed", "budget_exceeded", "unknown"),
    "not_json": ("failed", "budget_exceeded", "spent"),
}


@pytest.mark.parametrize("behave", OUTCOMES)
async def test_whatever_the_provider_does_nothing_is_reported_that_is_not_known(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer, behave: str
) -> None:
    status, code, charged = OUTCOMES[behave]
    campaign = await measured(market, ada)
    model.control["behave"] = behave
    started = (await post(market, ada, url(campaign, "analyze"), {})).json()
    limits = {"organization": f"{Decimal(started['worst_case']) + Decimal('0.000010'):.6f}"}
    await market.put("/api/budget/limits", headers=ada.headers, json=limits)
    async with a_worker(market_settings):
        job = await ended(market, ada, started["id"])
    assert (job["status"], job["error"]["code"]) == (status, code)
    found = (await market.get("/api/budget", headers=ada.headers)).json()["organization"]
    assert {name for name in ("spent", "unknown") if Decimal(found[name])} == ({charged} if charged else set())
    assert (await market.get(url(campaign, "reports"), headers=ada.headers)).json()["total"] == 0


async def test_a_repeated_request_starts_one_job_and_without_room_none(
    market: httpx2.AsyncClient, ada: Member, model: OpenAIServer
) -> None:
    campaign = await make_campaign(market, ada)
    first, again = [await post(market, ada, url(campaign, "analyze"), {}, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert (first.json(), again.headers["Idempotent-Replayed"]) == (again.json(), "true")
    await market.put("/api/budget/limits", headers=ada.headers, json={"organization": "0.000001"})
    assert await problem(post(market, ada, url(campaign, "analyze"), {})) == (402, "budget_exceeded")
    assert (await market.get("/api/jobs", headers=ada.headers)).json()["total"] == 1
    for body in ({"language": ""}, {"language": "x" * 41}, {"tongue": "English"}, {"language": None}):
        assert await problem(post(market, ada, url(campaign, "analyze"), body)) == (422, "invalid_payload")


async def test_a_campaign_that_is_deleted_meanwhile_fails_its_job(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    campaign = await measured(market, ada)
    started = (await post(market, ada, url(campaign, "analyze"), {})).json()
    await market.delete(f"/api/campaigns/{campaign['id']}", headers=ada.headers)
    async with a_worker(market_settings):
        job = await ended(market, ada, started["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "campaign_gone")
    assert model.ledger.total()["requests"] == 0


async def test_reports_are_listed_latest_first_kept_from_strangers_and_go_with_their_campaign(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, member: MakeMember, market_url: str
) -> None:
    campaign, other = await measured(market, ada), await make_campaign(market, ada)
    jobs = [await analyze(market, market_settings, ada, campaign, language=name) for name in ("English", "German")]
    viewer, stranger = await member(role="viewer", org=ada.org_id), await member()
    page = (await market.get(url(campaign, "reports?limit=1"), headers=viewer.headers)).json()
    assert (page["total"], [one["language"] for one in page["items"]]) == (2, ["German"])
    assert "facts" not in page["items"][0]
    one = f"reports/{jobs[0]['result']['report_id']}"
    for suffix in ("", ".md", ".html"):
        assert (await market.get(url(campaign, one + suffix), headers=viewer.headers)).status_code == 200
        for who, of in ((stranger, campaign), (ada, other)):
            assert await problem(market.get(url(of, one + suffix), headers=who.headers)) == (404, "not_found")
    assert await problem(market.get(url(campaign, "reports"), headers=stranger.headers)) == (404, "not_found")
    assert (await market.get(url(other, "reports"), headers=ada.headers)).json()["total"] == 0
    await market.delete(f"/api/campaigns/{campaign['id']}", headers=ada.headers)
    async with connected(market_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM campaign_reports") == 0


HARM = "<script>alert(1)</script> [x](javascript:alert) | **b** & # `c` <b>5</b>"


async def test_a_report_is_a_page_and_markdown_in_which_every_text_stays_text(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    name = f"{HARM[:90]} 99"
    campaign = await measured(market, ada, name)
    await put(market, ada, campaign, [row(0, variant=HARM[:60], impressions=50, clicks=20)])
    model.control["answer"] = answering(
        f"{name} did well.\n\n## Not a heading\n<img src=x onerror=alert(2)>".replace("(2)", "()")
    )
    job = await analyze(market, market_settings, ada, campaign)
    report = await report_of(market, ada, job)
    assert report["rejected"] == []
    page = await market.get(url(campaign, f"reports/{report['id']}.html"), headers=ada.headers)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<img" not in page.text
    assert "&lt;img src=x onerror=alert()&gt;" in page.text
    assert_policy_names_every_style(page)
    source = await market.get(url(campaign, f"reports/{report['id']}.md"), headers=ada.headers)
    assert source.headers["Content-Type"] == "text/markdown; charset=utf-8"
    rendered = MarkdownIt("commonmark").enable("table").render(source.text)
    for tag in ("<script", "<img", "<b>", "<a ", "<code", "<strong>b"):
        assert tag not in rendered
    assert rendered.count("<h1>") == 1
    assert "<h2>Not a heading" not in rendered
    # Both say the same: the names of the tables' columns, and in all cells the same values.
    assert "alert(1)" in rendered
    assert [line for line in ("28,050", "EUR", day(13)) if line not in rendered or line not in page.text] == []
    assert rendered.count("<tr>") == page.text.count("<tr>")

"""From a brief to drafts, end to end: the API, a worker, and a model that speaks the OpenAI protocol on the loopback."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tandem.market_ai.settings import MarketAiSettings
from tests.market_ai.conftest import MakeMember, Member
from tests.market_ai.making import make_brand, make_campaign, post
from tests.market_ai.working import a_worker, ended
from tests.openai_server import OpenAIServer

BRIEF = "Pre-order tulip bulbs for autumn."
VOICE = {"tone": "warm", "banned_words": ["cheap"], "required_disclaimer": "While stocks last."}


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


async def generate(market: Any, who: Member, campaign: dict[str, Any], **fields: Any) -> Any:
    body = {"kind": "email", "brief": BRIEF, "variants": 1, **fields}
    return await post(market, who, f"/api/campaigns/{campaign['id']}/generate", body)


async def run(market: Any, settings: MarketAiSettings, who: Member, campaign: dict[str, Any], **fields: Any) -> Any:
    started = await generate(market, who, campaign, **fields)
    assert started.status_code == 202, started.text
    async with a_worker(settings):
        return await ended(market, who, started.json()["id"])


async def overview(market: Any, who: Member) -> dict[str, Any]:
    found: dict[str, Any] = (await market.get("/api/budget", headers=who.headers)).json()
    assert (await market.get("/api/budget/verify", headers=who.headers)).json()["valid"] is True
    return found


def variant(text: str, **fields: Any) -> dict[str, Any]:
    channel = [{"name": "subject", "value": text}, {"name": "preheader", "value": "Now"}]
    copy = {"headline": text, "body": f"{text} While stocks last.", "call_to_action": "Order", "channel": channel}
    return copy | {"citations": []} | fields


@pytest.mark.parametrize("kind", ["email", "social", "ad_copy", "blog", "landing_page", "video_script"])
async def test_without_a_key_every_kind_is_written_offline_and_costs_nothing(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, kind: str
) -> None:
    brand = await make_brand(market, ada, "Green & Co", voice=VOICE)
    campaign = await make_campaign(market, ada, "Spring bulbs", brand_id=brand["id"])
    text = "Tulip bulbs are planted in autumn. They flower in April."
    document = {"title": "Catalogue", "text": text, "format": "text"}
    assert (await post(market, ada, "/api/knowledge/documents/text", document)).status_code == 201
    job = await run(market, market_settings, ada, campaign, kind=kind, variants=3, length="short")
    assert (job["status"], job["error"]) == ("succeeded", None)
    assert job["result"]["rejected"] == []
    assert job["cost"]["spent"] == "0.000000"
    drafts = (await market.get(f"/api/content?job_id={job['id']}", headers=ada.headers)).json()["items"]
    assert len(drafts) == len(job["result"]["content"]) == 3
    whole = [(await market.get(f"/api/content/{one['id']}", headers=ada.headers)).json() for one in drafts]
    assert {one["status"] for one in whole} == {"draft"}
    assert {one["content"]["model"] for one in whole} == {"offline"}
    assert all("While stocks last." in one["content"]["body"] for one in whole)
    if kind != "ad_copy":  # in which there is hardly room for it
        assert {c["source"] for one in whole for c in one["content"]["citations"]} == {"Catalogue"}


async def test_a_model_writes_with_what_the_brand_and_the_knowledge_say_and_is_paid_once(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    brand = await make_brand(market, ada, voice=VOICE)
    campaign = await make_campaign(market, ada, brand_id=brand["id"])
    document = {"title": "Catalogue", "text": "Tulip bulbs flower in April.", "format": "text"}
    await post(market, ada, "/api/knowledge/documents/text", document)
    found = await market.get("/api/knowledge/search?q=tulip", headers=ada.headers)
    chunk = found.json()["items"][0]["chunk_id"]
    model.control["answer"] = {"variants": [variant("Tulips", citations=[chunk, "made up"]), variant("Bulbs")]}
    job = await run(market, market_settings, ada, campaign, variants=2)
    assert job["status"] == "succeeded", job
    billed = model.ledger.total()
    assert billed["requests"] == 1
    spent = (await overview(market, ada))["organization"]["spent"]
    assert job["cost"]["spent"] == spent == f"{Decimal(billed['micros']) / 1_000_000:.6f}"
    asked = str(model.bodies)
    assert all(words in asked for words in (BRIEF, "cheap", "While stocks last.", "flower in April", chunk))
    first = (await market.get(f"/api/content/{job['result']['content'][0]}", headers=ada.headers)).json()["content"]
    assert (first["headline"], first["channel"]) == ("Tulips", {"subject": "Tulips", "preheader": "Now"})
    assert [c["chunk_id"] for c in first["citations"]] == [chunk]
    assert first["created_by"] == f"job:{job['id']}"
    assert first["model"].startswith("gpt-4o-mini")


async def test_a_variant_that_fails_its_checks_is_mended_once_and_else_rejected(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    brand = await make_brand(market, ada, voice=VOICE)
    campaign = await make_campaign(market, ada, brand_id=brand["id"])
    model.control["answer"] = {"variants": [variant("Tulips"), variant("Cheap bulbs")]}
    job = await run(market, market_settings, ada, campaign, variants=2)
    # The answer to the second call, about the second variant, begins with a good one.
    assert (job["status"], len(job["result"]["content"]), job["result"]["rejected"]) == ("succeeded", 2, [])
    assert model.ledger.total()["requests"] == 2
    assert "'Cheap bulbs'" in str(model.bodies[1]) or "Cheap bulbs" in str(model.bodies[1])

    model.control["answer"] = {"variants": [variant("Cheap"), variant("Tulips")]}
    job = await run(market, market_settings, ada, campaign, variants=2)
    assert len(job["result"]["content"]) == 1
    assert job["result"]["rejected"] == [
        {"variant": 1, "faults": ["headline, body, subject: the words 'cheap' are banned"]}
    ]

    model.control["answer"] = {"variants": [variant("Cheap")]}
    job = await run(market, market_settings, ada, campaign)
    assert (job["status"], job["error"]["code"]) == ("failed", "no_variant_passed")
    assert (await market.get(f"/api/content?job_id={job['id']}", headers=ada.headers)).json()["total"] == 0


# What the provider does → how the job ends, with which code, and what of the money is charged.
OUTCOMES = {
    "ok": ("succeeded", None, "spent"),
    "status:400": ("failed", "model_bad_request", None),
    "status:401": ("failed", "model_unauthorized", None),
    "status:500": ("failed", None, None),
    "silent": ("failed", "budget_exceeded", "unknown"),
    "cut": ("failed", "budget_exceeded", "unknown"),
    "no_usage": ("failed", "budget_exceeded", "unknown"),
    "not_json": ("failed", "budget_exceeded", "spent"),
}


@pytest.mark.parametrize("behave", OUTCOMES)
async def test_whatever_the_provider_does_the_budget_is_settled_and_the_job_says_what_happened(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer, behave: str
) -> None:
    status, code, charged = OUTCOMES[behave]
    campaign = await make_campaign(market, ada)
    model.control["answer"] = {"variants": [variant("Tulips")]}
    started = (await generate(market, ada, campaign, brief=f"{BRIEF} [[behave:{behave}]]")).json()
    # Room for one try and nearly another one: what can be retried ends at the budget.
    limits = {"organization": f"{Decimal(started['worst_case']) + Decimal('0.000010'):.6f}"}
    assert (await market.put("/api/budget/limits", headers=ada.headers, json=limits)).status_code == 200
    async with a_worker(market_settings):
        job = await ended(market, ada, started["id"])
    assert job["status"] == status, job
    assert code is None or job["error"]["code"] == code, job
    found = (await overview(market, ada))["organization"]
    assert found["reserved"] == "0.000000"
    assert (Decimal(found["spent"]) + Decimal(found["unknown"])) * 1_000_000 >= model.ledger.total()["micros"]
    assert {name for name in ("spent", "unknown") if Decimal(found[name])} == ({charged} if charged else set())


async def test_without_room_in_the_budget_nothing_is_queued(
    market: httpx2.AsyncClient, market_app: FastAPI, ada: Member, model: OpenAIServer
) -> None:
    campaign = await make_campaign(market, ada)
    await market.put("/api/budget/limits", headers=ada.headers, json={"campaigns": {campaign["id"]: "0.000001"}})
    refused = await generate(market, ada, campaign)
    assert refused.status_code == 402, refused.text
    problem = refused.json()
    assert (problem["code"], problem["scope"], problem["available"]) == ("budget_exceeded", "campaign", "0.000001")
    assert Decimal(problem["shortfall"]) == Decimal(problem["required"]) - Decimal("0.000001")
    assert (await market.get("/api/jobs", headers=ada.headers)).json()["total"] == 0
    await market.put("/api/budget/limits", headers=ada.headers, json={"campaigns": {campaign["id"]: None}})
    assert (await generate(market, ada, campaign)).status_code == 202


async def test_a_campaign_that_is_deleted_meanwhile_fails_its_job_before_anything_is_paid(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member, model: OpenAIServer
) -> None:
    campaign = await make_campaign(market, ada)
    started = (await generate(market, ada, campaign)).json()
    assert (await market.delete(f"/api/campaigns/{campaign['id']}", headers=ada.headers)).status_code == 204
    async with a_worker(market_settings):
        job = await ended(market, ada, started["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "campaign_gone")
    assert model.ledger.total()["requests"] == 0


async def test_a_repeated_request_starts_one_job_and_eleven_a_minute_are_too_many(
    market: httpx2.AsyncClient, ada: Member
) -> None:
    campaign = await make_campaign(market, ada)
    path, body = f"/api/campaigns/{campaign['id']}/generate", {"kind": "email", "brief": BRIEF}
    first, again = [await post(market, ada, path, body, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.headers["Location"] == first.json()["url"] == again.headers["Location"]
    assert (await market.get("/api/jobs", headers=ada.headers)).json()["total"] == 1
    answers = [await post(market, ada, path, body) for _ in range(9)]
    assert [one.status_code for one in answers] == [202] * 8 + [429]


async def test_an_analysis_has_the_computed_facts_and_a_summary(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings, ada: Member
) -> None:
    campaign = await make_campaign(market, ada, "Spring bulbs")
    await run(market, market_settings, ada, campaign, variants=2)
    started = await post(market, ada, f"/api/campaigns/{campaign['id']}/analyze", {})
    assert started.status_code == 202, started.text
    async with a_worker(market_settings):
        job = await ended(market, ada, started.json()["id"])
    assert job["status"] == "succeeded", job
    result = job["result"]
    assert result["content"]["inventory"] == [{"kind": "email", "status": "draft", "assets": 2}]
    assert [one["variant"] for one in result["content"]["variants"]] == [1, 2]
    assert result["ai_budget"]["spent"] == "0.000000"
    assert result["model"] == "offline"
    assert result["summary"]

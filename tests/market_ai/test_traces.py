"""One trace from a request through its job to the model, end to end, and nothing of what was said in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tandem.core import telemetry
from tandem.market_ai.settings import MarketAiSettings
from tests.market_ai.conftest import MakeMember
from tests.market_ai.making import make_campaign, post
from tests.market_ai.working import a_worker, ended
from tests.openai_server import OpenAIServer
from tests.otlp_server import Collector, Span

BRIEF = "Pre-order tulip bulbs for autumn, says Ada."
CONSUMER, CLIENT = 5, 3  # in the protocol


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def model(tmp_path: Path) -> Iterator[OpenAIServer]:
    with OpenAIServer(tmp_path / "billed.jsonl") as server:
        yield server


@pytest.fixture
def market_settings(market_settings: MarketAiSettings, model: OpenAIServer, collector: Collector) -> MarketAiSettings:
    return market_settings.model_copy(
        update={
            "openai_api_key": SecretStr("sk-loopback"),
            "openai_base_url": model.url(),
            "otel_endpoint": collector.url,
        }
    )


def variant(headline: str) -> dict[str, Any]:
    channel = [{"name": "subject", "value": "Tulips"}, {"name": "preheader", "value": "Now"}]
    return {"headline": headline, "body": "Tulips.", "call_to_action": "Buy", "channel": channel, "citations": []}


def below(parent: Span, spans: list[Span]) -> list[Span]:
    return [one for one in spans if one.parent == parent.id and one.trace == parent.trace]


async def test_a_request_its_job_and_its_call_of_the_model_are_one_trace(
    market: Any, market_settings: MarketAiSettings, member: MakeMember, collector: Collector, model: OpenAIServer
) -> None:
    ada = await member()
    campaign = await make_campaign(market, ada, name="A telling name")
    model.control["answer"] = {"variants": [variant("A telling headline"), variant("Another one")]}
    body = {"kind": "email", "brief": BRIEF, "variants": 2}
    started = (await post(market, ada, f"/api/campaigns/{campaign['id']}/generate", body)).json()
    async with a_worker(market_settings):
        assert (await ended(market, ada, started["id"]))["status"] == "succeeded"
    telemetry.stop()
    spans = collector.spans
    [request] = [one for one in spans if one.name == "POST /api/campaigns/{campaign_id}/generate"]
    [job] = below(request, spans)
    assert (job.name, job.kind, job.failed) == ("job generate_content", CONSUMER, False)
    assert job.attributes == {
        "tandem.job.id": started["id"], "tandem.job.type": "generate_content", "tandem.job.attempt": 1,
        "tandem.job.outcome": "succeeded",
    }  # fmt: skip
    [call] = below(job, spans)
    assert (call.name, call.kind) == ("chat gpt-4o-mini", CLIENT)
    assert call.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert call.attributes["gen_ai.usage.input_tokens"] > 0
    assert call.attributes["gen_ai.usage.output_tokens"] > 0
    assert call.attributes["tandem.cost_micros"] > 0
    for private in (BRIEF, "tulip", "telling", ada.user_id, "example.com", "sk-loopback"):
        assert private.encode() not in collector.raw


async def test_a_job_that_fails_says_so_in_its_span_and_not_why(
    market: Any, market_settings: MarketAiSettings, member: MakeMember, collector: Collector
) -> None:
    ada = await member()
    campaign = await make_campaign(market, ada)
    body = {"kind": "email", "brief": BRIEF, "variants": 1}
    started = (await post(market, ada, f"/api/campaigns/{campaign['id']}/generate", body)).json()
    await market.delete(f"/api/campaigns/{campaign['id']}", headers=ada.headers)
    async with a_worker(market_settings):
        job = await ended(market, ada, started["id"])
    telemetry.stop()
    assert (job["status"], job["error"]["code"]) == ("failed", "campaign_gone")
    [span] = [one for one in collector.spans if one.name == "job generate_content"]
    assert (span.failed, span.attributes["tandem.job.outcome"]) == (True, "failed")
    assert b"campaign was deleted" not in collector.raw

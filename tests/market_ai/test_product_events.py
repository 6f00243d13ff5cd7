"""Product events of Market AI: of requests once, however often they are repeated, and of what jobs came to."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from tandem.core import analytics
from tandem.market_ai.main import EVENTS, build
from tandem.market_ai.settings import MarketAiSettings
from tandem.momentum.main import EVENTS as MOMENTUM_EVENTS
from tandem.momentum.main import build as build_momentum
from tandem.momentum.settings import MomentumSettings
from tests.core.test_analytics import KEY, PostHog
from tests.market_ai.conftest import MakeMember
from tests.market_ai.making import make_campaign, post
from tests.market_ai.working import a_worker, ended


@pytest.fixture
def posthog(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostHog]:
    monkeypatch.setattr(analytics, "INTERVAL", 0.05)
    with PostHog() as server:
        yield server


@pytest.fixture
def market_settings(market_settings: MarketAiSettings, posthog: PostHog) -> MarketAiSettings:
    return market_settings.model_copy(update={"posthog_api_key": SecretStr(KEY), "posthog_host": posthog.url})


async def test_campaigns_and_generations_become_events_once(
    market: Any, market_app: Any, market_settings: MarketAiSettings, member: MakeMember, posthog: PostHog
) -> None:
    ada = await member()
    campaign = await make_campaign(market, ada, name="A telling name")
    body, path = {"kind": "email", "brief": "Telling.", "variants": 1}, f"/api/campaigns/{campaign['id']}/generate"
    first = await post(market, ada, path, body, **{"Idempotency-Key": "once"})
    again = await post(market, ada, path, body, **{"Idempotency-Key": "once"})
    assert first.json() == again.json()
    assert (await post(market, ada, path, {"kind": "nothing"})).status_code == 422
    async with a_worker(market_settings):
        assert (await ended(market, ada, first.json()["id"]))["status"] == "succeeded"
    await posthog.wait_for(3)
    events = {one["event"]: one for one in posthog.taken}
    assert [one["event"] for one in posthog.taken] == [
        "campaign_created", "generation_started", "generation_succeeded",
    ]  # fmt: skip
    assert events["campaign_created"]["distinct_id"] == events["generation_started"]["distinct_id"]
    assert events["generation_succeeded"]["properties"]["attempt"] == 1
    sent = json.dumps(posthog.requests)
    for private in ("elling", ada.user_id, ada.org_id, campaign["id"], "example.com"):
        assert private not in sent


def test_every_event_is_of_a_route_that_is_there() -> None:
    for app, events in (
        (build(MarketAiSettings(_env_file=None)), EVENTS),
        (build_momentum(MomentumSettings(_env_file=None)), MOMENTUM_EVENTS),
    ):
        routes = {(method, route.path) for route in app.routes for method in getattr(route, "methods", None) or ()}
        assert set(events) - routes == set()

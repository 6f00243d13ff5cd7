"""Who keeps webhooks, what an address may be, and the secret that is shown once."""

import asyncio

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.webhooks.schemas import DeliveryDetail, DeliveryPage, WebhookOut, WebhookPage, WebhookWithSecret
from tests.market_ai.making import audited, connected, make_campaign, post, problem

URL = "https://hooks.your-company.com/tandem"


async def test_a_webhook_is_read_back_without_its_secret(market, member):
    ada = await member()
    made = await post(market, ada, "/api/webhooks", {"url": URL, "events": ["job.failed", "campaign.*", "job.failed"]})
    assert made.status_code == 201
    WebhookWithSecret.model_validate_json(made.content, strict=True, extra="forbid")
    body = made.json()
    assert body.pop("secret").startswith("whsec_")
    assert body["events"] == ["job.failed", "campaign.*"]
    read = await market.get(f"/api/webhooks/{body['id']}", headers=ada.headers)
    WebhookOut.model_validate_json(read.content, strict=True, extra="forbid")
    assert read.json() == body
    assert made.headers["etag"] == read.headers["etag"] == '"1"'
    page = await market.get("/api/webhooks", headers=ada.headers)
    WebhookPage.model_validate_json(page.content, strict=True, extra="forbid")
    assert page.json()["items"] == [body]
    assert await audited(market, ada, body["id"]) == ["webhook.created"]


async def test_no_secret_is_in_the_audit_trail(market, member):
    ada = await member()
    made = (await post(market, ada, "/api/webhooks", {"url": f"{URL}?token=hidden"})).json()
    await post(market, ada, f"/api/webhooks/{made['id']}/rotate-secret", {"overlap_hours": 1})
    await market.delete(f"/api/webhooks/{made['id']}", headers=ada.headers)
    trail = (await market.get("/api/audit", headers=ada.headers)).text
    assert "webhook.secret_rotated" in trail
    assert "whsec_" not in trail
    assert "hidden" not in trail


@pytest.mark.parametrize("role", ["viewer", "member", "manager"])
async def test_only_admins_have_to_do_with_webhooks(market, member, webhook, role):
    ada = await member()
    made = await webhook(ada)
    bob = await member(role=role, org=ada.org_id)
    path = f"/api/webhooks/{made['id']}"
    for request in (
        market.get("/api/webhooks", headers=bob.headers),
        market.get(path, headers=bob.headers),
        market.get(f"{path}/deliveries", headers=bob.headers),
        post(market, bob, "/api/webhooks", {"url": URL}),
        market.patch(path, json={"enabled": False}, headers=bob.headers),
        market.delete(path, headers=bob.headers),
        post(market, bob, f"{path}/test"),
        post(market, bob, f"{path}/rotate-secret", {}),
    ):
        assert await problem(request) == (403, "insufficient_role")


async def test_a_patch_touches_what_it_names(market, member):
    ada = await member()
    made = (await post(market, ada, "/api/webhooks", {"url": URL, "description": "CRM"})).json()
    path = f"/api/webhooks/{made['id']}"
    off = await market.patch(path, json={"enabled": False}, headers=ada.headers)
    assert (off.json()["disabled_reason"], off.json()["description"], off.headers["etag"]) == ("by_hand", "CRM", '"2"')
    again = await market.patch(path, json={"enabled": False}, headers=ada.headers)
    assert again.json()["disabled_at"] == off.json()["disabled_at"]
    on = await market.patch(path, json={"enabled": True, "events": ["lead.*"]}, headers=ada.headers)
    assert on.json() == made_without_secret(made) | {
        "events": ["lead.*"], "version": 4, "updated_at": on.json()["updated_at"],
    }  # fmt: skip
    stale = market.patch(path, json={"enabled": False}, headers=ada.headers | {"If-Match": '"1"'})
    assert await problem(stale) == (412, "precondition_failed")


def made_without_secret(made):
    return {name: value for name, value in made.items() if name != "secret"}


BAD_URLS = (
    "", "x", "ftp://example.com/", "javascript:alert(1)", "https://", "https://user:pass@example.com/",
    "https://user@example.com/", "https://example.com/#part", "https://ex ample.com/", "https://example.com./",
    "https://[::1", "https://example.com:99999/", "https://example.com:0/", "https://a\nb.com/", "https://example.com/\0",
    "https://example.com/" + "x" * 2000, 7, None, ["https://example.com/"], "//example.com/", "https://%zz/",
    "https://example.com/" + "ü" * 900,
)  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
async def test_what_is_no_address_is_refused(market, member, url):
    ada = await member()
    assert await problem(post(market, ada, "/api/webhooks", {"url": url})) == (422, "invalid_payload")
    assert (await market.get("/api/webhooks", headers=ada.headers)).json()["total"] == 0


INTERNAL = (
    "http://example.com/", "https://example.com:22/", "https://example.com:80/", "https://127.0.0.1/",
    "https://0x7f.1/", "https://2130706433/", "https://0177.0.0.1/", "https://127.1/", "https://%31%32%37.0.0.1/",
    "https://10.0.0.1/", "https://192.168.1.1:8443/", "https://169.254.169.254/latest/meta-data/", "https://[::1]/",
    "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[fd00::1]/", "https://[fe80::1]/",
    "https://[2002:7f00:1::]/", "https://224.0.0.1/", "https://255.255.255.255/", "https://0.0.0.0/", "https://localhost/",
    "https://redis/", "https://①②⑦.⓪.⓪.①/", "https://127。0。0。1/",
)  # fmt: skip


@pytest.mark.parametrize("url", INTERNAL)
async def test_an_internal_address_is_refused_in_production(strict_market, member, url):
    ada = await member()
    assert await problem(post(strict_market, ada, "/api/webhooks", {"url": url})) == (422, "invalid_payload")
    made = (await post(strict_market, ada, "/api/webhooks", {"url": "https://example.com:8443/"})).json()
    changed = strict_market.patch(f"/api/webhooks/{made['id']}", json={"url": url}, headers=ada.headers)
    assert await problem(changed) == (422, "invalid_payload")


@pytest.fixture
async def strict_market(market_settings):
    """Without allowed networks."""
    import httpx2

    from tandem.market_ai.main import build

    app: FastAPI = build(market_settings.model_copy(update={"webhook_allowed_networks": ""}))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client


async def test_an_address_is_kept_as_browsers_read_it(market, member):
    ada = await member()
    for given, kept in (
        ("HTTPS://Hooks.Example.COM", "https://hooks.example.com/"),
        (r"https://good.example.com\@evil.example.com/", "https://good.example.com/@evil.example.com/"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
    ):
        assert (await post(market, ada, "/api/webhooks", {"url": given})).json()["url"] == kept


@pytest.mark.parametrize(
    "events",
    [[], ["campaign"], ["campaign.nothing"], ["*.created"], ["**"], [""], [7], "campaign.*", None, ["webhook.test"]],
)
async def test_events_that_do_not_exist_are_refused(market, member, events):
    ada = await member()
    body = {"url": URL, "events": events}
    assert await problem(post(market, ada, "/api/webhooks", body)) == (422, "invalid_payload")


async def test_an_organization_has_twenty_at_most(market, member):
    ada = await member()
    answers = await asyncio.gather(*(post(market, ada, "/api/webhooks", {"url": URL}) for _ in range(22)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [409] * 2
    assert await problem(post(market, ada, "/api/webhooks", {"url": URL})) == (409, "too_many_webhooks")


async def test_a_creation_is_repeated_safely(market, member):
    ada = await member()
    first, second = [await post(market, ada, "/api/webhooks", {"url": URL}, **{"Idempotency-Key": "k"}) for _ in "12"]
    assert first.content == second.content
    assert (await market.get("/api/webhooks", headers=ada.headers)).json()["total"] == 1


async def test_a_rotation_says_how_long_the_old_secret_signs(market, member):
    ada = await member()
    made = (await post(market, ada, "/api/webhooks", {"url": URL})).json()
    path = f"/api/webhooks/{made['id']}/rotate-secret"
    rotated = (await post(market, ada, path, {})).json()
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_until"] is not None
    assert (await post(market, ada, path, {"overlap_hours": 0})).json()["previous_secret_until"] is None
    for hours in (-1, 169, "24", 1.5, None):
        assert await problem(post(market, ada, path, {"overlap_hours": hours})) == (422, "invalid_payload")


async def test_the_log_pages_both_ways_and_filters(market, member, webhook):
    ada = await member()
    made = await webhook(ada, events=["campaign.created"])
    for number in range(5):
        await make_campaign(market, ada, f"Campaign {number}")
    path = f"/api/webhooks/{made['id']}/deliveries"

    async def ask(**query):
        page = await market.get(path, params=query, headers=ada.headers)
        DeliveryPage.model_validate_json(page.content, strict=True, extra="forbid")
        return page.json()

    every = [one["id"] for one in (await ask())["items"]]
    assert len(every) == 5
    first = await ask(cursor="", limit=3)
    rest = await ask(cursor=first["next_cursor"], limit=3)
    assert [one["id"] for one in first["items"] + rest["items"]] == every
    assert [one["id"] for one in (await ask(page=2, limit=3))["items"]] == every[3:]
    assert rest["next_cursor"] is None
    assert (await ask(status="pending", type="campaign.created"))["total"] == 5
    assert (await ask(status=["failed", "succeeded"]))["total"] == 0
    assert (await ask(type="campaign.deleted"))["items"] == []
    for query in ({"cursor": "x"}, {"status": "lost"}, {"type": "lead"}, {"limit": 0}, {"before": "x"}):
        assert (await market.get(path, params=query, headers=ada.headers)).status_code in {400, 422}


async def test_a_delivery_shows_what_is_sent(market, member, webhook):
    ada = await member()
    made = await webhook(ada)
    campaign = await make_campaign(market, ada, "Stollen")
    [delivery] = (await market.get(f"/api/webhooks/{made['id']}/deliveries", headers=ada.headers)).json()["items"]
    shown = await market.get(f"/api/webhooks/{made['id']}/deliveries/{delivery['id']}", headers=ada.headers)
    DeliveryDetail.model_validate_json(shown.content, strict=True, extra="forbid")
    body = shown.json()
    payload = body.pop("payload")
    assert body == delivery | {"log": []}
    assert payload.pop("timestamp").endswith("Z")
    assert payload == {
        "type": "campaign.created",
        "organization_id": ada.org_id,
        "data": {
            "object_type": "campaign",
            "object_id": campaign["id"],
            "details": {"name": "Stollen", "type": "email"},
        },
    }


async def test_nothing_is_sent_to_a_disabled_webhook(market, member, webhook, market_url):
    ada = await member()
    made = await webhook(ada, enabled=False)
    await make_campaign(market, ada)
    path = f"/api/webhooks/{made['id']}"
    assert (await market.get(f"{path}/deliveries", headers=ada.headers)).json()["total"] == 0
    assert await problem(post(market, ada, f"{path}/test")) == (409, "webhook_disabled")
    async with connected(market_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM jobs WHERE type = 'deliver_webhook'") == 0


async def test_unknown_webhooks_and_deliveries_are_404s(market, member, webhook):
    ada, bob = await member(), await member()
    mine, theirs = await webhook(ada), await webhook(bob)
    await make_campaign(market, bob)
    [delivery] = (await market.get(f"/api/webhooks/{theirs['id']}/deliveries", headers=bob.headers)).json()["items"]
    for path in (theirs["id"], f"{theirs['id']}/deliveries", f"{mine['id']}/deliveries/{delivery['id']}"):
        assert await problem(market.get(f"/api/webhooks/{path}", headers=ada.headers)) == (404, "not_found")
    for path in (f"{theirs['id']}/test", f"{mine['id']}/deliveries/{delivery['id']}/redeliver"):
        assert await problem(post(market, ada, f"/api/webhooks/{path}")) == (404, "not_found")


@pytest.mark.parametrize("value", ["everything", "127.0.0.1/8", "10.0.0.0/33", "127.0.0.0/8, localhost"])
def test_a_network_that_is_none_stops_the_start(value):
    with pytest.raises(ValidationError, match="is no network"):
        MarketAiSettings(_env_file=None, webhook_allowed_networks=value)


def test_production_starts_with_no_network_allowed(market_settings):
    complaints = [one for one in market_settings.problems() if "WEBHOOK_ALLOWED_NETWORKS" in one]
    assert len(complaints) == 1
    none = market_settings.model_copy(update={"webhook_allowed_networks": " , "})
    assert none.webhook_networks == ()

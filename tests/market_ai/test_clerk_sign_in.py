"""Signing in to Market AI by Clerk: from the token to the organization and the role in it."""

from collections.abc import Iterator

import pytest

from tandem.market_ai.settings import MarketAiSettings
from tests.clerk_server import ORIGIN, ClerkServer
from tests.market_ai.job_making import queue_job
from tests.market_ai.making import connected


@pytest.fixture(scope="module")
def clerk() -> Iterator[ClerkServer]:
    with ClerkServer() as clerk:
        yield clerk


@pytest.fixture
def market_settings(market_settings: MarketAiSettings, clerk: ClerkServer) -> MarketAiSettings:
    return market_settings.model_copy(update={"clerk_domain": clerk.domain, "cors_origins": ORIGIN})


async def current(market, clerk, *args, **claims):
    response = await market.get("/api/organizations/current", headers=clerk.headers(*args, **claims))
    return response.status_code, response.json()


async def test_the_token_names_the_organization_and_the_role(market, clerk):
    for role, ours in (("admin", "admin"), ("org:manager", "manager"), ("member", "member"), ("billing", "viewer")):
        status, organization = await current(market, clerk, org="org_acme", role=role)
        assert (status, organization["id"], organization["role"]) == (200, "org_acme", ours)


async def test_without_an_organization_it_is_ones_own(market, clerk):
    for user in ("user_ada", "user_bob"):
        status, organization = await current(market, clerk, user)
        assert (status, organization["id"], organization["role"]) == (200, f"user:{user}", "admin")


async def test_the_role_counts(market, clerk):
    for role, status in (("viewer", 403), ("member", 403), ("manager", 200), ("admin", 200)):
        response = await market.get("/api/audit", headers=clerk.headers(org="org_acme", role=role))
        assert response.status_code == status, response.text


async def test_a_token_that_is_not_believed_is_a_401_and_counts_against_the_address(market, clerk):
    response = await market.get("/api/organizations/current", headers=clerk.headers(exp=1))
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert int(response.headers["x-ratelimit-remaining"]) == 999_999


async def test_the_built_in_accounts_are_not_served_beside_clerk(market, clerk):
    body = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
    assert (await market.post("/api/auth/sign-up/email", json=body)).status_code == 404


async def test_nothing_but_the_token_names_the_organization(market, clerk, market_url):
    """Neither the header nor the query of the event stream, which the built-in accounts heed."""
    theirs = clerk.headers("user_bob", org="org_of_bob", role="admin")
    mine = clerk.headers(org="org_of_ada", role="admin") | {"X-Organization-Id": "org_of_bob"}
    campaign = (await market.post("/api/campaigns", json={"name": "Bob's", "type": "email"}, headers=theirs)).json()
    async with connected(market_url) as connection:
        job = await queue_job(connection, "org_of_bob")
    for path in (f"campaigns/{campaign['id']}", f"jobs/{job}", f"jobs/{job}/events?organization=org_of_bob"):
        assert (await market.get(f"/api/{path}", headers=mine)).status_code == 404
    for path in ("campaigns", "jobs", "content", "brands", "webhooks", "audit"):
        assert (await market.get(f"/api/{path}", headers=mine)).json()["items"] == []
    made = await market.post("/api/campaigns", json={"name": "Mine", "type": "email"}, headers=mine)
    assert made.status_code == 201
    listed = (await market.get("/api/campaigns", headers=theirs)).json()["items"]
    assert [one["name"] for one in listed] == ["Bob's"]

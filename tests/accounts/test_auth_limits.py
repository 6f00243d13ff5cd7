"""How often one may try: 20 a minute per address and 5 per e-mail."""

import httpx2
import pytest

from tests.accounts.service import PASSWORD, accounts_app, bearer


def is_limited(response):
    assert response.json() == {
        "message": "Too many requests. Please try again later.",
        "code": "TOO_MANY_REQUESTS",
    }
    assert 1 <= int(response.headers["x-retry-after"]) <= 60
    assert response.headers["retry-after"] == response.headers["x-retry-after"]
    return response.status_code == 429


@pytest.fixture
def attempt(client):
    async def attempt(email, password="wrong password", route="sign-in"):
        body = {"email": email, "password": password, "name": "x"}
        return await client.post(f"/api/auth/{route}/email", json=body)

    return attempt


async def test_an_email_has_five_attempts_a_minute_whatever_its_case(attempt):
    for email in ("ada@example.com", "ADA@example.com", "Ada@Example.com", "ada@example.com", "ada@Example.com"):
        assert (await attempt(email)).status_code == 401
    assert is_limited(await attempt("aDa@example.com", PASSWORD))
    assert (await attempt("bob@example.com")).status_code == 401


async def test_sign_ups_and_sign_ins_of_an_email_count_together(attempt):
    for _ in range(5):
        await attempt("ada@example.com", "short", route="sign-up")
    assert is_limited(await attempt("ada@example.com"))


async def test_an_address_has_twenty_attempts_a_minute(attempt):
    for number in range(20):
        assert (await attempt(f"{number}@example.com", "short", route="sign-up")).status_code == 400
    assert is_limited(await attempt("another@example.com"))


async def test_a_refused_body_counts_as_an_attempt(client):
    statuses = [(await client.post("/api/auth/sign-in/email", json={})).status_code for _ in range(21)]
    assert statuses == [400] * 20 + [429]


@pytest.fixture
async def strict_client(settings):
    """Of a service where three requests a minute are allowed."""
    app = accounts_app(settings.model_copy(update={"rate_limit": "3/minute"}))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client


@pytest.mark.parametrize("path", ["ok", "get-session", "list-sessions"])
async def test_every_other_route_has_the_general_limit(strict_client, path):
    responses = [await strict_client.get(f"/api/auth/{path}") for _ in range(4)]
    assert [r.status_code == 429 for r in responses] == [False, False, False, True]
    assert is_limited(responses[-1])


@pytest.mark.parametrize("path", ["sign-in/email", "update-user"])
async def test_bodies_that_are_no_json_have_the_general_limit(strict_client, path):
    json = {"Content-Type": "application/json"}
    responses = [await strict_client.post(f"/api/auth/{path}", content=b"{", headers=json) for _ in range(4)]
    assert [r.status_code for r in responses] == [400, 400, 400, 429]
    assert is_limited(responses[-1])
    assert responses[0].headers["ratelimit"].startswith('"default";r=2;')


async def test_a_crowd_of_sign_ins_is_turned_away_rather_than_kept_waiting(client, register, monkeypatch):
    from tandem.accounts import passwords

    headers = bearer(await register())
    monkeypatch.setattr(passwords, "_waiting", 100)
    response = await client.post("/api/auth/delete-user", json={"password": PASSWORD}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (503, "sign_in_busy")
    assert int(response.headers["retry-after"]) >= 1

"""Which web origins may use a browser's cookies."""

import pytest

from tests.accounts.service import PASSWORD, bearer, cookie_pair

TRUSTED = [
    {"Origin": "http://testserver"},
    {"Origin": "http://localhost:5173"},
    {"Referer": "http://testserver/settings?tab=1"},
    {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
]
MISSING = [{}, {"Origin": "null"}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}]
UNTRUSTED = [
    {"Origin": "https://evil.example"},
    {"Origin": "https://testserver"},
    {"Origin": "http://testserver:8080"},
    {"Origin": "http://testserver.evil.example"},
    {"Origin": "http://localhost:5173.evil.example"},
    {"Origin": "http://[::1"},
    {"Origin": "file://testserver"},
    {"Referer": "https://evil.example/http://testserver"},
]


@pytest.mark.parametrize("headers", TRUSTED)
async def test_a_cookie_acts_from_a_trusted_origin(client, register, headers):
    headers = headers | {"Cookie": cookie_pair(await register())}
    assert (await client.post("/api/probe", headers=headers)).status_code == 200
    changed = await client.post("/api/auth/update-user", json={"name": "Z"}, headers=headers)
    assert changed.json() == {"status": True}


@pytest.mark.parametrize("headers", [*MISSING, *UNTRUSTED])
async def test_a_cookie_does_not_act_from_elsewhere(client, register, db, headers):
    session = {"Cookie": cookie_pair(await register())}
    response = await client.post("/api/probe", headers=headers | session)
    assert (response.status_code, response.json()["code"]) == (403, "invalid_origin")
    assert response.headers["content-type"] == "application/problem+json"
    refused = await client.post("/api/auth/update-user", json={"name": "Z"}, headers=headers | session)
    assert refused.status_code == 403
    if headers in MISSING:
        assert refused.json() == {"message": "Missing or null Origin", "code": "MISSING_OR_NULL_ORIGIN"}
    else:
        assert refused.json() == {"message": "Invalid origin", "code": "INVALID_ORIGIN"}
    assert await db.fetchval('SELECT name FROM "user"') == "Ada"


async def test_reading_with_a_cookie_needs_no_origin(client, register):
    headers = {"Cookie": cookie_pair(await register())}
    assert (await client.get("/api/probe", headers=headers)).status_code == 200
    assert (await client.get("/api/auth/get-session", headers=headers)).json() is not None


async def test_a_bearer_acts_from_anywhere(client, register):
    headers = bearer(await register()) | {"Origin": "https://evil.example"}
    assert (await client.post("/api/probe", headers=headers)).status_code == 200


SIGN_IN = {"email": "ada@example.com", "password": PASSWORD}


@pytest.mark.parametrize("headers", TRUSTED)
async def test_a_browser_signs_in_from_a_trusted_origin(client, register, headers):
    await register()
    browser = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    response = await client.post("/api/auth/sign-in/email", json=SIGN_IN, headers=browser | headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, "CROSS_SITE_NAVIGATION_LOGIN_BLOCKED"),
        ({"Sec-Fetch-Mode": "cors"}, "MISSING_OR_NULL_ORIGIN"),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://evil.example"}, "INVALID_ORIGIN"),
        ({"Origin": "https://evil.example"}, "INVALID_ORIGIN"),
        ({"Cookie": "theme=dark"}, "MISSING_OR_NULL_ORIGIN"),
    ],
)
@pytest.mark.parametrize("route", ["sign-in", "sign-up"])
async def test_no_other_site_signs_a_browser_in(client, headers, code, route):
    body = SIGN_IN | {"name": "Ada"}
    response = await client.post(f"/api/auth/{route}/email", json=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, code)


async def test_a_program_without_any_browser_header_signs_in(client, register):
    await register()
    assert (await client.post("/api/auth/sign-in/email", json=SIGN_IN)).status_code == 200

"""Bodies that are no good: a 400 in better-auth's shape, and nothing is stored."""

import pytest

from tests.accounts.service import PASSWORD, bearer

GOOD = b'"name": "Ada", "email": "ada@example.com", "password": "%s"' % PASSWORD.encode()
BAD = {
    "empty": b"",
    "no JSON": b"{bad",
    "a list": b"[1]",
    "null": b"null",
    "a number": b"5",
    "a string": b'"x"',
    "NaN": b"{" + GOOD + b', "x": NaN}',
    "Infinity": b"{" + GOOD + b', "x": -Infinity}',
    "a huge number": b"{" + GOOD + b', "x": 1e999}',
    "a NUL": b'{"name": "a\\u0000b", "email": "ada@example.com", "password": "12345678"}',
    "a NUL in the password": b'{"name": "a", "email": "ada@example.com", "password": "12345678\\u0000"}',
    "a NUL in an ignored field": b"{" + GOOD + b', "x": "\\u0000"}',
    "a lone surrogate": b'{"name": "\\ud800", "email": "ada@example.com", "password": "12345678"}',
    "no UTF-8": b'{"name": "\xff\xfe", "email": "ada@example.com", "password": "12345678"}',
    "deep": b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "trailing text": b"{" + GOOD + b"} x",
    "wrong types": b'{"name": 5, "email": ["a"], "password": {"a": 1}}',
    "a number for true": b"{" + GOOD + b', "rememberMe": 1}',
    "a string for true": b"{" + GOOD + b', "rememberMe": "true"}',
    "missing fields": b"{}",
    "a long name": b'{"name": "%s", "email": "a@example.com", "password": "12345678"}' % (b"x" * 201),
    "a long image": b"{" + GOOD + b', "image": "%s"}' % (b"x" * 2001),
    "a long password": b'{"name": "x", "email": "a@example.com", "password": "%s"}' % (b"x" * 5000),
    "an empty password": b'{"name": "x", "email": "a@example.com", "password": ""}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
async def test_a_bad_body_is_a_400_and_creates_nobody(client, db, body):
    headers = {"Content-Type": "application/json"}
    response = await client.post("/api/auth/sign-up/email", content=body, headers=headers)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"message", "code"}
    assert response.json()["code"] == "VALIDATION_ERROR"
    assert response.json()["message"].startswith("[body")
    assert await db.fetchval('SELECT count(*) FROM "user"') == 0


@pytest.mark.parametrize("route", ["sign-in/email", "revoke-session", "change-password", "update-user", "delete-user"])
@pytest.mark.parametrize("name", ["no JSON", "a list", "NaN", "a lone surrogate", "deep", "empty"])
async def test_every_route_with_a_body_refuses_it_alike(client, sign_up, route, name):
    headers = (await sign_up()).headers | {"Content-Type": "application/json"}
    response = await client.post(f"/api/auth/{route}", content=BAD[name], headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_ERROR")


async def test_another_content_type_is_a_415(client):
    response = await client.post("/api/auth/sign-in/email", content=b"x=1", headers={"Content-Type": "text/plain"})
    assert (response.status_code, response.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_huge_body_is_a_413(client):
    response = await client.post("/api/auth/sign-in/email", json={"email": "x" * 1_100_000})
    assert (response.status_code, response.json()["code"]) == (413, "CONTENT_TOO_LARGE")


async def test_sign_out_takes_any_body_or_none(client, register):
    headers = bearer(await register())
    for content in (b"", b"{}"):
        response = await client.post("/api/auth/sign-out", content=content, headers=headers)
        assert response.json() == {"success": True}


async def test_several_faults_are_named_each_with_its_field(client):
    response = await client.post("/api/auth/sign-up/email", json={"name": 5, "email": "a@example.com"})
    message = response.json()["message"]
    assert "[body.name] " in message
    assert "; [body.password] " in message

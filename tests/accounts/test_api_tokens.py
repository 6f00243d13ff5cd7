"""Personal API tokens."""

import asyncio
import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest

NEW = {"name": "Backup", "scopes": ["tasks:read"]}


async def create(client, user, **fields):
    return await client.post("/api/tokens", json=NEW | fields, headers=user.headers)


def bearer(created):
    return {"Authorization": f"Bearer {created.json()['token']}"}


async def test_a_token_is_shown_once_and_stored_as_a_hash(client, sign_up, db):
    user = await sign_up()
    response = await create(client, user, name="  Backup ", scopes=["tasks:write", "tasks:read", "tasks:read"])
    assert response.status_code == 201
    created = response.json()
    token = created.pop("token")
    assert re.fullmatch(r"tdm_[A-Za-z0-9]{40}", token)
    assert created["name"] == "Backup"
    assert created["scopes"] == ["tasks:read", "tasks:write"]
    assert (created["prefix"], created["last4"]) == (token[:8], token[-4:])
    assert (created["expires_at"], created["last_used_at"]) == (None, None)
    assert response.headers["location"] == f"/api/tokens/{created['id']}"
    listed = (await client.get("/api/tokens", headers=user.headers)).json()
    assert listed == {"items": [created], "total": 1, "page": 1, "limit": 50, "pages": 1}
    row = await db.fetchrow("SELECT * FROM api_tokens")
    assert token not in str(dict(row))
    assert row["token_hash"] == hashlib.sha256(token.encode()).hexdigest()


async def test_a_token_acts_for_its_user_within_its_scopes(client, sign_up):
    user = await sign_up()
    created = await create(client, user)
    response = await client.get("/api/probe", headers=bearer(created))
    assert response.json() == {"user_id": user.id, "via": "api_token", "actor": f"token:{created.json()['id']}"}
    refused = await client.post("/api/probe", headers=bearer(created))
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert refused.json()["required_scope"] == "tasks:write"


async def test_a_write_scope_includes_reading(client, sign_up):
    created = await create(client, await sign_up(), scopes=["tasks:write"])
    assert (await client.get("/api/probe", headers=bearer(created))).status_code == 200
    assert (await client.post("/api/probe", headers=bearer(created))).status_code == 200


async def test_a_scope_of_something_else_is_not_enough(client, sign_up):
    created = await create(client, await sign_up(), scopes=["settings:read"])
    assert (await client.get("/api/probe", headers=bearer(created))).status_code == 403


async def test_the_stored_hash_of_a_token_is_no_token(client, sign_up, db):
    await create(client, await sign_up())
    stored = await db.fetchval("SELECT token_hash FROM api_tokens")
    for value in (stored, f"tdm_{stored}"):
        assert (await client.get("/api/probe", headers={"Authorization": f"Bearer {value}"})).status_code == 401


async def test_a_token_is_no_cookie(client, sign_up, settings):
    from tandem.accounts.secrets import sign_cookie

    token = (await create(client, await sign_up())).json()["token"]
    cookie = f"better-auth.session_token={sign_cookie(settings, token)}"
    assert (await client.get("/api/probe", headers={"Cookie": cookie})).status_code == 401


async def test_an_expired_token_is_a_401(client, sign_up, db):
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    created = await create(client, await sign_up(), expires_at=soon)
    assert (await client.get("/api/probe", headers=bearer(created))).status_code == 200
    await db.execute("UPDATE api_tokens SET expires_at = now()")
    response = await client.get("/api/probe", headers=bearer(created))
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")


async def test_last_used_is_written_at_most_once_a_minute(client, sign_up, db):
    created = await create(client, await sign_up())
    for _ in range(3):
        await client.get("/api/probe", headers=bearer(created))
    first = await db.fetchrow("SELECT xmin, last_used_at FROM api_tokens")
    assert datetime.now(UTC) - first["last_used_at"] < timedelta(seconds=10)
    await client.get("/api/probe", headers=bearer(created))
    assert await db.fetchrow("SELECT xmin, last_used_at FROM api_tokens") == first
    await db.execute("UPDATE api_tokens SET last_used_at = now() - interval '61 seconds'")
    await client.get("/api/probe", headers=bearer(created))
    assert await db.fetchval("SELECT now() - last_used_at FROM api_tokens") < timedelta(seconds=10)


async def test_a_deleted_token_stops_working_at_once(client, sign_up):
    user = await sign_up()
    created = await create(client, user)
    path = f"/api/tokens/{created.json()['id']}"
    response = await client.delete(path, headers=user.headers)
    assert (response.status_code, response.content) == (204, b"")
    assert (await client.get("/api/probe", headers=bearer(created))).status_code == 401
    assert (await client.delete(path, headers=user.headers)).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", ""), ("DELETE", "/{id}")])
async def test_a_token_manages_no_tokens(client, sign_up, method, path):
    created = await create(client, await sign_up(), scopes=["tasks:write", "settings:read"])
    url = "/api/tokens" + path.format(id=created.json()["id"])
    response = await client.request(method, url, json=NEW if method == "POST" else None, headers=bearer(created))
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize("path", ["list-sessions", "get-session", "sign-out", "delete-user", "change-password"])
async def test_a_token_is_no_session(client, sign_up, db, path):
    headers = bearer(await create(client, await sign_up()))
    body = {"password": "x" * 8, "currentPassword": "x" * 8, "newPassword": "x" * 8}
    method = "GET" if path in {"list-sessions", "get-session"} else "POST"
    response = await client.request(
        method, f"/api/auth/{path}", json=body if method == "POST" else None, headers=headers
    )
    assert response.status_code == 401 or response.json() in (None, {"success": True})
    assert await db.fetchval('SELECT count(*) FROM "session"') == 1


async def test_another_users_token_is_not_there(client, sign_up):
    ada, bob = await sign_up(), await sign_up()
    created = await create(client, ada)
    response = await client.delete(f"/api/tokens/{created.json()['id']}", headers=bob.headers)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert (await client.get("/api/tokens", headers=bob.headers)).json()["items"] == []
    assert (await client.get("/api/probe", headers=bearer(created))).status_code == 200


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 5}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["*"]}, "scopes.0"),
        ({"scopes": ["tokens:manage"]}, "scopes.0"),
        ({"scopes": ["tasks:read", "labels:read"]}, "scopes.1"),
        ({"scopes": "tasks:read"}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": "99999-01-01T00:00:00Z"}, "expires_at"),
        ({"user_id": "x"}, "user_id"),
    ],
)
async def test_a_token_that_cannot_be_is_a_422_naming_the_field(client, sign_up, db, fields, field):
    response = await create(client, await sign_up(), **fields)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_payload")
    assert field in [e["field"] for e in response.json()["errors"]]
    assert await db.fetchval("SELECT count(*) FROM api_tokens") == 0


async def test_a_malformed_id_is_a_422_and_an_unknown_one_a_404(client, sign_up):
    user = await sign_up()
    assert (await client.delete("/api/tokens/5", headers=user.headers)).status_code == 422
    unknown = "00000000-0000-7000-8000-000000000000"
    assert (await client.delete(f"/api/tokens/{unknown}", headers=user.headers)).status_code == 404


async def test_a_user_has_at_most_fifty_tokens_also_when_asking_at_once(client, sign_up, db):
    user = await sign_up()
    for _ in range(48):
        assert (await create(client, user)).status_code == 201
    responses = await asyncio.gather(*(create(client, user) for _ in range(4)))
    assert sorted(r.status_code for r in responses) == [201, 201, 409, 409]
    refused = next(r for r in responses if r.status_code == 409)
    assert refused.json()["code"] == "too_many_tokens"
    assert (await create(client, await sign_up())).status_code == 201


async def test_tokens_come_in_pages_the_newest_first(client, sign_up):
    user = await sign_up()
    for number in range(5):
        await create(client, user, name=f"Token {number}")
    response = await client.get("/api/tokens?limit=2&page=2", headers=user.headers)
    page = response.json()
    assert [t["name"] for t in page.pop("items")] == ["Token 2", "Token 1"]
    assert page == {"total": 5, "page": 2, "limit": 2, "pages": 3}
    assert (response.headers["x-total-count"], response.headers["x-page-number"]) == ("5", "2")
    assert (await client.get("/api/tokens?limit=0", headers=user.headers)).status_code == 422
    assert (await client.get("/api/tokens?page=9", headers=user.headers)).json()["items"] == []

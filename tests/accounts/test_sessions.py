"""get-session, list-sessions, sign-out and revoking."""

import re

import pytest

from tests.accounts.service import PASSWORD, bearer, cookie_pair, set_cookies

EXPIRED = [
    "better-auth.session_token=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
    "better-auth.session_data=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
    "better-auth.dont_remember=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
]


async def sign_in(client, email="ada@example.com"):
    response = await client.post("/api/auth/sign-in/email", json={"email": email, "password": PASSWORD})
    client.cookies.clear()
    return response


async def is_alive(client, signed_in):
    return (await client.get("/api/probe", headers=bearer(signed_in))).status_code == 200


async def test_get_session_answers_the_session_and_its_user(client, register):
    registered = await register()
    response = await client.get("/api/auth/get-session", headers=bearer(registered) | {"User-Agent": "other"})
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert answer["user"] == registered.json()["user"]
    session = answer["session"]
    assert set(session) == {
        "id", "userId", "token", "expiresAt", "createdAt", "updatedAt", "ipAddress", "userAgent",
    }  # fmt: skip
    assert session["token"] == registered.json()["token"]
    assert session["userId"] == answer["user"]["id"]
    assert session["ipAddress"] == "127.0.0.1"
    assert session["userAgent"].startswith("python-httpx2/")
    assert all(re.search(r"\.\d{3}Z$", session[name]) for name in ("expiresAt", "createdAt", "updatedAt"))


async def test_get_session_without_one_is_null_and_not_an_error(client):
    response = await client.get("/api/auth/get-session")
    assert (response.status_code, response.json()) == (200, None)
    assert response.headers["cache-control"] == "no-store"
    assert set_cookies(response) == []


async def test_get_session_removes_the_cookie_of_a_session_that_is_gone(client, register, db):
    cookie = cookie_pair(await register())
    await db.execute('DELETE FROM "session"')
    response = await client.get("/api/auth/get-session", headers={"Cookie": cookie})
    assert response.json() is None
    assert set_cookies(response) == EXPIRED


async def test_list_sessions_needs_a_session(client):
    response = await client.get("/api/auth/list-sessions")
    assert (response.status_code, response.json()) == (401, {"message": "Unauthorized", "code": "UNAUTHORIZED"})


async def test_list_sessions_shows_the_living_sessions_of_the_caller_alone(client, register, db):
    first = await register()
    second, expired = await sign_in(client), await sign_in(client)
    await register("bob@example.com")
    headers = bearer(expired)
    gone = (await client.get("/api/auth/get-session", headers=headers)).json()["session"]["id"]
    await db.execute('UPDATE "session" SET "expiresAt" = now() WHERE id = $1', gone)
    listed = (await client.get("/api/auth/list-sessions", headers=bearer(second))).json()
    assert len(listed) == 2
    assert {s["userId"] for s in listed} == {first.json()["user"]["id"]}
    assert [s["token"] == second.json()["token"] for s in listed] == [False, True]


async def test_the_list_holds_no_credential_but_the_callers_own(client, register):
    first = await register()
    second = await sign_in(client)
    listed = (await client.get("/api/auth/list-sessions", headers=bearer(second))).json()
    handle = listed[0]["token"]
    assert handle != first.json()["token"]
    assert (await client.get("/api/probe", headers={"Authorization": f"Bearer {handle}"})).status_code == 401


async def test_also_with_plain_tokens_the_list_holds_no_credential_but_the_callers_own(plain_client):
    body = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
    first = await plain_client.post("/api/auth/sign-up/email", json=body)
    plain_client.cookies.clear()
    second = await sign_in(plain_client)
    listed = (await plain_client.get("/api/auth/list-sessions", headers=bearer(second))).json()
    assert first.json()["token"] not in str(listed)


async def test_a_session_is_revoked_by_the_token_in_the_list(client, register):
    first = await register()
    second = await sign_in(client)
    handle = (await client.get("/api/auth/list-sessions", headers=bearer(second))).json()[0]["token"]
    response = await client.post("/api/auth/revoke-session", json={"token": handle}, headers=bearer(second))
    assert (response.status_code, response.json()) == (200, {"status": True})
    assert set_cookies(response) == []
    assert not await is_alive(client, first)
    assert await is_alive(client, second)


async def test_a_session_is_revoked_by_its_real_token_too(client, register):
    first = await register()
    second = await sign_in(client)
    token = first.json()["token"]
    await client.post("/api/auth/revoke-session", json={"token": token}, headers=bearer(second))
    assert not await is_alive(client, first)


async def test_revoking_ones_own_session_removes_the_cookie(client, register):
    first = await register()
    token = first.json()["token"]
    response = await client.post("/api/auth/revoke-session", json={"token": token}, headers=bearer(first))
    assert set_cookies(response) == EXPIRED
    assert not await is_alive(client, first)


async def test_another_users_session_cannot_be_revoked(client, register):
    ada, bob = await register(), await register("bob@example.com")
    session = (await client.get("/api/auth/get-session", headers=bearer(bob))).json()["session"]
    for token in (session["token"], session["id"], "no such token"):
        response = await client.post("/api/auth/revoke-session", json={"token": token}, headers=bearer(ada))
        assert (response.status_code, response.json()) == (200, {"status": True})
    assert await is_alive(client, bob)


async def test_revoke_other_sessions_keeps_this_one_and_other_users(client, register):
    first, bob = await register(), await register("bob@example.com")
    second = await sign_in(client)
    response = await client.post("/api/auth/revoke-other-sessions", headers=bearer(second))
    assert (response.status_code, response.json()) == (200, {"status": True})
    assert [await is_alive(client, s) for s in (first, second, bob)] == [False, True, True]


async def test_revoke_sessions_ends_them_all(client, register):
    first = await register()
    second = await sign_in(client)
    response = await client.post("/api/auth/revoke-sessions", headers=bearer(second))
    assert response.json() == {"status": True}
    assert set_cookies(response) == EXPIRED
    assert [await is_alive(client, s) for s in (first, second)] == [False, False]


async def test_sign_out_ends_the_session_and_removes_the_cookies(client, register):
    registered = await register()
    other = await sign_in(client)
    response = await client.post("/api/auth/sign-out", headers=bearer(registered))
    assert (response.status_code, response.json()) == (200, {"success": True})
    assert set_cookies(response) == EXPIRED
    assert [await is_alive(client, s) for s in (registered, other)] == [False, True]


async def test_signing_out_twice_is_no_error(client, register):
    registered = await register()
    for _ in range(2):
        response = await client.post("/api/auth/sign-out", headers=bearer(registered))
        assert response.json() == {"success": True}


@pytest.mark.parametrize("route", ["revoke-session", "revoke-other-sessions", "revoke-sessions", "change-password"])
@pytest.mark.parametrize("authorization", [None, "Bearer nonsense"])
async def test_what_acts_on_sessions_needs_one(client, route, authorization):
    headers = {"Authorization": authorization} if authorization else {}
    body = {"token": "x", "currentPassword": PASSWORD, "newPassword": PASSWORD}
    response = await client.post(f"/api/auth/{route}", json=body, headers=headers)
    assert (response.status_code, response.json()) == (401, {"message": "Unauthorized", "code": "UNAUTHORIZED"})


async def test_expired_sessions_verifications_and_api_tokens_are_purged(client, register, db):
    from tandem.accounts.sessions import purge_expired

    living = await register()
    await sign_in(client)
    token = {"name": "x", "scopes": ["tasks:read"], "expires_at": "2099-01-01T00:00:00Z"}
    await client.post("/api/tokens", json=token, headers=bearer(living))
    await client.post("/api/tokens", json=token | {"expires_at": None}, headers=bearer(living))
    newest = '(SELECT id FROM "session" ORDER BY "createdAt" DESC LIMIT 1)'
    await db.execute(f'UPDATE "session" SET "expiresAt" = now() - interval \'1 second\' WHERE id = {newest}')
    await db.execute("UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL")
    await db.execute(
        'INSERT INTO "verification" (id, identifier, value, "expiresAt") '
        "VALUES ('1', 'a', 'b', now() - interval '1 second'), ('2', 'a', 'b', now() + interval '1 day')"
    )
    assert await purge_expired(db) == 3
    assert await purge_expired(db) == 0
    assert await is_alive(client, living)
    assert await db.fetchval('SELECT id FROM "verification"') == "2"
    assert await db.fetchval("SELECT count(*) FROM api_tokens") == 1

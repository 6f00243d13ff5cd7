"""What is accepted as a credential, and what is not."""

import base64
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from tests.accounts.service import PASSWORD, bearer, cookie_pair, set_cookies
from tests.builders import SECRET, session_hash, text_id

DAY = timedelta(days=1)


def signed(token, secret=SECRET):
    return f"{token}.{base64.b64encode(hmac.digest(secret.encode(), token.encode(), 'sha256')).decode()}"


async def get(client, **headers):
    return await client.get("/api/probe", headers=headers)


async def age(db, *, made, ends):
    """Let the only session have been made and end at these distances from now."""
    now = datetime.now(UTC)
    await db.execute('UPDATE "session" SET "createdAt" = $1, "expiresAt" = $2', now + made, now + ends)


async def remaining(db):
    return await db.fetchval('SELECT "expiresAt" FROM "session"') - datetime.now(UTC)


async def test_without_a_credential_the_answer_is_a_401_that_names_the_scheme(client):
    response = await get(client)
    assert response.status_code == 401
    assert response.json()["code"] == "unauthorized"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_raw_token_is_a_bearer(client, sign_up, scheme):
    user = await sign_up()
    response = await get(client, Authorization=f"{scheme} {user.token}")
    assert response.json()["user_id"] == user.id
    assert response.json()["via"] == "session"


@pytest.mark.parametrize("encode", [str, lambda s: quote(s, safe="")])
async def test_the_signed_token_is_a_bearer(client, sign_up, encode):
    user = await sign_up()
    assert (await get(client, Authorization=f"Bearer {encode(signed(user.token))}")).status_code == 200


async def test_what_set_auth_token_says_is_a_bearer(client, register):
    registered = await register()
    token = registered.headers["set-auth-token"]
    assert (await get(client, Authorization=f"Bearer {token}")).status_code == 200


async def test_the_actor_names_the_session(client, sign_up, db):
    user = await sign_up()
    session_id = await db.fetchval('SELECT id FROM "session"')
    assert (await get(client, **user.headers)).json()["actor"] == f"session:{session_id}"


@pytest.mark.parametrize("name", ["better-auth.session_token", "__Secure-better-auth.session_token"])
async def test_the_signed_token_is_a_cookie_under_either_name(client, sign_up, name):
    user = await sign_up()
    cookie = f"theme=dark; {name}={quote(signed(user.token), safe='')}; lang=en"
    assert (await get(client, Cookie=cookie)).json()["user_id"] == user.id


async def test_the_secure_cookie_wins_over_one_that_another_site_may_have_planted(client, sign_up):
    ada, eve = await sign_up(), await sign_up()
    name = "better-auth.session_token"
    for cookie in (
        f"{name}={signed(eve.token)}; __Secure-{name}={signed(ada.token)}",
        f"__Secure-{name}={signed(ada.token)}; {name}={signed(eve.token)}",
    ):
        assert (await get(client, Cookie=cookie)).json()["user_id"] == ada.id


async def test_a_cookie_needs_its_signature(client, sign_up):
    token = (await sign_up()).token
    forged = [
        token,
        f"{token}.",
        f"{token}.{'A' * 43}=",
        signed(token, "another secret"),
        f"{token}.{signed(text_id()).partition('.')[2]}",
    ]
    for value in forged:
        response = await get(client, Cookie=f"better-auth.session_token={quote(value, safe='')}")
        assert response.status_code == 401, value


async def test_a_signed_bearer_needs_a_right_signature(client, sign_up):
    token = (await sign_up()).token
    assert (await get(client, Authorization=f"Bearer {signed(token, 'another secret')}")).status_code == 401


async def test_the_stored_hash_is_no_token(client, sign_up):
    stored = session_hash((await sign_up()).token)
    assert (await get(client, Authorization=f"Bearer {stored}")).status_code == 401
    assert (await get(client, Cookie=f"better-auth.session_token={signed(stored)}")).status_code == 401


async def test_the_stored_hash_is_no_token_where_tokens_are_plain_either(plain_client, sign_up):
    user = await sign_up()  # hashed, as if SESSION_TOKENS had been changed since
    stored = session_hash(user.token)
    assert (await get(plain_client, Authorization=f"Bearer {stored}")).status_code == 401
    assert (await get(plain_client, Authorization=f"Bearer {user.token}")).status_code == 401


async def test_a_plain_token_is_looked_up_as_it_is(plain_client, client, sign_up, db):
    user = await sign_up()
    await db.execute('UPDATE "session" SET token = $1', user.token)
    assert (await get(plain_client, **user.headers)).json()["user_id"] == user.id
    assert (await get(client, **user.headers)).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        "Bearer", "Bearer ", "Bearer  ", "Bearer %", "Bearer .", "Bearer ..", "Bearer %00", "Bearer a%00b", "Bearer ä",
        "Bearer " + "x" * 300, "Bearer tdm_", "Bearer tdm_%00", "Basic YTpi", "Token x", "\x7f", "Bearer a.b.c",
    ],
)  # fmt: skip
async def test_nonsense_is_a_401_and_nothing_worse(client, plain_client, header):
    for service in (client, plain_client):
        assert (await get(service, Authorization=header.encode("latin-1"))).status_code == 401
        encoded = header.removeprefix("Bearer ").encode("latin-1")
        response = await get(service, Cookie=b"better-auth.session_token=" + encoded)
        assert response.status_code == 401


async def test_a_wrong_bearer_is_not_rescued_by_a_cookie(client, sign_up):
    user = await sign_up()
    cookie = f"better-auth.session_token={signed(user.token)}"
    assert (await get(client, Authorization="Bearer wrong", Cookie=cookie)).status_code == 401
    assert (await get(client, Authorization="Basic YTpi", Cookie=cookie)).status_code == 200


async def test_an_expired_session_is_a_401(client, sign_up, db):
    user = await sign_up()
    await age(db, made=-7 * DAY, ends=timedelta(seconds=-1))
    assert (await get(client, **user.headers)).status_code == 401
    assert (await client.get("/api/auth/get-session", headers=user.headers)).json() is None


async def test_a_session_over_a_day_old_is_slid_to_a_full_life(client, sign_up, db):
    user = await sign_up()
    await age(db, made=-DAY, ends=6 * DAY)
    assert (await get(client, **user.headers)).status_code == 200
    assert timedelta(days=6, hours=23) < await remaining(db) <= 7 * DAY


async def test_a_younger_session_is_left_alone(client, sign_up, db):
    user = await sign_up()
    await age(db, made=-DAY / 2, ends=6.5 * DAY)
    before = await db.fetchrow('SELECT xmin, * FROM "session"')
    assert (await get(client, **user.headers)).status_code == 200
    assert await db.fetchrow('SELECT xmin, * FROM "session"') == before


async def test_a_session_not_to_be_remembered_is_not_slid(client, sign_up, db):
    user = await sign_up()
    await age(db, made=-DAY / 2, ends=DAY / 2)
    assert (await get(client, **user.headers)).status_code == 200
    assert (await client.get("/api/auth/get-session", headers=user.headers)).status_code == 200
    assert await remaining(db) < DAY / 2


async def test_a_cookie_is_renewed_when_its_session_is_slid(client, register, db):
    cookie = cookie_pair(await register())
    for path in ("/api/probe", "/api/auth/get-session"):
        await age(db, made=-2 * DAY, ends=5 * DAY)
        response = await client.get(path, headers={"Cookie": cookie})
        assert response.status_code == 200
        assert set_cookies(response) == [f"{cookie}; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax"]


async def test_get_session_shows_the_new_life_and_can_be_told_not_to_begin_one(client, sign_up, db):
    user = await sign_up()
    await age(db, made=-3 * DAY, ends=4 * DAY)
    await client.get("/api/auth/get-session?disableRefresh=true", headers=user.headers)
    assert await remaining(db) < 4 * DAY
    shown = (await client.get("/api/auth/get-session", headers=user.headers)).json()["session"]["expiresAt"]
    assert datetime.fromisoformat(shown) == await db.fetchval('SELECT "expiresAt" FROM "session"')
    assert await remaining(db) > 6.9 * DAY


async def test_signing_out_with_a_slid_session_leaves_no_cookie(client, register, db):
    cookie = cookie_pair(await register())
    await age(db, made=-2 * DAY, ends=5 * DAY)
    headers = {"Cookie": cookie, "Origin": "http://testserver"}
    response = await client.post("/api/auth/sign-out", headers=headers)
    assert all("Max-Age=0" in c for c in set_cookies(response))


async def test_a_password_changed_with_a_slid_session_leaves_the_new_cookie_alone(client, register, db):
    cookie = cookie_pair(await register())
    await age(db, made=-2 * DAY, ends=5 * DAY)
    body = {"currentPassword": PASSWORD, "newPassword": PASSWORD + "!", "revokeOtherSessions": True}
    headers = {"Cookie": cookie, "Origin": "http://testserver"}
    response = await client.post("/api/auth/change-password", json=body, headers=headers)
    client.cookies.clear()
    assert [c.partition(".session_token=")[2].partition(".")[0] for c in set_cookies(response)] == [
        response.json()["token"]
    ]
    assert (await get(client, Cookie=cookie_pair(response))).status_code == 200


@pytest.mark.parametrize("path", ["/api/probe", "/api/auth/get-session"])
async def test_a_bearer_whose_session_is_slid_gets_no_cookie(client, sign_up, db, path):
    user = await sign_up()
    await age(db, made=-2 * DAY, ends=5 * DAY)
    response = await client.get(path, headers=user.headers)
    assert set_cookies(response) == []
    assert await remaining(db) > 6 * DAY


@pytest.mark.parametrize("prefix", ["", "__Secure-"])
@pytest.mark.parametrize("path", ["/api/probe", "/api/auth/get-session"])
async def test_a_browser_told_not_to_remember_keeps_its_cookie_as_it_is(client, register, db, path, prefix):
    cookie = cookie_pair(await register())
    note = f"{prefix}better-auth.dont_remember={quote(signed('true'), safe='')}"
    await age(db, made=-2 * DAY, ends=5 * DAY)
    response = await client.get(path, headers={"Cookie": f"{cookie}; {note}"})
    assert (response.status_code, set_cookies(response)) == (200, [])
    assert await remaining(db) <= 5 * DAY


async def test_a_note_not_to_remember_needs_its_signature(client, register, db):
    cookie = cookie_pair(await register())
    await age(db, made=-2 * DAY, ends=5 * DAY)
    note = f"better-auth.dont_remember={quote(signed('true', 'another secret'), safe='')}"
    await get(client, Cookie=f"{cookie}; {note}")
    assert await remaining(db) > 6 * DAY


async def test_the_common_case_is_one_query(client, sign_up, database_url):
    import asyncpg
    from starlette.requests import Request

    from tandem.accounts.credentials import authenticate
    from tandem.core.postgres_url import parse_database_url

    user = await sign_up()
    app = client._transport.app
    scope = {
        "type": "http", "app": app, "method": "GET", "scheme": "http", "path": "/",
        "headers": [(b"host", b"testserver"), (b"authorization", user.headers["Authorization"].encode())],
    }  # fmt: skip
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    queries = []
    connection.add_query_logger(lambda record: queries.append(record.query))
    try:
        principal = await authenticate(connection, Request(scope))
    finally:
        await connection.close()
    assert principal.user_id == user.id
    assert len(queries) == 1


async def test_a_password_hash_is_not_computed_while_a_connection_is_held(client, register, monkeypatch):
    from tandem.accounts import passwords

    registered = await register()
    pool = client._transport.app.state.database.pool
    held = []
    scrypt = passwords._scrypt

    def watching(password, salt):
        held.append(pool.checkedout())
        return scrypt(password, salt)

    monkeypatch.setattr(passwords, "_scrypt", watching)
    headers = bearer(registered)
    await register("bob@example.com")
    await client.post("/api/auth/sign-in/email", json={"email": "ada@example.com", "password": PASSWORD})
    client.cookies.clear()
    change = {"currentPassword": PASSWORD, "newPassword": PASSWORD + "!"}
    assert (await client.post("/api/auth/change-password", json=change, headers=headers)).status_code == 200
    deletion = {"password": PASSWORD + "!"}
    assert (await client.post("/api/auth/delete-user", json=deletion, headers=headers)).status_code == 200
    assert held == [0] * 5

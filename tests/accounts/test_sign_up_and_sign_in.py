"""Sign-up and sign-in as better-auth answers them."""

import asyncio
import re

import pytest

from tests.accounts.service import PASSWORD, bearer, cookie_pair, set_cookies

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SIGNED_COOKIE = re.compile(
    r"better-auth\.session_token=[A-Za-z0-9]{32}\.[A-Za-z0-9%]+; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax"
)


async def test_sign_up_answers_the_user_a_token_and_a_cookie(client):
    body = {"name": "Ada", "email": "Ada@Example.com", "password": PASSWORD}
    response = await client.post("/api/auth/sign-up/email", json=body)
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"token", "user"}
    assert re.fullmatch(r"[A-Za-z0-9]{32}", answer["token"])
    user = answer["user"]
    assert set(user) == {"id", "name", "email", "emailVerified", "image", "createdAt", "updatedAt"}
    assert re.fullmatch(r"[A-Za-z0-9]{32}", user["id"])
    assert (user["name"], user["email"], user["emailVerified"], user["image"]) == (
        "Ada",
        "ada@example.com",
        False,
        None,
    )
    assert TIMESTAMP.fullmatch(user["createdAt"])
    assert TIMESTAMP.fullmatch(user["updatedAt"])
    assert [bool(SIGNED_COOKIE.fullmatch(c)) for c in set_cookies(response)] == [True]
    assert response.headers["set-auth-token"].startswith(answer["token"] + ".")
    assert "set-auth-token" in response.headers["access-control-expose-headers"]


async def test_sign_in_answers_the_same_user_and_another_token(client, register):
    registered = await register(image="https://example.com/ada.png")
    response = await client.post("/api/auth/sign-in/email", json={"email": "ADA@example.com", "password": PASSWORD})
    assert response.status_code == 200
    answer = response.json()
    assert answer["redirect"] is False
    assert answer["user"] == registered.json()["user"]
    assert answer["user"]["image"] == "https://example.com/ada.png"
    assert answer["token"] != registered.json()["token"]
    assert (await client.get("/api/probe", headers=bearer(response))).json()["user_id"] == answer["user"]["id"]


async def test_the_credential_row_is_as_better_auth_writes_it(register, db):
    user_id = (await register()).json()["user"]["id"]
    row = await db.fetchrow('SELECT * FROM "account"')
    assert (row["userId"], row["accountId"], row["providerId"]) == (user_id, user_id, "credential")
    assert re.fullmatch(r"[0-9a-f]{32}:[0-9a-f]{128}", row["password"])
    assert PASSWORD not in row["password"]


async def test_the_session_table_never_holds_a_token(register, db):
    token = (await register()).json()["token"]
    assert await db.fetchval('SELECT count(*) FROM "session" WHERE token = $1', token) == 0
    assert re.fullmatch(r"[0-9a-f]{64}", await db.fetchval('SELECT token FROM "session"'))


async def test_a_taken_email_is_refused_whatever_its_case(register):
    await register("ada@example.com")
    again = await register("ADA@example.com")
    assert again.status_code == 422
    assert again.json() == {
        "message": "User already exists. Use another email.",
        "code": "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL",
    }


async def test_of_two_sign_ups_at_once_one_wins_and_the_other_is_told(register, db):
    responses = await asyncio.gather(*(register("race@example.com") for _ in range(4)))
    assert sorted(r.status_code for r in responses) == [200, 422, 422, 422]
    assert await db.fetchval('SELECT count(*) FROM "user"') == 1
    assert await db.fetchval('SELECT count(*) FROM "account"') == 1
    assert await db.fetchval('SELECT count(*) FROM "session"') == 1


@pytest.mark.parametrize(("password", "code"), [("seven77", "PASSWORD_TOO_SHORT"), ("x" * 129, "PASSWORD_TOO_LONG")])
async def test_a_password_has_8_to_128_characters(register, db, password, code):
    response = await register(password=password)
    assert response.status_code == 400
    assert response.json()["code"] == code
    assert await db.fetchval('SELECT count(*) FROM "user"') == 0


@pytest.mark.parametrize("password", ["x" * 8, "x" * 128, "😀" * 4, "pässwörd\u212b"])
async def test_a_password_of_any_characters_signs_in_again(client, register, password):
    assert (await register(password=password)).status_code == 200
    signed_in = await client.post("/api/auth/sign-in/email", json={"email": "ada@example.com", "password": password})
    assert signed_in.status_code == 200


async def test_a_password_means_the_same_however_it_was_composed(client, register):
    await register(password="pässwörd-1")  # NFC
    decomposed = "pa\u0308sswo\u0308rd-1"  # NFD, as another keyboard sends it
    signed_in = await client.post("/api/auth/sign-in/email", json={"email": "ada@example.com", "password": decomposed})
    assert signed_in.status_code == 200


EMAILS = [
    "nope", "a@b", "@example.com", "a b@example.com", "a..b@example.com", ".a@example.com", "a@example.c",
    "a@-example.com", "a@example.com\n", " a@example.com", "ä@example.com", "a@" + "x" * 250 + ".com", "",
]  # fmt: skip


@pytest.mark.parametrize("email", EMAILS)
async def test_sign_up_refuses_what_is_no_email(register, email):
    response = await register(email)
    assert response.status_code == 400
    assert response.json()["code"] == "VALIDATION_ERROR"
    assert response.json()["message"].startswith("[body.email] ")


@pytest.mark.parametrize("email", EMAILS)
async def test_sign_in_says_what_is_no_email(client, email):
    response = await client.post("/api/auth/sign-in/email", json={"email": email, "password": PASSWORD})
    assert (response.status_code, response.json()) == (400, {"message": "Invalid email", "code": "INVALID_EMAIL"})


async def test_an_invalid_email_is_named_in_the_message_as_better_auth_does(register):
    assert (await register("nope")).json()["message"] == "[body.email] Invalid email address"


@pytest.mark.parametrize(
    ("email", "password"), [("ada@example.com", "wrong password"), ("nobody@example.com", PASSWORD)]
)
async def test_a_wrong_password_and_an_unknown_email_answer_the_same(client, register, email, password):
    await register()
    response = await client.post("/api/auth/sign-in/email", json={"email": email, "password": password})
    assert response.status_code == 401
    assert response.json() == {"message": "Invalid email or password", "code": "INVALID_EMAIL_OR_PASSWORD"}
    assert set_cookies(response) == []


async def test_a_too_long_password_cannot_make_the_server_work(client):
    response = await client.post("/api/auth/sign-in/email", json={"email": "a@example.com", "password": "x" * 129})
    assert (response.status_code, response.json()["code"]) == (400, "PASSWORD_TOO_LONG")


@pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com"])
async def test_an_unknown_email_costs_as_many_hashes_as_a_wrong_password(client, register, monkeypatch, email):
    from tandem.accounts import passwords

    await register()
    derived = []
    scrypt = passwords.hashlib.scrypt

    def counted(*args, **kwargs):
        derived.append((kwargs["n"], kwargs["r"], kwargs["p"], kwargs["dklen"]))
        return scrypt(*args, **kwargs)

    monkeypatch.setattr(passwords.hashlib, "scrypt", counted)
    response = await client.post("/api/auth/sign-in/email", json={"email": email, "password": "wrong password"})
    assert response.status_code == 401
    assert derived == [(16384, 16, 1, 64)]


async def test_a_user_without_a_password_costs_a_hash_and_does_not_sign_in(client, register, db):
    await register()
    await db.execute('UPDATE "account" SET password = NULL')
    response = await client.post("/api/auth/sign-in/email", json={"email": "ada@example.com", "password": PASSWORD})
    assert response.json()["code"] == "INVALID_EMAIL_OR_PASSWORD"


async def test_remember_me_false_makes_a_cookie_for_the_browsers_session_and_a_session_of_a_day(client, register, db):
    await register()
    await db.execute('DELETE FROM "session"')
    body = {"email": "ada@example.com", "password": PASSWORD, "rememberMe": False}
    response = await client.post("/api/auth/sign-in/email", json=body)
    session, note = set_cookies(response)
    assert re.fullmatch(r"better-auth\.session_token=[^;]+; Path=/; HttpOnly; SameSite=Lax", session)
    assert re.fullmatch(r"better-auth\.dont_remember=true\.[^;]+; Path=/; HttpOnly; SameSite=Lax", note)
    life = await db.fetchval('SELECT "expiresAt" - "createdAt" FROM "session"')
    assert life.total_seconds() == 24 * 60 * 60


async def test_over_https_the_cookie_is_secure_and_says_so_in_its_name(client, register):
    body = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
    response = await client.post("https://testserver/api/auth/sign-up/email", json=body)
    cookie = set_cookies(response)[0]
    assert cookie.startswith("__Secure-better-auth.session_token=")
    assert cookie.endswith("; Path=/; HttpOnly; Secure; SameSite=Lax")
    headers = {"Cookie": cookie_pair(response)}
    client.cookies.clear()
    assert (await client.get("/api/probe", headers=headers)).status_code == 200


async def test_unknown_fields_are_ignored_and_set_nothing(register, db):
    response = await register(emailVerified=True, role="admin", id="mine")
    assert response.status_code == 200
    assert response.json()["user"]["emailVerified"] is False
    assert response.json()["user"]["id"] != "mine"


@pytest.mark.parametrize("url", ["/dashboard?tab=1", "http://testserver/welcome", "http://localhost:3000/welcome"])
async def test_a_callback_url_is_handed_back_for_the_client_to_follow(client, register, url):
    await register()
    body = {"email": "ada@example.com", "password": PASSWORD, "callbackURL": url}
    response = await client.post("/api/auth/sign-in/email", json=body)
    assert (response.json()["redirect"], response.json()["url"]) == (True, url)
    assert response.headers["location"] == url


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/%2fevil.example", "javascript:alert(1)", "x"],
)
async def test_a_callback_url_elsewhere_is_refused(client, register, url):
    await register()
    body = {"email": "ada@example.com", "password": PASSWORD, "callbackURL": url}
    response = await client.post("/api/auth/sign-in/email", json=body)
    assert (response.status_code, response.json()["code"]) == (403, "INVALID_CALLBACK_URL")

"""The same request to the real better-auth server and to ours: status, body, cookies and headers agree.

What differs on purpose is listed in docs/accounts.md and tested with the accounts.
"""

import base64
import hmac
import json
import re
from urllib.parse import quote

import pytest

from tandem.accounts import dependencies
from tests.accounts.service import PASSWORD, Client, accounts_app, connect
from tests.accounts.test_passwords import VECTORS
from tests.builders import SECRET, text_id

pytestmark = pytest.mark.timeout(600)  # the first of them installs the packages
BEARER = {"Authorization": "Bearer {token}"}
COOKIE = {"Cookie": "{cookie}"}
NOT_REMEMBERED = {"Cookie": "{cookie}; {note}", "Origin": "{origin}"}
SIGN_IN = {"email": "{email}", "password": PASSWORD}
SIGN_UP = {"name": "Eve", "email": "new-{email}", "password": PASSWORD}
CHANGE = {"currentPassword": PASSWORD, "newPassword": "another secret"}

CASES = [
    ("sign-up/email", SIGN_UP, {}),
    ("sign-up/email", SIGN_UP | {"rememberMe": False, "image": "https://example.com/a.png", "role": "admin"}, {}),
    ("sign-up/email", SIGN_UP | {"email": "{email}"}, {}),
    ("sign-up/email", SIGN_UP | {"email": "nope"}, {}),
    ("sign-up/email", SIGN_UP | {"password": "short"}, {}),
    ("sign-up/email", SIGN_UP | {"password": "x" * 129}, {}),
    ("sign-up/email", SIGN_UP, {"Origin": "https://evil.example"}),
    ("sign-up/email", SIGN_UP, {"Origin": "{origin}"}),
    ("sign-in/email", SIGN_IN, {}),
    ("sign-in/email", SIGN_IN | {"rememberMe": False}, {}),
    ("sign-in/email", SIGN_IN, NOT_REMEMBERED),
    ("sign-in/email", SIGN_IN | {"rememberMe": False}, NOT_REMEMBERED),
    ("sign-in/email", SIGN_IN | {"callbackURL": "/dashboard"}, {}),
    ("sign-in/email", SIGN_IN | {"callbackURL": "https://evil.example"}, {}),
    ("sign-in/email", SIGN_IN | {"callbackURL": "//evil.example"}, {}),
    ("sign-in/email", SIGN_IN | {"password": "wrong password"}, {}),
    ("sign-in/email", SIGN_IN | {"email": "nobody@example.com"}, {}),
    ("sign-in/email", SIGN_IN | {"email": "nope"}, {}),
    ("sign-in/email", SIGN_IN | {"password": "x" * 129}, {}),
    ("sign-in/email", SIGN_IN, {"Cookie": "theme=dark"}),
    ("sign-in/email", SIGN_IN, {"Sec-Fetch-Mode": "cors"}),
    ("sign-in/email", SIGN_IN, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
    ("sign-in/email", SIGN_IN, {"Origin": "https://evil.example"}),
    ("sign-in/email", SIGN_IN, {"Origin": "null"}),
    ("get-session", None, {}),
    ("get-session", None, BEARER),
    ("get-session", None, {"Authorization": "Bearer {signed}"}),
    ("get-session", None, {"Authorization": "bearer {token}"}),
    ("get-session", None, COOKIE),
    ("get-session", None, {"Authorization": "Bearer 00000000000000000000000000000000"}),
    ("get-session", None, {"Cookie": "better-auth.session_token={token}.wrong"}),
    ("list-sessions", None, {}),
    ("list-sessions", None, BEARER),
    ("revoke-session", {"token": "{token}"}, {}),
    ("revoke-session", {"token": "{token}"}, BEARER),
    ("revoke-session", {"token": "nobody's"}, BEARER),
    ("revoke-other-sessions", {}, BEARER),
    ("revoke-other-sessions", {}, {}),
    ("revoke-sessions", {}, BEARER),
    ("update-user", {"email": "x@example.com"}, BEARER),
    ("update-user", {"name": "Z"}, COOKIE),
    ("update-user", {"name": "Z"}, COOKIE | {"Origin": "null"}),
    ("update-user", {"name": "Z"}, COOKIE | {"Origin": "https://evil.example"}),
    ("update-user", {"name": "Z"}, BEARER | {"Cookie": "theme=dark"}),
    ("change-password", CHANGE, {}),
    ("change-password", CHANGE, BEARER),
    ("change-password", CHANGE | {"revokeOtherSessions": True}, BEARER),
    ("change-password", CHANGE | {"revokeOtherSessions": True}, COOKIE | {"Origin": "{origin}"}),
    ("change-password", CHANGE | {"revokeOtherSessions": True}, NOT_REMEMBERED),
    ("change-password", CHANGE | {"currentPassword": "wrong password"}, BEARER),
    ("change-password", CHANGE | {"newPassword": "short"}, BEARER),
    ("change-password", CHANGE | {"newPassword": "x" * 129}, BEARER),
    ("sign-out", {}, BEARER),
    ("sign-out", {}, COOKIE | {"Origin": "{origin}"}),
    ("sign-out", {}, COOKIE),
    ("sign-out", {}, {}),
    ("delete-user", {"password": PASSWORD}, BEARER),
    ("delete-user", {"password": "wrong password"}, BEARER),
    ("delete-user", {"password": PASSWORD}, {}),
    ("ok", None, {}),
]
HEADERS = ("content-type", "location", "pragma", "set-auth-token")


@pytest.fixture
async def db(database_url):
    connection = await connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def app(settings, monkeypatch):
    for limit in (dependencies.PER_ADDRESS, dependencies.PER_EMAIL, dependencies.PER_USER):
        monkeypatch.setattr(limit, "amount", 1_000_000)
    return accounts_app(settings.model_copy(update={"session_tokens": "plain"}))


async def person(db):
    """A user with a session, for both servers to know, without the cost of hashing."""
    user_id, token = text_id(), text_id()
    email = f"{user_id.lower()}@example.com"
    await db.execute(
        'INSERT INTO "user" (id, name, email, "emailVerified") VALUES ($1, $2, $3, false)', user_id, "Ada", email
    )
    await db.execute(
        'INSERT INTO "account" (id, "accountId", "providerId", "userId", password, "updatedAt")'
        " VALUES ($1, $2, 'credential', $2, $3, now())",
        *(text_id(), user_id, VECTORS[PASSWORD]),
    )
    await db.execute(
        'INSERT INTO "session" (id, "userId", token, "expiresAt", "updatedAt", "ipAddress", "userAgent")'
        " VALUES ($1, $2, $3, now() + interval '7 days', now(), '', '')",
        *(text_id(), user_id, token),
    )
    return email, token


async def ask(client, db, path, body, headers):
    """The answer to a user who has just signed up, without what is random."""
    email, token = await person(db)
    signature, true = signature_of(token), signature_of("true")
    known = {
        "{email}": email,
        "{token}": token,
        "{signed}": f"{token}.{signature}",
        "{cookie}": f"better-auth.session_token={quote(f'{token}.{signature}', safe='')}",
        "{note}": f"better-auth.dont_remember={quote(f'true.{true}', safe='')}",
        "{origin}": str(client.base_url).rstrip("/"),
    }

    def filled(value):
        text = json.dumps(value)
        for name, known_value in known.items():
            text = text.replace(name, known_value)
        return json.loads(text)

    if body is None:
        response = await client.get(f"/api/auth/{path}", headers=filled(headers))
    else:
        response = await client.post(f"/api/auth/{path}", json=filled(body), headers=filled(headers))
    client.cookies.clear()
    return masked(response)


def signature_of(value):
    return base64.b64encode(hmac.digest(SECRET.encode(), value.encode(), "sha256")).decode()


def masked(response):
    shape = {
        "status": response.status_code,
        "body": shapes(response.json()),
        "cookies": sorted(mask(cookie) for cookie in response.headers.get_list("set-cookie")),
    }
    return shape | {name: mask(response.headers.get(name, "")) for name in HEADERS}


def shapes(value):
    if isinstance(value, dict):
        return {key: shapes(inner) for key, inner in value.items() if key not in {"ipAddress"}}
    if isinstance(value, list):
        return [shapes(inner) for inner in value]
    return mask(value) if isinstance(value, str) else value


def mask(text):
    text = re.sub(r"\b([A-Za-z0-9]{32}|true)\.[A-Za-z0-9+/%=]+", r"\1.<signature>", text)
    text = re.sub(r"\b[A-Za-z0-9]{32}\b", "<id>", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<time>", text)
    return re.sub(r"\S+@example.com", "<email>", text)


async def test_both_servers_answer_alike(better_auth, client, db):
    differences = []
    async with Client(base_url=better_auth["url"]) as theirs:
        for path, body, headers in CASES:
            real, ours = await ask(theirs, db, path, body, headers), await ask(client, db, path, body, headers)
            differences += [(path, body, headers, key, real[key], ours[key]) for key in real if real[key] != ours[key]]
    assert differences == [], "\n".join(map(str, differences))

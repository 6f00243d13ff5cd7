"""The real better-auth server on our tables: its sessions are ours, its users are ours, and the other way round."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.accounts.service import PASSWORD, Client, accounts_app, bearer, cookie_pair

pytestmark = pytest.mark.timeout(600)  # the first of them installs the packages
ADA = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}


@pytest.fixture
async def theirs(better_auth) -> AsyncIterator[Client]:
    async with Client(base_url=better_auth["url"]) as client:
        yield client


@pytest.fixture
def app(settings):
    """Ours beside theirs: same database, same secret, sessions made there."""
    return accounts_app(settings.model_copy(update={"session_tokens": "plain", "auth_builtin": False}))


@pytest.fixture
async def built_in(settings) -> AsyncIterator[Client]:
    """Ours making sessions itself, stored as theirs are."""
    app = accounts_app(settings.model_copy(update={"session_tokens": "plain"}))
    async with (
        app.router.lifespan_context(app),
        Client(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client,
    ):
        yield client


async def post(client, path, body, headers=None):
    response = await client.post(f"/api/auth/{path}", json=body, headers=headers)
    client.cookies.clear()
    return response


def test_our_migration_leaves_better_auth_nothing_to_do(better_auth):
    assert better_auth["toBeCreated"] == []
    assert better_auth["toBeAdded"] == []


async def test_a_session_of_the_real_server_is_a_bearer_and_a_cookie_here(theirs, client):
    assert (await post(theirs, "sign-up/email", ADA)).status_code == 200
    signed_in = await post(theirs, "sign-in/email", ADA)
    user_id = signed_in.json()["user"]["id"]
    for headers in (
        bearer(signed_in),
        {"Authorization": f"Bearer {signed_in.headers['set-auth-token']}"},
        {"Cookie": cookie_pair(signed_in)},
    ):
        response = await client.get("/api/probe", headers=headers)
        assert (response.status_code, response.json()["user_id"]) == (200, user_id)
    written = await client.post("/api/probe", headers={"Cookie": cookie_pair(signed_in), "Origin": "http://testserver"})
    assert written.status_code == 200


async def test_a_session_ended_there_is_ended_here(theirs, client):
    signed_up = await post(theirs, "sign-up/email", ADA)
    await post(theirs, "sign-out", {}, bearer(signed_up))
    assert (await client.get("/api/probe", headers=bearer(signed_up))).status_code == 401


async def test_a_user_of_ours_signs_in_there_and_our_session_is_theirs(theirs, built_in):
    signed_up = await post(built_in, "sign-up/email", ADA)
    signed_in = await post(theirs, "sign-in/email", ADA)
    assert signed_in.json()["user"] == signed_up.json()["user"]
    for headers in (bearer(signed_up), {"Cookie": cookie_pair(signed_up)}):
        session = (await theirs.get("/api/auth/get-session", headers=headers)).json()
        assert session["user"] == signed_up.json()["user"]
        assert session["session"]["token"] == signed_up.json()["token"]


async def test_a_user_of_theirs_signs_in_here_and_our_deletion_is_complete(theirs, built_in):
    await post(theirs, "sign-up/email", ADA)
    signed_in = await post(built_in, "sign-in/email", ADA)
    assert signed_in.status_code == 200
    assert (await post(built_in, "delete-user", {"password": PASSWORD}, bearer(signed_in))).status_code == 200
    assert (await post(theirs, "sign-in/email", ADA)).json()["code"] == "INVALID_EMAIL_OR_PASSWORD"


async def test_a_password_changed_on_one_side_counts_on_the_other(theirs, built_in):
    signed_up = await post(theirs, "sign-up/email", ADA)
    change = {"currentPassword": PASSWORD, "newPassword": "pässwörd-Ⅷ"}
    assert (await post(built_in, "change-password", change, bearer(signed_up))).status_code == 200
    assert (await post(theirs, "sign-in/email", ADA)).status_code == 401
    assert (await post(theirs, "sign-in/email", ADA | {"password": "pässwörd-Ⅷ"})).status_code == 200

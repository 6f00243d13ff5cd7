"""AUTH_BUILTIN=false: somebody else signs users in, and this service takes their sessions."""

import pytest

from tests.accounts.service import accounts_app


@pytest.fixture
def app(settings):
    return accounts_app(settings.model_copy(update={"auth_builtin": False}))


@pytest.mark.parametrize("path", ["sign-in/email", "sign-up/email", "sign-out", "get-session", "ok"])
async def test_the_accounts_routes_are_not_there(client, path):
    for method in ("GET", "POST"):
        response = await client.request(method, f"/api/auth/{path}")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_sessions_and_api_tokens_work_as_ever(client, sign_up):
    user = await sign_up()
    assert (await client.get("/api/probe", headers=user.headers)).status_code == 200
    body = {"name": "Backup", "scopes": ["tasks:read"]}
    created = await client.post("/api/tokens", json=body, headers=user.headers)
    headers = {"Authorization": f"Bearer {created.json()['token']}"}
    assert (await client.get("/api/probe", headers=headers)).json()["user_id"] == user.id

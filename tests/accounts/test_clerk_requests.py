"""Where a request carries its Clerk token, and when a cookie may act."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request

from tandem.accounts.clerk.verify import Clerk
from tandem.core.app import create_app
from tandem.core.settings import Settings
from tests.clerk_server import ORIGIN, Answer, ClerkServer


@pytest.fixture(scope="module")
def server() -> Iterator[ClerkServer]:
    with ClerkServer() as server:
        yield server


@pytest.fixture
def app() -> FastAPI:
    """A service of one route on the whole frame; it needs no database."""
    router = APIRouter()

    @router.api_route("/api/whoami", methods=["GET", "POST", "DELETE"])
    async def whoami(request: Request) -> dict[str, Any]:
        principal = await request.app.state.clerk.principal(request)
        return {"user_id": principal.user_id, "logged": request.scope["tandem.user_id"]}

    settings = Settings(_env_file=None, environment="test", cors_origins=ORIGIN)
    return create_app(settings, title="Clerk", description="Clerk alone", routers=[router])


@pytest.fixture
async def client(app: FastAPI, server: ClerkServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        Clerk(server.domain, [ORIGIN], deployed=False) as app.state.clerk,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client,
    ):
        yield client


async def whoami(client, method="GET", **headers):
    response = await client.request(method, "/api/whoami", headers={k.replace("_", "-"): v for k, v in headers.items()})
    return response.status_code, response.json().get("user_id") or response.json()["code"]


async def test_the_token_comes_as_bearer_or_in_the_cookie(server, client):
    token = server.token()
    for headers in (
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"bearer  {token} "},
        {"Cookie": f"__session={token}"},
        {"Cookie": f"a=1; __session=; __session={token};b=2", "Authorization": "Basic YTpi"},
    ):
        assert await whoami(client, **headers) == (200, "user_ada"), headers
    assert (await client.get("/api/whoami", headers=server.headers())).json()["logged"] == "user_ada"


async def test_a_wrong_bearer_is_not_rescued_by_a_cookie(server, client):
    cookie = f"__session={server.token()}"
    for bearer in (
        "Bearer ",
        "Bearer x",
        "Bearer tdm_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "Bearer \xff.\xff.\xff".encode("latin-1"),
    ):
        assert await whoami(client, Cookie=cookie, Authorization=bearer) == (401, "unauthorized"), bearer


async def test_without_a_token_the_answer_is_a_401_that_names_the_scheme(client):
    response = await client.get("/api/whoami", headers={"Cookie": "session=x; __session_=y; x__session=z"})
    assert (response.status_code, response.json()["detail"]) == (401, "Sign in first")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_refusal_says_what_to_do_and_repeats_nothing(server, client):
    response = await client.get("/api/whoami", headers=server.headers(exp=1))
    assert response.status_code == 401
    assert "getToken()" in response.json()["detail"]
    assert server.kid not in response.text
    assert "user_ada" not in response.text


async def test_a_cookie_acts_only_from_a_trusted_origin(server, client):
    cookie = f"__session={server.token()}"
    for origin in (ORIGIN, "http://testserver"):
        assert await whoami(client, "POST", Cookie=cookie, Origin=origin) == (200, "user_ada")
    assert await whoami(client, "DELETE", Cookie=cookie, Referer=f"{ORIGIN}/page") == (200, "user_ada")
    for elsewhere in ({}, {"Origin": "null"}, {"Origin": "https://evil.test"}, {"Referer": "https://evil.test/"}):
        for method in ("POST", "DELETE"):
            assert await whoami(client, method, Cookie=cookie, **elsewhere) == (403, "invalid_origin"), elsewhere
    assert await whoami(client, "GET", Cookie=cookie, Origin="https://evil.test") == (200, "user_ada")


async def test_a_bearer_acts_from_anywhere(server, client):
    bearer = server.headers()["Authorization"]
    assert await whoami(client, "POST", Authorization=bearer, Origin="https://evil.test") == (200, "user_ada")


async def test_when_clerk_is_away_the_answer_is_a_503_that_says_when_to_come_back(app, client):
    with ClerkServer() as server:
        server.answer = Answer(500)
        async with Clerk(server.domain, [ORIGIN], deployed=False) as app.state.clerk:
            response = await client.get("/api/whoami", headers=server.headers())
    assert (response.status_code, response.json()["code"]) == (503, "clerk_unavailable")
    assert 1 <= int(response.headers["retry-after"]) <= 10


def test_whoever_does_not_use_clerk_does_not_load_what_it_needs():
    program = "import sys, tandem.accounts.clerk.verify; print({'jwt', 'cryptography', 'httpx2'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"
    )

"""What every request meets, in this process where that tells the truth and behind a real server where it matters."""

import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tandem.core.proxies import TrustedProxies
from tests.core import edge_service
from tests.core.serving import GUNICORN, Server, serving

ORIGIN = "https://app.netlify.app"
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with edge_service.calling() as client:
        yield client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), ENVIRONMENT="production", CORS_ORIGINS=ORIGIN) as server:
        yield server


# ---- request id


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 128, "0f8fad5b-d9cb-469f-a165-70867728950e"])
async def test_a_request_id_of_the_client_is_kept(client: httpx2.AsyncClient, given: str) -> None:
    response = await client.get("/api/things", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "a\tb", "é", "{}", "a\\nb"])
async def test_a_request_id_that_could_spoil_a_log_is_replaced(client: httpx2.AsyncClient, given: str) -> None:
    response = await client.get("/api/things", headers=[(b"x-request-id", given.encode())])
    made = response.headers["x-request-id"]
    assert made != given
    assert len(made) == 32
    assert set(made) <= set("0123456789abcdef")


async def test_requests_without_an_id_get_different_ones(client: httpx2.AsyncClient) -> None:
    made = {(await client.get("/api/things")).headers["x-request-id"] for _ in range(20)}
    assert len(made) == 20


# ---- headers on every kind of answer


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/api/things", None, 200),
        ("POST", "/api/things", b"{", 400),
        ("GET", "/api/nothing", None, 404),
        ("PATCH", "/api/things", None, 405),
        ("POST", "/api/things", b'"' + b"x" * 1_000_001 + b'"', 413),
        ("GET", "/api/things/no-uuid", None, 422),
        ("GET", "/api/things/limited", None, 429),
        ("GET", "/api/things/crash", None, 500),
        ("GET", "/api/things/other-shape", None, 400),
        ("GET", "/health/live", None, 200),
    ],
)
async def test_every_answer_carries_cors_security_and_request_id(
    client: httpx2.AsyncClient, method: str, path: str, content: bytes | None, status: int
) -> None:
    headers = {"Origin": ORIGIN, "X-Request-ID": "mine", "Content-Type": "application/json"}
    response = await client.request(method, path, content=content, headers=headers)
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-credentials"] == "true"
    assert "Origin" in response.headers["vary"]
    assert response.headers["x-request-id"] == "mine"
    assert {name: response.headers[name] for name in SECURITY} == SECURITY
    if status >= 400 and "other-shape" not in path:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == "mine"
        assert response.json()["status"] == status


async def test_browsers_may_read_our_headers(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/things", headers={"Origin": ORIGIN})
    exposed = {name.strip().lower() for name in response.headers["access-control-expose-headers"].split(",")}
    assert exposed >= {"x-total-count", "x-page-number", "ratelimit", "ratelimit-policy", "retry-after", "etag"}
    assert exposed >= {"location", "x-request-id", "set-auth-token", "x-ratelimit-limit", "x-ratelimit-reset"}


async def test_a_strange_origin_is_allowed_nothing(client: httpx2.AsyncClient) -> None:
    for origin in ("https://evil.example", "https://app.netlify.app.evil.example", "null", "http://app.netlify.app"):
        response = await client.get("/api/things", headers={"Origin": origin})
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_preflight_of_our_front_end_passes(client: httpx2.AsyncClient, method: str) -> None:
    asked = "authorization,content-type,if-match,if-none-match,idempotency-key,last-event-id,x-request-id"
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": asked,
    }
    response = await client.options("/api/things", headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "x-request-id" in response.headers


@pytest.mark.parametrize(
    ("origin", "asked", "detail"),
    [
        ("https://evil.example", {}, "Disallowed CORS origin"),
        (ORIGIN, {"Access-Control-Request-Method": "BREW"}, "Disallowed CORS method"),
        (ORIGIN, {"Access-Control-Request-Headers": "x-strange"}, "Disallowed CORS headers"),
    ],
)
async def test_a_refused_preflight_is_a_problem(
    client: httpx2.AsyncClient, origin: str, asked: dict[str, str], detail: str
) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET", "X-Request-ID": "mine"} | asked
    response = await client.options("/api/things", headers=headers)
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["code"], problem["detail"]) == (400, "cors_refused", detail)
    assert problem["request_id"] == response.headers["x-request-id"] == "mine"
    assert response.headers.get("access-control-allow-origin") == (ORIGIN if origin == ORIGIN else None)
    assert "Access-Control-Request-Method" in response.headers["vary"]


async def test_caches_are_told_that_answers_differ_by_origin(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/things")).headers["vary"] == "Origin"


async def test_api_answers_are_not_stored_unless_the_route_says_how(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/things")).headers["cache-control"] == "no-store"
    assert (await client.get("/api/things/cached")).headers["cache-control"] == "max-age=60"
    assert "cache-control" not in (await client.get("/docs")).headers


async def test_headers_set_by_dependencies_reach_errors_too(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/things/limited")
    assert response.headers["x-ratelimit-limit"] == "100"
    assert response.headers["retry-after"] == "7"


async def test_transport_security_is_demanded_in_deployments_only(client: httpx2.AsyncClient) -> None:
    assert "strict-transport-security" not in (await client.get("/api/things")).headers
    async with edge_service.calling(environment="staging") as deployed:
        assert "max-age=31536000" in (await deployed.get("/api/things")).headers["strict-transport-security"]


# ---- paths and methods


@pytest.mark.parametrize("path", ["/api/things/", "/api/things//"])
async def test_a_trailing_slash_is_the_same_address(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(path, params={"q": "x"})).json() == {"q": "x", "limit": 10}
    assert (await client.post(path, json={"title": "kept"})).json()["title"] == "kept"


async def test_a_405_names_every_method_of_the_address(client: httpx2.AsyncClient) -> None:
    assert (await client.delete("/api/things")).headers["allow"] == "GET, HEAD, POST"
    assert (await client.put("/api/things/17/name/x", json={})).status_code == 200
    assert (await client.get("/api/things/17/name/x")).headers["allow"] == "PUT"


async def test_head_answers_as_get_does(client: httpx2.AsyncClient) -> None:
    assert (await client.head("/health/live")).status_code == 200


async def test_a_literal_path_wins_over_a_parameter(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/things/who")).json()["client"] == "127.0.0.1"
    assert (await client.get("/api/things/0f8fad5b-d9cb-469f-a165-70867728950e")).status_code == 200


async def test_an_exception_with_its_own_handler_keeps_its_shape(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/things/other-shape")
    assert (response.status_code, response.json()) == (400, {"message": "no", "code": "OTHER"})


# ---- body limit


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b'{"title": "\\u0000"}', 422)])
async def test_a_flood_of_bodies_that_no_route_sees_is_stopped(body: bytes, status: int) -> None:
    async with edge_service.calling(rate_limit="3/minute") as client:
        post = partial(client.post, "/api/things", content=body, headers={"content-type": "application/json"})
        assert [(await post()).status_code for _ in range(4)] == [status] * 3 + [429]
        last = await post()
    assert last.json()["code"] == "rate_limited"
    assert int(last.headers["retry-after"]) >= 1


async def test_an_address_may_accept_more(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/api/things/import", content=b"x" * 2_000_000)).json() == {"bytes": 2_000_000}
    assert (await client.post("/api/things/import", content=b"x" * 3_000_001)).status_code == 413


async def test_the_limit_is_inclusive(client: httpx2.AsyncClient) -> None:
    body = b'{"title": "a"}'.ljust(1_000_000)
    headers = {"content-type": "application/json"}
    assert (await client.post("/api/things", content=body, headers=headers)).status_code == 201
    assert (await client.post("/api/things", content=body + b" ", headers=headers)).status_code == 413


async def test_a_streamed_body_is_counted(client: httpx2.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 100_000

    for path, most in (("/api/things", 12), ("/api/things/import", 32)):
        sent = 0
        response = await client.post(path, content=endless(), headers={"content-type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (413, "content_too_large")
        assert sent <= most


def test_too_large_a_body_gets_its_413_over_a_real_connection(server: Server) -> None:
    head = b"POST /api/things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    announced = server.raw(head + b"Content-Length: 1000001\r\n\r\n")
    assert b"413" in announced.split(b"\r\n")[0]
    assert b"connection: close" in announced.lower()
    absurd = server.raw(head + b"Content-Length: 9999999999999999\r\n\r\n")
    assert b"413" in absurd.split(b"\r\n")[0]
    chunk = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    chunked = server.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 11)
    assert b"413" in chunked.split(b"\r\n")[0]


def test_a_client_that_sends_it_all_first_reads_its_413(server: Server) -> None:
    response = httpx2.post(f"{server.url}/api/things", content=b"x" * 8_000_000)
    assert response.status_code == 413


def test_a_chunked_body_over_a_real_connection_is_read(server: Server) -> None:
    parts = iter([b'{"title":', b' "in parts"}'])
    response = httpx2.post(f"{server.url}/api/things", content=parts, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["title"]) == (201, "in parts")


# ---- failures


def test_a_crash_is_answered_and_logged_once_without_secrets(server: Server) -> None:
    response = httpx2.get(f"{server.url}/api/things/crash", headers={"X-Request-ID": "crash-1"})
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "ZeroDivision" not in response.text
    lines = [json.loads(line) for line in server.wait_for_output('"status": 500').splitlines()]
    ours = [line for line in lines if line.get("request_id") == "crash-1"]
    assert [line["event"] for line in ours] == ["unhandled_exception", "request"]
    assert "ZeroDivisionError" in ours[0]["exception"]
    assert sum("ZeroDivisionError: token" in line.get("exception", "") for line in lines) == 1
    assert "hunter22" not in server.output
    assert "abcdef123456" not in server.output


def test_a_response_that_breaks_midway_closes_the_connection(server: Server) -> None:
    began = time.monotonic()
    answer = server.raw(b"GET /api/things/crash-midway HTTP/1.1\r\nHost: x\r\nX-Request-ID: midway\r\n\r\n")
    assert time.monotonic() - began < 2.5
    assert b"the beginning" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    lines = [json.loads(line) for line in server.wait_for_output("response_broken").splitlines()]
    assert [line["level"] for line in lines if line["event"] == "response_broken"] == ["error"]


def test_a_client_that_leaves_is_no_error(server: Server) -> None:
    before = server.output.count('"level": "error"')
    with server.connect() as connection:
        connection.sendall(
            b"POST /api/things HTTP/1.1\r\nHost: x\r\nX-Request-ID: left\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        time.sleep(0.1)
    output = server.wait_for_output('"request_id": "left"')
    line = next(json.loads(x) for x in output.splitlines() if '"request_id": "left"' in x)
    assert (line["event"], line["level"], line["status"]) == ("request", "info", 499)
    assert output.count('"level": "error"') == before


def test_without_a_database_the_service_starts_and_says_503(server: Server) -> None:
    response = httpx2.get(f"{server.url}/api/things/database")
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.headers["retry-after"] == "2"
    assert httpx2.get(f"{server.url}/health").status_code == 503
    assert httpx2.get(f"{server.url}/health/live").status_code == 200
    assert "pool-password-1" not in server.output


@pytest.mark.parametrize(
    "line",
    [
        b"GET /\xff\xfe HTTP/1.1",
        b"GET /api/things/%00 HTTP/1.1",
        b"GET /api/things?q=\xff HTTP/1.1",
        b"GET //api//things HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET http://other/api/things HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"BREW /api/things HTTP/1.1",
        b"GET /api/things HTTP/1.1\r\nContent-Length: -1",
        b"GET /api/things HTTP/1.1\r\nX-Request-ID: a\x00b",
        b"GET /api/things HTTP/1.1\r\nAuthorization: Bearer \xff\xfe",
        b"GET /api/things HTTP/1.1\r\nCookie: \xff=\xff; ;;=",
        b"GET /api/things HTTP/1.1\r\nX-Forwarded-For: \xff, ::::, 999.1.1.1",
    ],
)
def test_no_odd_request_line_or_header_is_a_5xx(server: Server, line: bytes) -> None:
    answer = server.raw(line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 "), answer
    assert answer[9:10] in b"234"


def test_the_access_log_has_the_path_and_not_the_query(server: Server) -> None:
    httpx2.get(f"{server.url}/api/things?q=private-words", headers={"X-Request-ID": "logged"})
    output = server.wait_for_output('"request_id": "logged"')
    line = next(json.loads(x) for x in output.splitlines() if '"request_id": "logged"' in x)
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/things", 200)
    assert line["client"] == "127.0.0.1"
    assert 0 < line["duration_ms"] < 10_000
    assert "private-words" not in output


def test_every_line_of_a_deployment_is_json(server: Server) -> None:
    assert [line for line in server.output.splitlines() if not line.startswith("{")] == []
    lines = [json.loads(line) for line in server.output.splitlines()]
    assert {"event", "level", "timestamp"} <= set.intersection(*(set(line) for line in lines))
    assert any(line.get("logger") == "uvicorn.error" for line in lines)
    assert not any(line.get("logger") == "uvicorn.access" for line in lines)


# ---- who called


def _who(server: Server, **headers: str) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    who: dict[str, str] = httpx2.get(f"{server.url}/api/things/who", headers=named).json()
    return who


def test_a_forged_address_of_an_untrusted_peer_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, FORWARDED_ALLOW_IPS="10.0.0.0/8") as server:
        assert _who(server, x_forwarded_for="1.2.3.4", x_forwarded_proto="https") == {
            "client": "127.0.0.1",
            "scheme": "http",
        }


@pytest.mark.parametrize("command", [None, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_a_trusted_proxy_is_believed_about_the_last_address_only(tmp_path: Path, command: list[str] | None) -> None:
    allowed = "127.0.0.1,10.0.0.0/8"
    with serving(tmp_path, FORWARDED_ALLOW_IPS=allowed, **({"command": command} if command else {})) as server:
        assert _who(server, x_forwarded_for="203.0.113.9", x_forwarded_proto="https") == {
            "client": "203.0.113.9",
            "scheme": "https",
        }
        assert _who(server, x_forwarded_for="6.6.6.6, 203.0.113.9, 10.1.2.3")["client"] == "203.0.113.9"
        assert _who(server, x_forwarded_for="6.6.6.6, nonsense, 203.0.113.9:4711")["client"] == "203.0.113.9"
        assert _who(server, x_forwarded_for="6.6.6.6, 2001:db8::1")["client"] == "2001:db8::1"
        assert _who(server, x_forwarded_for="203.0.113.9", x_forwarded_proto="gopher")["scheme"] == "http"


def test_a_star_believes_the_peer_and_still_not_what_the_client_forged(tmp_path: Path) -> None:
    with serving(tmp_path, FORWARDED_ALLOW_IPS="*", ENVIRONMENT="production") as server:
        assert _who(server, x_forwarded_for="6.6.6.6, 203.0.113.9")["client"] == "203.0.113.9"
        assert "any_peer_is_a_proxy" in server.output


async def test_by_default_only_this_machine_is_a_proxy() -> None:
    for peer, expected in (("127.0.0.1", "203.0.113.9"), ("198.51.100.7", "198.51.100.7")):
        transport = httpx2.ASGITransport(app=edge_service.build(), client=(peer, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            response = await client.get("/api/things/who", headers={"X-Forwarded-For": "203.0.113.9"})
        assert response.json()["client"] == expected


@pytest.mark.parametrize(
    ("trusted", "chain", "expected"),
    [
        ("10.0.0.0/8", "1.1.1.1, 2.2.2.2", "2.2.2.2"),
        ("10.0.0.0/8", "1.1.1.1, 2.2.2.2, 10.0.0.1, 10.9.9.9", "2.2.2.2"),
        ("10.0.0.0/8, 2.2.2.2", "1.1.1.1,2.2.2.2,10.0.0.1", "1.1.1.1"),
        ("10.0.0.0/8", "10.0.0.7, 10.0.0.1", "10.0.0.7"),
        ("10.0.0.0/8", "garbage, , unknown", None),
        ("10.0.0.0/8", "", None),
        ("10.0.0.0/8", "1.1.1.1, garbage", "1.1.1.1"),
        ("10.0.0.0/8", "[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::/32", "1.1.1.1, 2001:DB8::5", "1.1.1.1"),
        ("10.0.0.1/8", "1.1.1.1, ::ffff:10.2.3.4", "1.1.1.1"),
        ("*", "1.1.1.1, 2.2.2.2", "2.2.2.2"),
        ("nonsense, 10.0.0.0/99", "1.1.1.1, 10.0.0.1", "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(trusted: str, chain: str, expected: str | None) -> None:
    assert TrustedProxies(trusted).client(chain) == expected


def test_a_peer_with_an_ipv4_address_in_ipv6_clothes_is_recognised() -> None:
    assert TrustedProxies("127.0.0.1").trusts("::ffff:127.0.0.1")
    assert not TrustedProxies("127.0.0.1").trusts("127.0.0.2")
    assert not TrustedProxies("").trusts("127.0.0.1")
    assert not TrustedProxies("*").trusts("not an address")


def test_the_server_survives_a_client_that_says_nothing(server: Server) -> None:
    idle = socket.create_connection(("127.0.0.1", server.port))
    assert httpx2.get(f"{server.url}/health/live").status_code == 200
    idle.close()

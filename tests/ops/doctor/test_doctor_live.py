"""Real instances looked at from outside: a good one is green, and each thing that may be wrong is seen."""

import asyncio
import datetime
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tandem.ops.doctor.live import accounts, edge
from tandem.ops.doctor.live.check import Visit, examine_live
from tandem.ops.doctor.result import Result, Status
from tandem.ops.services import SERVICES
from tests.ops.doctor.environments import GOOD, red, statuses
from tests.ops.test_cli import fetch
from tests.servers import RunningServer, clean_environment, free_port

MOMENTUM, MARKET_AI = SERVICES["momentum"], SERVICES["market-ai"]
NOBODY_IS_A_PROXY = {"FORWARDED_ALLOW_IPS": "10.0.0.0/8"}
TOKEN = {"HEALTH_TOKEN": "a-token-for-the-doctor"}


@contextmanager
def served(service: str, url: str, tmp_path: Path, **changes: str) -> Iterator[RunningServer]:
    port = free_port()
    environment = clean_environment(**GOOD[service] | {"DATABASE_URL": url} | NOBODY_IS_A_PROXY | TOKEN | changes)
    command = [sys.executable, "-m", "tandem", "serve", service, "--port", str(port)]
    with RunningServer(command, port, environment, tmp_path) as server:
        yield server


def test_a_good_instance_is_green_and_nothing_is_left_behind(database_url: str, tmp_path: Path) -> None:
    with served("momentum", database_url, tmp_path) as server:
        visit = Visit(MOMENTUM, server.url, origin="https://todo.acme.dev", health_token=TOKEN["HEALTH_TOKEN"])
        found = examine_live(visit)
        assert red(found) == []
        assert {check: status for check, status in statuses(found).items() if status is not Status.OK} == {
            "live.tls": Status.INFO
        }
    assert fetch(database_url, 'SELECT count(*) FROM "user"')[0][0] == 0
    assert fetch(database_url, "SELECT count(*) FROM tasks")[0][0] == 0


def test_a_development_instance_is_red_line_by_line(database_url: str, tmp_path: Path) -> None:
    loose = {"ENVIRONMENT": "development", "FORWARDED_ALLOW_IPS": "*", "CORS_ORIGINS": "*"}
    fetch(database_url, "UPDATE alembic_version SET version_num = '0002_momentum'")
    with served("momentum", database_url, tmp_path, **loose) as server:
        found = red(examine_live(Visit(MOMENTUM, server.url, read_only=True)))
        assert [line.split(":")[0] for line in found] == ["live.docs", "live.cors", "live.headers", "live.forwarded"]
        other = red(examine_live(Visit(MARKET_AI, server.url, read_only=True)))
        assert "momentum-todo-api answers, not marketing-ai-api" in other[0]
        unhealthy = red(examine_live(Visit(MOMENTUM, server.url, health_token="any", read_only=True)))
        assert "live.health: /health/detailed" in unhealthy[0]


def test_built_in_accounts_of_market_ai_are_tried_and_clerk_is_told(market_url: str, tmp_path: Path) -> None:
    built_in = {"ENVIRONMENT": "staging", "CLERK_DOMAIN": "", "SESSION_HASH_SECRET": "f3a91c7e5b2d4806" * 2}
    with served("market-ai", market_url, tmp_path, **built_in) as server:
        found = examine_live(Visit(MARKET_AI, server.url, origin="https://elsewhere.acme.dev"))
        assert [line.split(" is refused")[0] for line in red(found)] == ["live.cors: https://elsewhere.acme.dev"]
        assert statuses(found)["live.foreign-row"] is Status.OK
    with served("market-ai", market_url, tmp_path) as server:
        found = examine_live(Visit(MARKET_AI, server.url))
        assert (red(found), statuses(found)["live.sign-in"]) == ([], Status.SKIPPED)
        refused = examine_live(Visit(MARKET_AI, server.url, token="no-token"))
        assert "live.sign-in: /api/campaigns with the token answers 401" in red(refused)[0]


def test_what_does_not_answer_or_is_no_address_is_one_error() -> None:
    assert "live.reachable" in red(examine_live(Visit(MOMENTUM, f"http://127.0.0.1:{free_port()}")))[0]
    assert "is no address" in red(examine_live(Visit(MOMENTUM, "momentum-todo-api.onrender.com")))[0]


# ---- answers that a real Tandem does not give


def played(answer: Callable[[httpx2.Request], httpx2.Response]) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="https://api.acme.dev")


def test_a_row_that_a_stranger_can_read_is_red() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/api/tasks" and request.method == "GET":
            return httpx2.Response(401)
        if path == "/api/tasks":
            return httpx2.Response(201, json={"id": "7"})
        return httpx2.Response(200, json={"token": "t", "id": "7"})

    async def run() -> list[Result]:
        async with played(answer) as client:
            return [result async for result in accounts.check_accounts(client, MOMENTUM, None)]

    found = red(asyncio.run(run()))
    assert found == [
        "live.foreign-row: another user's row answers 200",
        "live.rate-limit: 21 wrong passwords in a row were listened to",
    ]


@pytest.mark.parametrize("status", [200, 500])
def test_an_api_that_asks_nobody_who_he_is_is_red(status: int) -> None:
    async def run() -> list[Result]:
        async with played(lambda _request: httpx2.Response(status)) as client:
            return [result async for result in accounts.check_accounts(client, MOMENTUM, None)]

    assert red(asyncio.run(run())) == [f"live.sign-in: /api/tasks without a credential answers {status}, not 401"]


def test_an_instance_without_limits_and_a_health_check_that_says_yes_to_all_are_red() -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"service": "momentum-todo-api"})

    async def run() -> list[Result]:
        async with played(answer) as client:
            return [await edge.check_health(client, MOMENTUM, None), await edge.check_forwarded(client, "/api/tasks")]

    found = red(asyncio.run(run()))
    assert found[0] == "live.health: an address that does not exist answers, too"
    assert "no RateLimit header" in found[1]


# ---- TLS


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path


def certificate(where: Path, days: int) -> Certificate:
    """Of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    where.mkdir()
    (where / "key.pem").write_bytes(private)
    (where / "certificate.pem").write_bytes(made.public_bytes(pem))
    return Certificate(where / "certificate.pem", where / "key.pem")


@contextmanager
def encrypted(held: Certificate) -> Iterator[int]:
    """A TLS server on the loopback that answers everything with an empty 200."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(held.certificate, held.key)
    loop = asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def tls_of(port: int) -> list[Result]:
    async def run() -> list[Result]:
        async with httpx2.AsyncClient(base_url=f"https://127.0.0.1:{port}") as client:
            return [result async for result in edge.check_tls(client)]

    return asyncio.run(run())


def test_certificates_are_checked_and_their_end_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, old = certificate(tmp_path / "fresh", 90), certificate(tmp_path / "old", 5)
    with encrypted(fresh) as port:
        unknown = examine_live(Visit(MOMENTUM, f"https://127.0.0.1:{port}"))
        assert "CERTIFICATE_VERIFY_FAILED" in red(unknown)[0]
        assert "renew it" in unknown[0].fix
        monkeypatch.setenv("SSL_CERT_FILE", str(fresh.certificate))
        assert [(r.status, "9" in r.seen) for r in tls_of(port)] == [(Status.OK, True)]
    with encrypted(old) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(old.certificate))
        assert [r.status for r in tls_of(port)] == [Status.WARNING]


def test_plain_http_over_the_network_is_red() -> None:
    async def run() -> list[Result]:
        async with httpx2.AsyncClient(base_url="http://api.acme.dev") as client:
            return [result async for result in edge.check_tls(client)]

    assert red(asyncio.run(run())) == ["live.tls: http://api.acme.dev is not encrypted"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token": 7}', b"\xff\xfe", b'{"service": {}}'])
@pytest.mark.parametrize("status", [200, 201, 302, 500])
def test_whatever_the_other_side_answers_it_becomes_a_result(body: bytes, status: int) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        refused = request.url.path == "/api/tasks" and request.method == "GET" and status == 200
        return httpx2.Response(401 if refused else status, content=body)

    async def run() -> list[Result]:
        async with played(answer) as client:
            found = [
                await edge.check_health(client, MOMENTUM, "t"),
                await edge.check_docs(client),
                await edge.check_headers(client),
            ]
            found += [
                await edge.check_forwarded(client, "/api/tasks"),
                *await edge.check_cors(client, "/api/tasks", "https://a.acme.dev"),
            ]
            return found + [result async for result in accounts.check_accounts(client, MOMENTUM, "t")]

    assert len(red(asyncio.run(run()))) >= 4

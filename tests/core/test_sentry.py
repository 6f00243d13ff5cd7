"""Error reports, received by a real HTTP server that plays Sentry's ingest endpoint."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Request
from pydantic import SecretStr

from tandem.core import sentry
from tandem.core.app import create_app
from tandem.core.settings import Settings, SettingsError

PASSWORD = "correct horse battery staple"
BEARER = "tok_0123456789abcdef"
COOKIE = "cookie-0123456789"
QUERY = "query-0123456789"
EMAIL = "ada@example.com"
ACCOUNT = "account-0123456789"

router = APIRouter()


@router.post("/accounts/{account}")
async def explode(request: Request, account: str) -> None:
    payload = await request.json()
    unused = payload["password"], request.headers["authorization"]  # local variables of a frame in the trace
    raise LookupError(
        f"no account for {EMAIL}, Authorization: Bearer {BEARER}, postgresql://app:{COOKIE}@db/x "
        f"[parameters: {unused!r}]"
    )


@router.get("/fine")
async def fine() -> None:
    return None


class Ingest(BaseHTTPRequestHandler):
    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.received.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, *args: Any) -> None:
        pass


@pytest.fixture
def ingest() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A DSN, and what was sent to it."""
    received: list[tuple[str, bytes]] = []
    handler = type("Handler", (Ingest,), {"received": received})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://public@127.0.0.1:{server.server_port}/42", received
        server.shutdown()
        thread.join()


def configured(dsn: str | None) -> Settings:
    return Settings(
        _env_file=None,
        environment="test",
        app_version="9.8.7",
        database_url=SecretStr("postgresql://tandem@127.0.0.1:1/none"),
        sentry_dsn=SecretStr(dsn) if dsn else None,
    )


async def post_a_failure(dsn: str | None) -> httpx2.Response:
    """A request full of secrets that ends in a bug; returns once everything queued was sent."""
    app = create_app(configured(dsn), title="Sentry", description="", routers=[router])
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        await client.get("/fine")
        await client.get("/no-such-route")
        return await client.post(
            f"/accounts/{ACCOUNT}",
            params={"token": QUERY},
            json={"password": PASSWORD},
            headers={"Authorization": f"Bearer {BEARER}", "Cookie": f"session={COOKIE}", "X-Request-ID": "request-1"},
        )


def events(received: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """The error events in envelopes: a header line, then item header and payload lines in turn."""
    found = []
    for _, body in received:
        lines = body.splitlines()
        for header, payload in zip(lines[1::2], lines[2::2], strict=False):
            if json.loads(header).get("type") == "event":
                found.append(json.loads(payload))
    return found


async def test_a_bug_is_reported_once_with_what_is_needed_to_find_it(
    ingest: tuple[str, list[tuple[str, bytes]]],
) -> None:
    dsn, received = ingest
    assert (await post_a_failure(dsn)).status_code == 500
    (event,) = events(received)
    exception = event["exception"]["values"][-1]
    assert exception["type"] == "LookupError"
    assert exception["stacktrace"]["frames"][-1]["function"] == "explode"
    assert event["release"] == "tandem@9.8.7"
    assert event["environment"] == "test"
    assert event["transaction"] == "POST /accounts/{account}"
    assert event["tags"]["request_id"] == "request-1"


async def test_no_secret_of_the_request_is_in_a_report(ingest: tuple[str, list[tuple[str, bytes]]]) -> None:
    dsn, received = ingest
    await post_a_failure(dsn)
    sent = b"\n".join(body for _, body in received).decode()
    assert "LookupError" in sent
    for secret in (PASSWORD, BEARER, COOKIE, QUERY, EMAIL, ACCOUNT):
        assert secret not in sent
    (event,) = events(received)
    assert not {"request", "user", "breadcrumbs", "extra"} & event.keys()
    assert not any("vars" in frame for frame in event["exception"]["values"][-1]["stacktrace"]["frames"])


async def test_nothing_is_sent_after_the_application_stopped(ingest: tuple[str, list[tuple[str, bytes]]]) -> None:
    dsn, received = ingest
    await post_a_failure(dsn)
    count = len(received)
    sentry.capture(ValueError("late"))
    assert (await post_a_failure(None)).status_code == 500
    assert len(received) == count


def test_a_malformed_dsn_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="SENTRY_DSN is not a DSN"):
        sentry.start(configured("not-a-dsn"))


def test_without_a_dsn_the_sdk_is_not_even_loaded() -> None:
    program = (
        "import sys; from tandem.core import app, sentry; from tandem.core.settings import Settings;"
        "sentry.start(Settings(_env_file=None)); sentry.capture(ValueError()); sentry.stop();"
        "sys.exit('sentry_sdk' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

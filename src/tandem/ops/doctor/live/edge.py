"""What every instance shows at its edge: health, docs, CORS, addresses, limits, TLS, headers."""

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2

from tandem.ops.doctor.result import Check, Result
from tandem.ops.services import Service

HEALTH = Check("live.health", "The platform routes by it, and so does whoever is woken at night.")
DOCS = Check("live.docs", "The documentation tells a stranger every address to try.")
CORS = Check(
    "live.cors", "A browser asks first: without the right answer the front end does not work, or everybody's does."
)
FORWARDED = Check("live.forwarded", "Who can choose the address he is counted under has no rate limit.")
LIMIT = Check("live.rate-limit", "Without it one client takes the service from all others.")
TLS = Check("live.tls", "Without TLS anybody on the way reads passwords and sessions.")
HEADERS = Check("live.headers", "They keep a browser from guessing types, framing pages and going back to http.")

PROBE = {"momentum": "/api/tasks", "market-ai": "/api/campaigns"}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
STRANGER = "https://stranger.invalid"
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "",
    "content-security-policy": "",
    "strict-transport-security": "max-age=",
}
EXPIRES_SOON = 14 * 86_400  # seconds
_FORGED = 3  # requests with an invented address each
_PROXIES = "FORWARDED_ALLOW_IPS names your proxies' networks, never *"
_OWN_MACHINE = "by default this machine counts as a proxy: ask from another, or set FORWARDED_ALLOW_IPS=192.0.2.1"


async def check_edge(
    client: httpx2.AsyncClient, service: Service, *, origin: str | None, health_token: str | None
) -> AsyncIterator[Result]:
    """After the first answer, which `check.py` has waited for."""
    yield await check_health(client, service, health_token)
    yield await check_docs(client)
    for result in await check_cors(client, PROBE[service.name], origin):
        yield result
    yield await check_headers(client)
    async for result in check_tls(client):
        yield result
    yield await check_forwarded(client, PROBE[service.name])


async def check_health(client: httpx2.AsyncClient, service: Service, token: str | None) -> Result:
    answer = await client.get("/health")
    body = body_of(answer)
    if answer.status_code != 200:
        return HEALTH.error(
            f"/health answers {answer.status_code}: {body.get('database', 'no word of a database')}",
            "read the log; `tandem doctor` there",
        )
    name = service.settings_class.service
    if body.get("service") != name:
        return HEALTH.error(f"{body.get('service', 'something else')} answers, not {name}", "is this the right URL?")
    if (await client.get(f"/health/{secrets.token_hex(8)}")).status_code != 404:
        return HEALTH.error("an address that does not exist answers, too", "something in front answers for the service")
    seen = f"healthy, version {body.get('version')}, {body.get('environment')}"
    if token is None:
        return HEALTH.ok(f"{seen}; with HEALTH_TOKEN the dependencies are looked at, too")
    detailed = await client.get("/health/detailed", headers={"Authorization": f"Bearer {token}"})
    found = body_of(detailed)
    if detailed.status_code != 200 or found.get("status") != "healthy":
        reasons = {key: found[key] for key in ("dependencies", "migrations", "rate_limits") if key in found}
        return HEALTH.error(
            f"/health/detailed: {detailed.status_code} {found.get('status', '')} {reasons or ''}".strip(),
            "mend what is not healthy",
        )
    return HEALTH.ok(f"{seen}; database, Redis and migrations too")


async def check_docs(client: httpx2.AsyncClient) -> Result:
    open_ones = [path for path in ("/docs", "/redoc", "/openapi.json") if (await client.get(path)).status_code != 404]
    if open_ones:
        return DOCS.error(f"{', '.join(open_ones)} answer", "ENVIRONMENT=production, and no DOCS=true")
    return DOCS.ok("/docs, /redoc and /openapi.json are off")


async def check_cors(client: httpx2.AsyncClient, path: str, origin: str | None) -> list[Result]:
    refused = await _preflight(client, path, STRANGER)
    allowed = refused.headers.get("access-control-allow-origin")
    if allowed in {STRANGER, "*"}:
        return [
            CORS.error(
                f"a stranger's page may call it ({allowed})", "CORS_ORIGINS names your front ends and nobody else"
            )
        ]
    if origin is None:
        return [CORS.ok("a stranger's page is refused; --origin URL asks for your front end's")]
    answer = await _preflight(client, path, origin)
    granted = answer.headers.get("access-control-allow-origin"), answer.headers.get("access-control-allow-credentials")
    if answer.status_code != 200 or granted != (origin, "true"):
        return [CORS.error(f"{origin} is refused ({answer.status_code})", f"add {origin} to CORS_ORIGINS, exactly so")]
    return [CORS.ok(f"{origin} may call it with credentials, a stranger's page may not")]


async def _preflight(client: httpx2.AsyncClient, path: str, origin: str) -> httpx2.Response:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    return await client.options(path, headers={"Origin": origin, **wanted})


async def check_headers(client: httpx2.AsyncClient) -> Result:
    answer = await client.get("/health/live")
    wrong = [name for name, value in SECURITY.items() if value not in answer.headers.get(name, "\0")]
    if "server" in answer.headers and "uvicorn" in answer.headers["server"]:
        wrong.append("server (it tells what runs)")
    if wrong:
        return HEADERS.error(f"missing or weak: {', '.join(wrong)}", "ENVIRONMENT=production; let no proxy remove them")
    return HEADERS.ok(", ".join(SECURITY))


async def check_tls(client: httpx2.AsyncClient) -> AsyncIterator[Result]:
    where = urlsplit(str(client.base_url))
    if where.scheme != "https" and where.hostname in LOOPBACK:
        yield TLS.info("not encrypted, and never leaves this machine")
        return
    if where.scheme != "https":
        yield TLS.error(
            f"{where.scheme}://{where.netloc} is not encrypted", "https://; Render brings the certificate along"
        )
        return
    left = await asyncio.to_thread(certificate_seconds, str(where.hostname), where.port or 443)
    days = f"the certificate is valid for {left / 86_400:.0f} days"
    yield TLS.ok(days) if left > EXPIRES_SOON else TLS.warning(days, "renew it; who renews it by itself?")
    if where.port in (None, 443):
        yield await _redirect(client, f"http://{where.hostname}/health/live")


async def _redirect(client: httpx2.AsyncClient, address: str) -> Result:
    try:
        answer = await client.get(address)
    except httpx2.TransportError:
        return TLS.ok("nothing listens without TLS")
    if answer.is_redirect and answer.headers.get("location", "").startswith("https://"):
        return TLS.ok("http leads to https")
    return TLS.error(f"{address} answers {answer.status_code} without TLS", "redirect http to https in front")


def certificate_seconds(host: str, port: int) -> float:
    """Until it expires. Whether it is to be trusted, the first request has found out."""
    trust = ssl.create_default_context()
    with (
        socket.create_connection((host, port), 15) as plain,
        trust.wrap_socket(plain, server_hostname=host) as connection,
    ):
        certificate = connection.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()


async def check_forwarded(client: httpx2.AsyncClient, path: str) -> Result:
    """A client that invents an address must stay in the quota of its own one."""
    plain = [await _remaining(client, path) for _ in range(_FORGED)]
    forged = [
        await _remaining(client, path, f"198.51.100.{10 + i}, 198.18.{secrets.randbelow(256)}.{i}")
        for i in range(_FORGED)
    ]
    counts = [count for count in (*plain, *forged) if count is not None]
    if len(counts) < len(plain) + len(forged):
        return FORWARDED.error(
            f"{path} without a credential has no RateLimit header",
            "does a proxy remove it, or is another program there?",
        )
    fresh = max(counts)
    if all(count == fresh for count in forged if count is not None) and min(counts) < fresh:
        return FORWARDED.error(
            "each invented X-Forwarded-For has a quota of its own",
            _OWN_MACHINE if client.base_url.host in LOOPBACK else _PROXIES,
        )
    return FORWARDED.ok("an invented X-Forwarded-For changes nothing")


async def _remaining(client: httpx2.AsyncClient, path: str, forwarded_for: str | None = None) -> int | None:
    answer = await client.get(path, headers={"X-Forwarded-For": forwarded_for} if forwarded_for else {})
    text = answer.headers.get("x-ratelimit-remaining", "")
    return int(text) if text.isdecimal() else None


def body_of(answer: httpx2.Response) -> dict[str, object]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}

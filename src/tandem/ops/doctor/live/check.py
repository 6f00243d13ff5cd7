"""`tandem doctor SERVICE --live URL`."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx2

from tandem.ops.doctor.live.accounts import check_accounts
from tandem.ops.doctor.live.edge import LIMIT, PROBE, check_edge
from tandem.ops.doctor.result import Check, Result
from tandem.ops.services import Service

REACHABLE = Check("live.reachable", "Nobody can use what does not answer.")
PATIENCE = 90.0  # seconds for the first answer: a free instance sleeps, and wakes for it
ANSWER = 30.0  # seconds for each further one


@dataclass(frozen=True)
class Visit:
    """What is asked of an instance; `token` is a session's where accounts are kept elsewhere."""

    service: Service
    url: str
    origin: str | None = None
    health_token: str | None = None
    token: str | None = None
    read_only: bool = False


def examine_live(visit: Visit, on_result: Callable[[Result], None] = lambda _: None) -> list[Result]:
    """Runs an event loop of its own. Never raises for what the other side does."""
    found: list[Result] = []

    async def run() -> None:
        async for result in check_live(visit):
            found.append(replace(result, service=visit.service.name))
            on_result(found[-1])

    asyncio.run(run())
    return found


async def check_live(visit: Visit) -> AsyncIterator[Result]:
    where = urlsplit(visit.url)
    if where.scheme not in {"http", "https"} or not where.hostname:
        yield REACHABLE.error(f"{visit.url!r} is no address", "as in --live https://momentum-todo-api.onrender.com")
        return
    async with httpx2.AsyncClient(
        base_url=f"{where.scheme}://{where.netloc}", timeout=ANSWER, verify=ssl.create_default_context(),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # a session's cookie would need an Origin with it
    ) as client:  # fmt: skip
        try:
            await client.get("/health/live", timeout=PATIENCE)
            yield REACHABLE.ok(str(client.base_url))
            async for result in _looked_at(client, visit):
                yield result
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            yield REACHABLE.error(f"{type(error).__name__}: {error}", _remedy(str(error)))


async def _looked_at(client: httpx2.AsyncClient, visit: Visit) -> AsyncIterator[Result]:
    async for result in check_edge(client, visit.service, origin=visit.origin, health_token=visit.health_token):
        yield result
    if visit.read_only:
        answer = await client.get(PROBE[visit.service.name])
        policy = answer.headers.get("ratelimit-policy")
        yield LIMIT.ok(policy) if policy else LIMIT.error("no RateLimit-Policy header", "is another program there?")
        return
    async for result in check_accounts(client, visit.service, visit.token):
        yield result


def _remedy(reason: str) -> str:
    if "certificate" in reason.lower():
        return "the certificate is expired, of another name or of no known authority: renew it"
    return "is the name right, does the service run, does its platform route to it?"

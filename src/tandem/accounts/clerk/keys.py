"""Clerk's public keys, kept in memory: fetched rarely, by one request for all, and served through an outage.

- A set is fresh for a `ttl`. Then the next request fetches it anew and waits, so a withdrawn key is forgotten; while
  fetches fail the old set serves without waiting, for `max_stale` at most.
- A `kid` that is not in the set fetches it anew, at most once per `cooldown` however many ask: a flood of made-up
  tokens costs Clerk six small requests a minute.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from math import ceil, inf
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from tandem.accounts.clerk.jwks import JwksError, rsa_keys
from tandem.core.errors import Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MAX_DOCUMENT = 64 * 1024  # bytes; Clerk's has one or two keys of some 500 bytes

log = structlog.get_logger(__name__)


class ClerkUnavailable(Unavailable):
    """Not a 401: the token may well be right, and a client that is told otherwise signs its user out."""

    code, title = "clerk_unavailable", "Clerk's keys cannot be fetched, so this token cannot be checked"


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds."""

    ttl: float = 300
    cooldown: float = 10  # between two fetches
    max_stale: float = 86_400  # after a day nobody knows any more which keys Clerk has withdrawn
    deadline: float = 5  # of a whole fetch
    clock: Callable[[], float] = monotonic


class Keys:
    """The keys published at `url`. One per process; `close()` with the application."""

    def __init__(self, url: str, timing: Timing) -> None:
        import httpx2  # here and not above: only who uses Clerk pays for it

        # The environment's proxy leads to the internet, not to this machine.
        self._client = httpx2.AsyncClient(
            timeout=timing.deadline, follow_redirects=False, trust_env=url.startswith("https:")
        )
        self._url, self._timing, self._clock = url, timing, timing.clock
        self._keys: dict[str, RSAPublicKey] = {}
        self._fetched_at, self._next_fetch = -inf, -inf
        self._failing = False
        self._fetching: asyncio.Task[None] | None = None

    def knows(self, kid: str) -> bool:
        return kid in self._keys

    async def find(self, kid: str) -> "RSAPublicKey | None":
        """The key of that id; None when Clerk publishes none. Raises ClerkUnavailable when it cannot be asked."""
        key = self._usable(kid)
        if key is not None and self._clock() - self._fetched_at < self._timing.ttl:
            return key
        self.refresh()
        if self._fetching is not None and (key is None or not self._failing):
            await asyncio.wait({self._fetching})  # unlike awaiting it, leaves it alone when this caller goes
            key = self._usable(kid)
        if key is None and self._failing:
            raise ClerkUnavailable(retry_after=max(1, ceil(self._next_fetch - self._clock())))
        return key

    def refresh(self) -> None:
        """Begin to fetch, unless a fetch is under way or the last was less than the cooldown ago. Does not wait."""
        if self._fetching is None and self._clock() >= self._next_fetch:
            # In a context of its own: what it logs is not about the request that happened to need it.
            self._fetching = asyncio.create_task(self._fetch(), name="clerk-keys", context=Context())

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._client.aclose()

    def _usable(self, kid: str) -> "RSAPublicKey | None":
        return self._keys.get(kid) if self._clock() - self._fetched_at < self._timing.max_stale else None

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._timing.deadline):  # over all: a server may answer a byte at a time
                keys = rsa_keys(await self._download())
        except Exception as error:  # whatever it was, the keys we have go on serving
            self._failing = True
            reason = str(error) if isinstance(error, JwksError) else type(error).__name__
            log.warning("clerk_keys_not_fetched", url=self._url, reason=reason, kept=len(self._keys))
        else:
            if self._failing or keys.keys() != self._keys.keys():
                log.info("clerk_keys_fetched", url=self._url, kids=sorted(keys))
            self._keys, self._fetched_at, self._failing = keys, self._clock(), False
        finally:
            self._next_fetch = self._clock() + self._timing.cooldown
            self._fetching = None

    async def _download(self) -> bytes:
        """As it comes over the wire, uncompressed, so that its size is the size it has in memory."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        body = bytearray()
        async with self._client.stream("GET", self._url, headers=headers) as response:
            if response.status_code != 200:
                raise JwksError(f"status {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_DOCUMENT:
                    raise JwksError(f"longer than {MAX_DOCUMENT} bytes")
        return bytes(body)

"""Rate limits: how many requests a principal, an address or an e-mail may make, and the headers that say so.

    SIGN_IN = Limit("5/minute", name="sign-in-email")
    await SIGN_IN.hit(request, email)              # raises TooManyRequests
    Depends(SIGN_IN.per_address)                   # the same per client address, as a dependency

Counted in memory, or in Redis when REDIS_URL is set. A Redis that fails never fails a request: this process counts in
memory until Redis is back. docs/rate-limits.md describes the headers.
"""

import asyncio
from collections.abc import MutableMapping
from contextvars import Context
from functools import lru_cache
from hashlib import blake2b
from ipaddress import AddressValueError, IPv6Address, IPv6Network
from math import ceil
from time import time
from typing import Any, Literal

import structlog
from fastapi import Request

from tandem.core import metrics
from tandem.core.counters import MemoryCounters, RedisCounters
from tandem.core.errors import TooManyRequests
from tandem.core.rates import parse_rate
from tandem.core.settings import Settings

RECOVERY_INTERVAL = 1.0  # seconds between attempts to reach a failed Redis
MAX_KEY = 64  # characters; longer keys (an e-mail may be any length) are counted under their digest

log = structlog.get_logger(__name__)


class Limit:
    """A named policy; all requests hit under the same name and key share one quota. Raises RateError for a bad rate."""

    __slots__ = ("_amount", "_policy", "amount", "name", "seconds")

    def __init__(self, rate: str, *, name: str) -> None:
        parsed = parse_rate(rate)
        self.name, self.amount, self.seconds = name, parsed.amount, parsed.seconds
        self._policy = f'"{name}";q={parsed.amount};w={parsed.seconds}'
        self._amount = str(parsed.amount)

    async def hit(self, request: Request, key: str) -> None:
        """Count one request of `key`; raises TooManyRequests. The response carries the headers either way."""
        limiter: Limiter = request.app.state.limiter
        hits, left = await limiter.count(self, key)
        remaining = self.amount - hits
        self._announce(request.scope, max(0, remaining), ceil(left), left)
        if remaining < 0:
            metrics.rate_limited(self.name)
            wait = max(1, ceil(left))
            raise TooManyRequests(
                f"The limit is {self.amount} requests in {self.seconds} s; try again in {wait} s",
                headers={"Retry-After": str(wait)},
                retry_after=wait,
            )

    async def per_address(self, request: Request) -> None:
        """The dependency for routes without a principal."""
        await self.hit(request, "address:" + client_address(request))

    def _announce(self, scope: MutableMapping[str, Any], remaining: int, seconds: int, left: float) -> None:
        headers: dict[str, str] = scope.setdefault("tandem.headers", {})
        state, policy = f'"{self.name}";r={remaining};t={seconds}', self._policy
        if "RateLimit" in headers:  # a second policy on the same request: list both, X- headers show the tighter one
            state, policy = f"{headers['RateLimit']}, {state}", f"{headers['RateLimit-Policy']}, {policy}"
        headers["RateLimit"], headers["RateLimit-Policy"] = state, policy
        if remaining <= int(headers.get("X-RateLimit-Remaining", remaining)):
            headers["X-RateLimit-Limit"] = self._amount
            headers["X-RateLimit-Remaining"] = str(remaining)
            headers["X-RateLimit-Reset"] = str(ceil(time() + left))


class Limiter:
    """The counters of one process, and its default limit. `start()` and `close()` with the application.

    Raises SettingsError for a REDIS_URL that cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.default = Limit(settings.rate_limit, name="default")
        self._redis: RedisCounters | None = None
        if settings.redis_url is not None:
            self._redis = RedisCounters(settings.redis_url.get_secret_value(), f"tandem:{settings.service}:rate")
        self._memory = MemoryCounters()
        self._recovery: asyncio.Task[None] | None = None

    @property
    def backend(self) -> Literal["memory", "redis"]:
        """Where hits are counted now."""
        return "memory" if self._redis is None or self._recovery is not None else "redis"

    @property
    def fallen_back(self) -> bool:
        """True while REDIS_URL is set and Redis does not answer."""
        return self._recovery is not None

    async def start(self) -> None:
        """Never fails: a Redis that is not there yet is waited for in the background."""
        if self._redis is not None:
            try:
                await self._redis.ping()
            except self._redis.failures as error:
                self._fall_back(self._redis, error)

    async def close(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
            self._recovery = None
        if self._redis is not None:
            await self._redis.close()

    async def count(self, limit: Limit, key: str) -> tuple[int, float]:
        """Hits of `key` in its window with this one, and the seconds until the window ends."""
        if len(key) > MAX_KEY:
            key = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        if self._redis is not None and self._recovery is None:
            try:
                return await self._redis.hit(limit.name, key, limit.seconds)
            except self._redis.failures as error:
                self._fall_back(self._redis, error)
        return self._memory.hit(limit.name, key, limit.seconds)

    async def ping(self) -> float | None:
        """Seconds Redis took to answer, None when it did not or there is none."""
        if self._redis is None:
            return None
        began = time()
        try:
            await self._redis.ping()
        except self._redis.failures:
            return None
        return time() - began

    @property
    def uses_redis(self) -> bool:
        return self._redis is not None

    def _fall_back(self, redis: RedisCounters, error: Exception) -> None:
        if self._recovery is None:  # of the requests that fail together, the first one says so
            log.warning("rate_limits_in_memory", reason=type(error).__name__, detail="Redis does not answer")
            # In a context of its own: it outlives the request, whose id its log line must not carry.
            self._recovery = asyncio.create_task(self._recover(redis), name="rate-limit-recovery", context=Context())

    async def _recover(self, redis: RedisCounters) -> None:
        while True:
            await asyncio.sleep(RECOVERY_INTERVAL)
            try:
                await redis.ping()
            except redis.failures:
                continue
            self._recovery = None
            log.info("rate_limits_in_redis", detail="Redis answers again")
            return


async def count_address(request: Request) -> None:
    """Count a request without a principal against its client address and the default limit."""
    limiter: Limiter = request.app.state.limiter
    await limiter.default.hit(request, "address:" + client_address(request))


async def count_principal(request: Request, user_id: str) -> None:
    """Count a request against its principal and the default limit."""
    limiter: Limiter = request.app.state.limiter
    await limiter.default.hit(request, "user:" + user_id)


def client_address(request: Request) -> str:
    """Who is calling, as the unit that limits count: an IPv4 address, or the IPv6 /64 that one customer gets."""
    client = request.client
    if client is None:
        return "unknown"  # a Unix socket without a proxy that says who is calling
    return client.host if ":" not in client.host else _network(client.host)


@lru_cache(maxsize=4096)
def _network(host: str) -> str:
    try:
        address = IPv6Address(host.partition("%")[0])
    except AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, 64), strict=False))

"""Counters of fixed windows, in this process or in Redis: the arithmetic under the rate limits.

A window belongs to one key and begins with that key's first hit, so it needs no clock shared by instances and "wait
until the window ends" is exact. Both counters answer `(hits in the window, seconds until it ends)`.

Not the storages of the `limits` package: its in-memory one walks every known key on every hit (1.8 ms a request with
10,000 clients), and its Redis one needs a second round trip to learn when the window ends.
"""

import asyncio
from collections import OrderedDict
from time import monotonic
from typing import Any

from tandem.core.settings import SettingsError

MAX_KEYS = 50_000  # per policy, about 15 MB; the oldest windows go first
REDIS_CONNECTIONS = 32
REDIS_TIMEOUT = 0.25  # seconds for one hit, connecting included


class MemoryCounters:
    """Windows of this process. One dict per policy, so that insertion order is also the order in which windows end."""

    def __init__(self) -> None:
        self._policies: dict[str, OrderedDict[str, list[float]]] = {}

    def hit(self, policy: str, key: str, window: int) -> tuple[int, float]:
        now = monotonic()
        windows = self._policies.get(policy)
        if windows is None:
            windows = self._policies[policy] = OrderedDict()
        entry = windows.get(key)
        if entry is not None and entry[1] > now:
            entry[0] += 1
            return int(entry[0]), entry[1] - now
        if entry is not None:
            del windows[key]
        _make_room(windows, now)
        windows[key] = [1, now + window]
        return 1, float(window)

    def __len__(self) -> int:
        return sum(map(len, self._policies.values()))


def _make_room(windows: OrderedDict[str, list[float]], now: float) -> None:
    """Two steps of collection for each insertion: memory follows the clients of the last window, and nobody waits."""
    for _ in range(2):
        if not windows:
            return
        oldest = next(iter(windows))
        if windows[oldest][1] > now and len(windows) < MAX_KEYS:
            return
        del windows[oldest]


# A counter without an expiry would lock its owner out for good, so one that lost it gets a new one.
_HIT = """
local hits = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {hits, left}
"""


class RedisCounters:
    """Windows shared by every instance that uses the same Redis and prefix. One round trip a hit.

    Methods raise `failures` when Redis does not answer properly within REDIS_TIMEOUT. Raises SettingsError for a URL
    that is none.
    """

    def __init__(self, url: str, prefix: str) -> None:
        from redis.asyncio import ConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self.failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)
        try:
            pool = ConnectionPool.from_url(
                url,
                max_connections=REDIS_CONNECTIONS,
                socket_timeout=None,  # the time-out around the whole is enough, and theirs cost as much as the command
                socket_connect_timeout=None,
                retry=Retry(NoBackoff(), 0),  # the caller has something better to do than wait
                protocol=2,
            )
        except ValueError:  # whose text may repeat the password
            raise SettingsError(["REDIS_URL is not a Redis URL: expected redis://user:password@host:6379/0"]) from None
        self._redis = Redis.from_pool(pool)
        self._turn = asyncio.Semaphore(REDIS_CONNECTIONS)  # the pool itself refuses whoever finds it empty
        self._script = self._redis.register_script(_HIT)
        self._prefix = prefix

    async def hit(self, policy: str, key: str, window: int) -> tuple[int, float]:
        name = f"{self._prefix}:{policy}:{key}".encode("utf-8", "surrogatepass")
        async with asyncio.timeout(REDIS_TIMEOUT), self._turn:
            answer: Any = await self._script(keys=[name], args=[window * 1000])
        return int(answer[0]), int(answer[1]) / 1000

    async def ping(self) -> None:
        """Redis answers and may be written to: a full or read-only one is of no use here."""
        await self.hit("ping", "ping", 1)

    async def close(self) -> None:
        await self._redis.aclose()

"""The Redis lists of the inbox. Every step that moves a message is one command, so that it is always in a list.

    job_queue  →  job_queue:taken:<worker>  →  (Postgres, then removed)  or  job_queue:rejected

Producers LPUSH, so the oldest message is on the right.
"""

from collections.abc import Awaitable
from typing import Any, cast

from tandem.core.settings import SettingsError

QUEUE = "job_queue"
TAKEN = "job_queue:taken:"
REJECTED = "job_queue:rejected"
TIMEOUT = 5.0  # seconds for an answer of Redis
PATIENCE = 5  # seconds that one command waits for a message

# Only who still has the message may put it elsewhere, or in another form into the same list.
_MOVE = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
return 1
"""


class Lists:
    """As one worker sees them. Methods raise `failures` when Redis does not answer.

    Raises SettingsError for a URL that is none.
    """

    def __init__(self, url: str, worker: str) -> None:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self.failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=TIMEOUT + PATIENCE,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except ValueError:  # whose text may repeat the password
            raise SettingsError(["REDIS_URL is not a Redis URL: expected redis://user:password@host:6379/0"]) from None
        self._mine = TAKEN + worker
        self._move = self._redis.register_script(_MOVE)

    async def take(self, seconds: int = 0) -> bytes | None:
        """The oldest message, which is now in this worker's list; None when there is none for so many seconds."""
        if not seconds:
            taking: Any = self._redis.lmove(QUEUE, self._mine, "RIGHT", "LEFT")
        else:
            taking = self._redis.blmove(QUEUE, self._mine, seconds, "RIGHT", "LEFT")
        entry: bytes | None = await _of(taking)
        return entry

    async def mine(self) -> list[bytes]:
        """What this worker has and is not done with, the oldest first."""
        found: list[bytes] = await _of(self._redis.lrange(self._mine, 0, -1))
        return found[::-1]

    async def restamp(self, before: bytes, after: bytes) -> bool:
        """False when this worker does not have it any more: another one took it for dead."""
        return bool(await self._move(keys=[self._mine, self._mine], args=[before, after]))

    async def reject(self, entry: bytes, record: bytes) -> bool:
        return bool(await self._move(keys=[self._mine, REJECTED], args=[entry, record]))

    async def done(self, entry: bytes) -> None:
        await _of(self._redis.lrem(self._mine, 1, cast(str, entry)))

    async def workers(self) -> list[str]:
        """Who has a list that is not empty, this worker not among them."""
        found = [key.decode() async for key in self._redis.scan_iter(match=TAKEN + "*", count=1000)]
        return [key.removeprefix(TAKEN) for key in found if key != self._mine]

    async def adopt(self, worker: str) -> int:
        """Take over the list of a worker that is gone; how many messages were in it."""
        count = 0
        while await _of(self._redis.lmove(TAKEN + worker, self._mine, "RIGHT", "LEFT")) is not None:
            count += 1
        return count

    async def close(self) -> None:
        await self._redis.aclose()


async def _of(answer: Any) -> Any:
    """redis-py's commands are declared for both of its clients at once."""
    return await cast(Awaitable[Any], answer)

"""Redis, where REDIS_URL names one."""

from collections.abc import AsyncIterator

from tandem.ops.doctor.result import Check, Result
from tandem.ops.doctor.subject import Subject

REACHABLE = Check(
    "redis.reachable", "Without it every process counts rate limits for itself, and pushed jobs are not taken."
)
EVICTION = Check(
    "redis.eviction", "A Redis that evicts throws away jobs that were pushed and counters of whoever attacks."
)

ANSWER = 5.0  # seconds
_KEEPS = ("noeviction", "volatile-ttl")


async def check_redis(subject: Subject) -> AsyncIterator[Result]:
    if subject.settings is None or subject.settings.redis_url is None:
        yield REACHABLE.skipped("REDIS_URL; without it rate limits are counted in each process")
        yield EVICTION.skipped("REDIS_URL")
        return
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

    try:
        redis = Redis.from_url(
            subject.settings.redis_url.get_secret_value(), socket_timeout=ANSWER, socket_connect_timeout=ANSWER,
            retry=Retry(NoBackoff(), 0), decode_responses=True,
        )  # fmt: skip
    except ValueError:  # whose text may repeat the password
        yield REACHABLE.error("REDIS_URL is no Redis URL", "redis://user:password@host:6379/0, or rediss:// for TLS")
        yield EVICTION.skipped("a Redis that answers")
        return
    try:
        await redis.set("tandem:doctor", "1", px=1000)
        policy = (await redis.info("memory")).get("maxmemory_policy")
    except (RedisError, OSError, TimeoutError) as error:
        yield REACHABLE.error(
            f"{type(error).__name__}: {error}", "does it run, is the password right, may it be written to?"
        )
        yield EVICTION.skipped("a Redis that answers")
    else:
        yield REACHABLE.ok("answers and can be written to")
        yield _eviction(policy)
    finally:
        await redis.aclose()


def _eviction(policy: str | None) -> Result:
    if policy is None:
        return EVICTION.warning("the server does not tell its policy", "look at its dashboard: noeviction")
    if policy in _KEEPS:
        return EVICTION.ok(policy)
    return EVICTION.error(policy, "maxmemory-policy noeviction (render.yaml: `maxmemoryPolicy: noeviction`)")

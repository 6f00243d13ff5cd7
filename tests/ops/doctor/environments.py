"""What a production of each service is started with, and how the tests look for a result."""

from collections.abc import Iterable

from tandem.ops.doctor.result import Result, Status

GOOD = {
    "momentum": {
        "ENVIRONMENT": "production",
        "DATABASE_URL": "postgresql://todo:8f2a6c1e9b3d@db.acme.dev/todo?sslmode=require",
        "SESSION_HASH_SECRET": "f3a91c7e5b2d48069ce1d7a4b85f2063",
        "CORS_ORIGINS": "https://todo.acme.dev",
    },
    "market-ai": {
        "ENVIRONMENT": "production",
        "DATABASE_URL": "postgresql://ai:8f2a6c1e9b3d@db.acme.dev/ai?sslmode=require",
        "CORS_ORIGINS": "https://ai.acme.dev",
        "OPENAI_API_KEY": "sk-test-8f2a6c1e9b3d",
        "CLERK_DOMAIN": "clerk.acme.dev",
    },
}


def red(results: Iterable[Result]) -> list[str]:
    """The checks with an error, each with what was seen; every one of them says why and how to mend it."""
    found = [result for result in results if result.status is Status.ERROR]
    assert all(result.why and result.fix for result in found), found
    return [f"{result.check}: {result.seen}" for result in found]


def statuses(results: Iterable[Result]) -> dict[str, Status]:
    return {result.check: result.status for result in results}

"""What tests are made of: users that exist without the cost of a password hash."""

import hashlib
import hmac
import secrets
import string
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import asyncpg

from tandem.core.postgres_url import parse_database_url

SECRET = "0123456789abcdef-fedcba9876543210-test-only"
_numbers = count(1)
_ALPHANUMERICS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class User:
    id: str
    email: str
    name: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def text_id() -> str:
    """An id as the accounts tables have them: 32 alphanumerics."""
    return "".join(secrets.choice(_ALPHANUMERICS) for _ in range(32))


def session_hash(token: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()


async def signed_up_user(
    database_url: str, *, email: str | None = None, name: str = "Ada", secret: str = SECRET
) -> User:
    """A user with a session of seven days, as sign-up leaves them but for the password."""
    number = next(_numbers)
    user = User(text_id(), (email or f"user{number}@example.com").lower(), name, text_id())
    now = datetime.now(UTC)
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    try:
        await connection.execute(
            'INSERT INTO "user" (id, name, email, "emailVerified", "createdAt", "updatedAt")'
            " VALUES ($1, $2, $3, false, $4, $4)",
            *(user.id, user.name, user.email, now),
        )
        await connection.execute(
            'INSERT INTO "session" (id, "userId", token, "expiresAt", "createdAt", "updatedAt")'
            " VALUES ($1, $2, $3, $4, $5, $5)",
            *(text_id(), user.id, session_hash(user.token, secret), now + timedelta(days=7), now),
        )
    finally:
        await connection.close()
    return user

"""Reads of accounts, on an asyncpg connection. Rows carry better-auth's column names."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tandem.core.db import Connection

Row = Mapping[str, Any]

_USER = ("id", "name", "email", "emailVerified", "image", "createdAt", "updatedAt")
_SESSION = ("id", "userId", "token", "expiresAt", "createdAt", "updatedAt", "ipAddress", "userAgent")


def _columns(table: str, names: tuple[str, ...]) -> str:
    return ", ".join(f'{table}."{name}" AS "{table}.{name}"' for name in names)


def _part(row: Row, table: str) -> Row:
    return {key[len(table) + 1 :]: value for key, value in row.items() if key.startswith(f"{table}.")}


_SESSION_WITH_USER = f"""
    SELECT {_columns("s", _SESSION)}, {_columns("u", _USER)}
    FROM "session" s JOIN "user" u ON u.id = s."userId" WHERE s.token = $1"""  # noqa: S608 - our own column names
_ACTIVE_SESSIONS = f"""
    SELECT {", ".join(f'"{name}"' for name in _SESSION)} FROM "session"
    WHERE "userId" = $1 AND "expiresAt" > $2 ORDER BY "createdAt", id"""  # noqa: S608 - our own column names
_USER_WITH_PASSWORD = f"""
    SELECT {_columns("u", _USER)}, a.id AS "a.id", a.password AS "a.password"
    FROM "user" u JOIN "account" a ON a."userId" = u.id AND a."accountId" = u.id
    WHERE u.email = $1 AND a."providerId" = 'credential' AND a.password IS NOT NULL LIMIT 1"""  # noqa: S608 - as above
_CREDENTIAL_ACCOUNT = """
    SELECT id, password FROM "account"
    WHERE "userId" = $1 AND "accountId" = $1 AND "providerId" = 'credential' AND password IS NOT NULL LIMIT 1"""


async def session_with_user(connection: Connection, stored_token: str) -> tuple[Row, Row] | None:
    """The session with this token column, expired or not, and its user."""
    row = await connection.fetchrow(_SESSION_WITH_USER, stored_token)
    return None if row is None else (_part(row, "s"), _part(row, "u"))


async def active_sessions(connection: Connection, user_id: str, now: datetime) -> list[Row]:
    """Oldest first."""
    return list(await connection.fetch(_ACTIVE_SESSIONS, user_id, now))


async def email_is_taken(connection: Connection, email: str) -> bool:
    return bool(await connection.fetchval('SELECT EXISTS (SELECT FROM "user" WHERE email = $1)', email))


async def user_with_password(connection: Connection, email: str) -> tuple[Row, Row] | None:
    """The user of a lower-cased e-mail and their credential account (`id`, `password`), when they have one."""
    row = await connection.fetchrow(_USER_WITH_PASSWORD, email)
    return None if row is None else (_part(row, "u"), _part(row, "a"))


async def credential_account(connection: Connection, user_id: str) -> Row | None:
    """`id` and `password` of the account that holds a user's password."""
    row: Row | None = await connection.fetchrow(_CREDENTIAL_ACCOUNT, user_id)
    return row

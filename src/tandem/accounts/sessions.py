"""Sessions: making, finding, sliding, listing and revoking them."""

from dataclasses import dataclass
from datetime import UTC, datetime

from tandem.accounts import queries
from tandem.accounts.credentials import (
    SESSION_LIFE,
    SHORT_SESSION_LIFE,
    Credential,
    milliseconds,
    slide,
    slide_is_due,
)
from tandem.accounts.queries import Row
from tandem.accounts.secrets import random_id, stored_session_token
from tandem.core.db import Connection
from tandem.core.settings import Settings

_INSERT = """
    INSERT INTO "session" (id, "userId", token, "createdAt", "updatedAt", "expiresAt", "ipAddress", "userAgent")
    VALUES ($1, $2, $3, $4, $4, $5, $6, $7)"""
_LOCK_ACCOUNT = 'SELECT id FROM "account" WHERE id = $1 AND password = $2 FOR SHARE'
_REVOKE = 'DELETE FROM "session" WHERE "userId" = $1 AND (id = $2 OR token = $3) RETURNING id'
_END = 'DELETE FROM "session" WHERE id = $1'
_REVOKE_ALL = 'DELETE FROM "session" WHERE "userId" = $1 AND id IS DISTINCT FROM $2'
_PURGE = (
    'DELETE FROM "session" WHERE id IN (SELECT id FROM "session" WHERE "expiresAt" <= now() LIMIT 1000)',
    'DELETE FROM "verification" WHERE id IN (SELECT id FROM "verification" WHERE "expiresAt" <= now() LIMIT 1000)',
    "DELETE FROM api_tokens WHERE id IN (SELECT id FROM api_tokens WHERE expires_at <= now() LIMIT 1000)",
)
MAX_USER_AGENT = 500  # characters of it that are kept


@dataclass(frozen=True, slots=True)
class Client:
    """Where a sign-in came from, as shown in the list of sessions."""

    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Current:
    """The session a request was made with, and its user. `slid` says that its life began anew just now."""

    token: str
    session: Row
    user: Row
    slid: bool = False

    @property
    def user_id(self) -> str:
        return str(self.user["id"])

    @property
    def session_id(self) -> str:
        return str(self.session["id"])


async def find(
    connection: Connection, settings: Settings, credential: Credential | None, *, refresh: bool
) -> Current | None:
    """The living session of a credential; an API token is none. With `refresh` it is slid when that is due."""
    if credential is None or credential.is_api_token:
        return None
    stored = stored_session_token(settings, credential.token)
    found = None if stored is None else await queries.session_with_user(connection, stored)
    now = datetime.now(UTC)
    if found is None or found[0]["expiresAt"] <= now:
        return None
    session, user = found
    if not refresh or not slide_is_due(session["expiresAt"], session["createdAt"], now):
        return Current(credential.token, session, user)
    until = await slide(connection, session["id"], now)
    return Current(credential.token, {**session, "expiresAt": until, "updatedAt": now}, user, slid=True)


async def create(connection: Connection, settings: Settings, user_id: str, client: Client, *, remember: bool) -> str:
    """A new session's token, which is kept nowhere but with the caller."""
    token, now = random_id(), milliseconds(datetime.now(UTC))
    stored, until = stored_session_token(settings, token), now + (SESSION_LIFE if remember else SHORT_SESSION_LIFE)
    user_agent = "".join(c for c in client.user_agent if c.isprintable())[:MAX_USER_AGENT]
    await connection.execute(_INSERT, random_id(), user_id, stored, now, until, client.address, user_agent)
    return token


async def create_if_password_stands(
    connection: Connection, settings: Settings, account: Row, user_id: str, client: Client, *, remember: bool
) -> str | None:
    """As `create`; None when the password was changed or the user deleted while it was being verified."""
    if await connection.fetchval(_LOCK_ACCOUNT, account["id"], account["password"]) is None:
        return None
    return await create(connection, settings, user_id, client, remember=remember)


async def listing(connection: Connection, current: Current) -> list[Row]:
    """The user's living sessions. Of all but the caller's own, `token` is the session's id: a handle to revoke it.

    No answer ever holds a credential that its reader did not already have, also where the table stores plain tokens.
    """
    rows = await queries.active_sessions(connection, current.user_id, datetime.now(UTC))
    return [{**r, "token": current.token if r["id"] == current.session_id else r["id"]} for r in rows]


async def revoke(connection: Connection, settings: Settings, current: Current, token: str) -> bool:
    """End one of the user's sessions, named by its token or its handle; whether it was the current one.

    A session that is none of theirs is left alone without a word, as better-auth does.
    """
    ended = await connection.fetch(_REVOKE, current.user_id, token, stored_session_token(settings, token))
    return current.session_id in {row["id"] for row in ended}


async def end(connection: Connection, current: Current) -> None:
    """End the session of this very request."""
    await connection.execute(_END, current.session_id)


async def revoke_all(connection: Connection, user_id: str, *, keep: str | None = None) -> None:
    """End the user's sessions, but for the one with id `keep`."""
    await connection.execute(_REVOKE_ALL, user_id, keep)


async def purge_expired(connection: Connection) -> int:
    """Delete some expired sessions, verifications and API tokens; how many rows went, 0 when none are left."""
    return sum([int((await connection.execute(statement)).split()[-1]) for statement in _PURGE])

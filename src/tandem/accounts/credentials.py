"""From a request's credential to its Principal: one query in the common case, on the caller's connection.

A credential is `Authorization: Bearer` with a session token (raw or signed) or an API token, else the session cookie.
Every request of every service comes through here, so it reads the raw headers and builds nothing it does not need.
"""

from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from tandem.accounts.cookies import COOKIE, SECURE_COOKIE, not_remembered, session_cookie
from tandem.accounts.origins import distrusted
from tandem.accounts.principal import Principal
from tandem.accounts.secrets import (
    API_TOKEN_PREFIX,
    hash_api_token,
    readable,
    stored_session_token,
    unsign,
)
from tandem.core.db import Connection
from tandem.core.errors import Forbidden, Unauthorized
from tandem.core.settings import Settings

SESSION_LIFE = timedelta(days=7)
SHORT_SESSION_LIFE = timedelta(days=1)  # rememberMe=false; such a session is not slid
SLIDE_AFTER = timedelta(days=1)
TOKEN_USE_INTERVAL = timedelta(minutes=1)  # last_used_at is written at most this often
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_SESSION = 'SELECT id, "userId", "expiresAt", "createdAt" FROM "session" WHERE token = $1'
_SLIDE = 'UPDATE "session" SET "expiresAt" = $2, "updatedAt" = $3 WHERE id = $1 AND "expiresAt" < $2'
_API_TOKEN = "SELECT id, user_id, scopes, expires_at, last_used_at FROM api_tokens WHERE token_hash = $1"  # noqa: S105
_USED = "UPDATE api_tokens SET last_used_at = $2 WHERE id = $1 AND last_used_at IS NOT DISTINCT FROM $3"


class InvalidOrigin(Forbidden):
    code, title = "invalid_origin", "A cookie works only from a trusted web origin"


@dataclass(frozen=True, slots=True)
class Credential:
    """`token` is the raw token, its signature already checked where there was one."""

    token: str
    from_cookie: bool = False

    @property
    def is_api_token(self) -> bool:
        return self.token.startswith(API_TOKEN_PREFIX)


async def authenticate(connection: Connection, request: Request) -> Principal:
    """Who calls; raises Unauthorized, and InvalidOrigin for a cookie that another site made the browser send."""
    scope = request.scope
    settings: Settings = scope["app"].state.settings
    credential = read_credential(scope, settings)
    if credential is None:
        raise Unauthorized()
    if credential.is_api_token:
        return await _api_token_principal(connection, scope, credential.token)
    if credential.from_cookie and scope["method"] not in SAFE_METHODS and distrusted(scope, settings):
        raise InvalidOrigin("Send this from an origin in CORS_ORIGINS, or with an Authorization: Bearer header")
    stored = stored_session_token(settings, credential.token)
    row = None if stored is None else await connection.fetchrow(_SESSION, stored)
    now = datetime.now(UTC)
    if row is None or row["expiresAt"] <= now:
        raise Unauthorized("This session is unknown or has ended; sign in again")
    if slide_is_due(row["expiresAt"], row["createdAt"], now) and not not_remembered(request, settings):
        await slide(connection, row["id"], now)
        if credential.from_cookie:  # the browser shall keep the cookie as long as the session lives
            cookie = session_cookie(settings, scope, credential.token, SESSION_LIFE)
            scope.setdefault("tandem.headers", {})["Set-Cookie"] = cookie
    scope["tandem.user_id"] = row["userId"]
    return Principal(user_id=row["userId"], via="session", actor=f"session:{row['id']}")


def read_credential(scope: MutableMapping[str, Any], settings: Settings) -> Credential | None:
    """What the request presents, before it is looked up; None for nothing, or nothing of ours.

    A Bearer header decides alone: a wrong one is not rescued by a cookie. Other schemes leave the cookie to speak.
    """
    cookies: str | None = None
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return _bearer(value[7:].decode("latin-1").strip(), settings)
        if name == b"cookie":
            text = value.decode("latin-1")
            cookies = text if cookies is None else f"{cookies}; {text}"
    return None if cookies is None else _cookie(cookies, settings)


def slide_is_due(expires_at: datetime, created_at: datetime, now: datetime) -> bool:
    """Over a day since the session was made or slid. One made to last a day (rememberMe=false) is left alone."""
    return expires_at - now <= SESSION_LIFE - SLIDE_AFTER and expires_at - created_at > 2 * SHORT_SESSION_LIFE


async def slide(connection: Connection, session_id: str, now: datetime) -> datetime:
    """Give the session a full life from `now`; when it ends then."""
    now = milliseconds(now)
    await connection.execute(_SLIDE, session_id, now + SESSION_LIFE, now)
    return now + SESSION_LIFE


def milliseconds(moment: datetime) -> datetime:
    """Cut to milliseconds, the precision of JavaScript and so of every time in these tables."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def _api_token_principal(connection: Connection, scope: MutableMapping[str, Any], token: str) -> Principal:
    row = await connection.fetchrow(_API_TOKEN, hash_api_token(token))
    now = datetime.now(UTC)
    if row is None or (row["expires_at"] is not None and row["expires_at"] <= now):
        raise Unauthorized("This API token is unknown, revoked or expired")
    used = row["last_used_at"]
    if used is None or now - used >= TOKEN_USE_INTERVAL:
        await connection.execute(_USED, row["id"], milliseconds(now), used)
    scope["tandem.user_id"] = row["user_id"]
    return Principal(
        user_id=row["user_id"],
        via="api_token",
        actor=f"token:{row['id']}",
        scopes=frozenset(row["scopes"]),
    )


def _bearer(token: str, settings: Settings) -> Credential | None:
    if "." in token or "%" in token:
        value = unsign(settings, token)
        return None if value is None else Credential(value)
    return Credential(token) if readable(token) else None


def _cookie(header: str, settings: Settings) -> Credential | None:
    plain = None
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == SECURE_COOKIE:  # browsers take this name over https only, so it cannot have been planted
            plain = value
            break
        if name == COOKIE and plain is None:
            plain = value
    token = None if plain is None else unsign(settings, plain.strip('"'))
    # An API token is for programs; only a session may travel in a cookie.
    return None if token is None or token.startswith(API_TOKEN_PREFIX) else Credential(token, from_cookie=True)

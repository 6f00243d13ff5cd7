"""Personal API tokens: created, listed and deleted by their owner."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from tandem.accounts.credentials import milliseconds
from tandem.accounts.secrets import hash_api_token, random_api_token
from tandem.accounts.tokens.schemas import NewToken
from tandem.core.db import Connection
from tandem.core.errors import Conflict, NotFound, Unauthorized
from tandem.core.ids import uuid7

MAX_TOKENS = 50  # of one user
Row = Mapping[str, Any]

_COLUMNS = "id, name, scopes, prefix, last4, created_at, expires_at, last_used_at"
_LOCK_USER = 'SELECT id FROM "user" WHERE id = $1 FOR NO KEY UPDATE'
_COUNT = "SELECT count(*) FROM api_tokens WHERE user_id = $1"
_PAGE = f"""
    SELECT {_COLUMNS} FROM api_tokens WHERE user_id = $1
    ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3"""  # noqa: S608 - our own column names
_INSERT = f"""
    INSERT INTO api_tokens (id, user_id, name, scopes, token_hash, prefix, last4, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING {_COLUMNS}"""  # noqa: S608 - our own column names
_DELETE = "DELETE FROM api_tokens WHERE id = $1 AND user_id = $2 RETURNING id"


class TooManyTokens(Conflict):
    code, title = "too_many_tokens", f"A user may have {MAX_TOKENS} API tokens; delete one first"


async def create(connection: Connection, user_id: str, wish: NewToken) -> tuple[str, Row]:
    """The token, which is kept nowhere, and its row. Raises TooManyTokens. Needs a transaction."""
    # Two requests at once shall not both find room for the last one; inserts of the user's other rows go on meanwhile.
    if await connection.fetchval(_LOCK_USER, user_id) is None:
        raise Unauthorized("This account was deleted")
    if await connection.fetchval(_COUNT, user_id) >= MAX_TOKENS:
        raise TooManyTokens()
    token, now = random_api_token(), milliseconds(datetime.now(UTC))
    scopes = sorted(set(wish.scopes))
    shown = token[:8], token[-4:]
    row = await connection.fetchrow(
        _INSERT, uuid7(), user_id, wish.name, scopes, hash_api_token(token), *shown, now, wish.expires_at
    )
    return token, cast(Row, row)


async def listing(connection: Connection, user_id: str, *, page: int, limit: int) -> dict[str, Any]:
    """A page of the user's tokens, the newest first: items, total, page, limit, pages."""
    total = await connection.fetchval(_COUNT, user_id)
    rows: Sequence[Row] = await connection.fetch(_PAGE, user_id, limit, (page - 1) * limit)
    items = [dict(row) for row in rows]
    return {"items": items, "total": total, "page": page, "limit": limit, "pages": math.ceil(total / limit)}


async def remove(connection: Connection, user_id: str, token_id: UUID) -> None:
    """Works at once: the next request with that token is refused. Raises NotFound."""
    if await connection.fetchval(_DELETE, token_id, user_id) is None:
        raise NotFound("There is no such token of yours")

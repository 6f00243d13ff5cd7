"""The responses kept for requests that carry an Idempotency-Key. Keys belong to one user in one organization."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tandem.core.db import Connection, fetch_one

if TYPE_CHECKING:
    import asyncpg

_KEPT_HEADERS = ("etag", "location", "content-type")

# A repetition while the first request is still at work waits here for its end (LOCK_TIMEOUT, then a 503).
_CLAIM = """
INSERT INTO idempotency_keys (org_id, user_id, key, fingerprint) VALUES ($1, $2, $3, $4)
    ON CONFLICT (org_id, user_id, key) DO NOTHING RETURNING key"""
_FIND = """
SELECT fingerprint, status, headers::text, body FROM idempotency_keys WHERE org_id = $1 AND user_id = $2 AND key = $3"""
_KEEP = """
UPDATE idempotency_keys SET status = $4, headers = $5::jsonb, body = $6
 WHERE org_id = $1 AND user_id = $2 AND key = $3"""
_PURGE = """
DELETE FROM idempotency_keys WHERE (org_id, user_id, key) IN (
  SELECT org_id, user_id, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT 1000)
RETURNING 1"""


async def claim(
    connection: Connection, org_id: str, user_id: str, key: str, fingerprint: bytes
) -> "asyncpg.Record | None":
    """None when the key is this request's now, else what was kept for it: fingerprint, status, headers, body."""
    if await connection.fetchval(_CLAIM, org_id, user_id, key, fingerprint) is not None:
        return None
    return await fetch_one(connection, _FIND, org_id, user_id, key)


async def keep(
    connection: Connection, claimed: tuple[str, str, str], status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Complete the key that this transaction has claimed: (org_id, user_id, key)."""
    kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
    await connection.execute(_KEEP, *claimed, status, json.dumps(kept), body)


async def purge(connection: Connection) -> int:
    """Forget a thousand keys older than a day; how many there were."""
    return len(await connection.fetch(_PURGE))

"""The limit: a bare ASGI callable on asyncpg's own pool, which authenticates nobody, checks nothing and logs nothing.

GET /list/<user>, GET /get/<user>/<task>, POST /create/<user>. Reads come from Momentum's table with Momentum's columns,
so both servers move the same bytes; writes go to a table of their own, without its triggers.
"""

import json
import os
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from benchmarks.seeds import RAW_TABLE
from tandem.core.postgres_url import parse_database_url
from tandem.momentum.tasks.sql import COLUMNS, JSON

LIST = f"""SELECT json_agg(q)::text FROM (
  SELECT {COLUMNS} FROM tasks t WHERE t.user_id = $1 AND t.deleted_at IS NULL ORDER BY t.position, t.id LIMIT 50) q"""
GET = f"SELECT {JSON} FROM tasks t WHERE t.user_id = $1 AND t.id = $2"
INSERT = f"INSERT INTO {RAW_TABLE} AS t (user_id, id, title, description) VALUES ($1, $2, $3, $4) RETURNING {JSON}"

_state: dict[str, Any] = {}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    _, what, user, *rest = scope["path"].split("/")
    async with _state["pool"].acquire() as connection:
        if what == "list":
            text = await connection.fetchval(LIST, user)
        elif what == "get":
            text = await connection.fetchval(GET, user, UUID(rest[0]))
        else:
            data = json.loads(await _body(receive))
            text = await connection.fetchval(INSERT, user, uuid4(), data["title"], data["description"])
    body = text.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Any) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            where = parse_database_url(os.environ["DATABASE_URL"])
            _state["pool"] = await asyncpg.create_pool(**where.asyncpg_args, min_size=5, max_size=15)
            await send({"type": "lifespan.startup.complete"})
        else:
            await _state["pool"].close()
            await send({"type": "lifespan.shutdown.complete"})
            return

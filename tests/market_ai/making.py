"""Brands, campaigns and content made through the API; each call gives the entity, and fails the test on an error."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import asyncpg

from tandem.core.postgres_url import parse_database_url

_numbers = count(1)


async def make_brand(client: Any, who: Any, name: str | None = None, **fields: Any) -> dict[str, Any]:
    return await _post(client, who, "/api/brands", {"name": name or f"Brand {next(_numbers)}", **fields})


async def make_campaign(client: Any, who: Any, name: str = "Christmas stollen", **fields: Any) -> dict[str, Any]:
    return await _post(client, who, "/api/campaigns", {"name": name, "type": "email", **fields})


async def make_content(client: Any, who: Any, campaign: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"kind": "email", "title": "First mail", "body": "Stollen is back.", **fields}
    return await _post(client, who, f"/api/campaigns/{campaign['id']}/content", body)


async def post(client: Any, who: Any, path: str, body: Any = None, **headers: str) -> Any:
    """The answer to a POST, with or without a body."""
    sent = {} if body is None else {"json": body}
    return await client.post(path, headers=who.headers | headers, **sent)


async def problem(request: Any) -> tuple[int, str]:
    """Status and code of what a request answers."""
    response = await request
    return response.status_code, response.json()["code"]


async def audited(client: Any, who: Any, object_id: str) -> list[str]:
    """What was done to an object, the first thing first."""
    trail = (await client.get("/api/audit", params={"object_id": object_id}, headers=who.headers)).json()
    return [event["action"] for event in reversed(trail["items"])]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """A connection past the API, in autocommit."""
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    try:
        yield connection
    finally:
        await connection.close()


async def _post(client: Any, who: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await post(client, who, path, body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made

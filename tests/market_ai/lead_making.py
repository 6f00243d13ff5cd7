"""Leads made through the API; each call gives the entity, and fails the test on an error."""

from itertools import count
from typing import Any

from tests.market_ai.making import post

GRANTED = {"status": "granted", "source": "newsletter form", "at": "2026-11-01T09:00:00Z", "proof": "double opt-in"}
_numbers = count(1)


async def make_lead(client: Any, who: Any, email: str | None = None, **fields: Any) -> dict[str, Any]:
    body = {"email": email or f"lead{next(_numbers)}@example.com", **fields}
    return await made(post(client, who, "/api/leads", body))


async def make_segment(client: Any, who: Any, text: str, name: str | None = None) -> dict[str, Any]:
    body = {"name": name or f"Segment {next(_numbers)}", "filter": text}
    return await made(post(client, who, "/api/segments", body))


async def suppress(client: Any, who: Any, email: str, **fields: Any) -> dict[str, Any]:
    return await made(post(client, who, "/api/suppressions", {"email": email, **fields}))


async def made(request: Any) -> dict[str, Any]:
    response = await request
    assert response.status_code in {200, 201}, response.text
    entity: dict[str, Any] = response.json()
    return entity

"""Leads made through the API, and imports followed to their end; each call fails the test on an error."""

import asyncio
import csv
import io
from itertools import count
from typing import Any

from tandem.market_ai.imports.schemas import ImportOut
from tests.market_ai.conftest import Member
from tests.market_ai.making import post

GRANTED = {"status": "granted", "source": "newsletter form", "at": "2026-11-01T09:00:00Z", "proof": "double opt-in"}
IMPORTS = "/api/leads/imports"
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


async def upload(
    market: Any,
    who: Member,
    data: bytes | str,
    *,
    path: str = IMPORTS,
    name: str = "leads.csv",
    key: str = "",
    **fields: Any,
) -> Any:
    file = (name, data.encode() if isinstance(data, str) else data, "text/csv")
    headers = who.headers | ({"Idempotency-Key": key} if key else {})
    return await market.post(path, data=fields, files={"file": file}, headers=headers)


async def finished(market: Any, who: Member, import_id: str, *, path: str = IMPORTS) -> dict[str, Any]:
    async with asyncio.timeout(120):
        while True:
            answer = await market.get(f"{path}/{import_id}", headers=who.headers)
            assert answer.status_code == 200, answer.text
            ImportOut.model_validate_json(answer.content, strict=True, extra="forbid")
            found: dict[str, Any] = answer.json()
            if found["status"] not in {"queued", "running"}:
                return found
            await asyncio.sleep(0.05)


async def imported(
    market: Any, who: Member, data: bytes | str, *, path: str = IMPORTS, **fields: Any
) -> dict[str, Any]:
    started = await upload(market, who, data, path=path, **fields)
    assert started.status_code == 202, started.text
    ended = await finished(market, who, started.json()["id"], path=path)
    assert ended["status"] == "succeeded", ended
    return ended


async def report(market: Any, who: Member, one: dict[str, Any], *, path: str = IMPORTS) -> list[list[str]]:
    answer = await market.get(f"{path}/{one['id']}/report", headers=who.headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.reader(io.StringIO(answer.text, newline=""), strict=True))[1:]


def counts(one: dict[str, Any]) -> tuple[int, ...]:
    assert one["rows"] == one["created"] + one["updated"] + one["unchanged"] + one["errors"]
    return one["created"], one["updated"], one["unchanged"], one["errors"]

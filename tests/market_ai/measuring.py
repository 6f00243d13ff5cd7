"""Metrics for tests: rows, and sending them."""

from datetime import date, timedelta
from typing import Any

FIRST = date(2026, 9, 1)  # a Tuesday


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def row(number: int, **fields: Any) -> dict[str, Any]:
    """Of the day of this number, with zeros for what is not named."""
    return {"date": day(number), "channel": "newsletter", "variant": "A", **fields}


def url(campaign: dict[str, Any], what: str) -> str:
    return f"/api/campaigns/{campaign['id']}/{what}"


async def put(client: Any, who: Any, campaign: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    answer = await client.put(url(campaign, "metrics"), json={"rows": rows}, headers=who.headers)
    assert answer.status_code == 200, answer.text
    stored: dict[str, Any] = answer.json()
    return stored

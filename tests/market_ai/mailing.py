"""Leads, approved mails and sends as tests make them, and sends followed to their end."""

import asyncio
from typing import Any
from uuid import UUID

from tests.market_ai.making import connected, make_campaign, make_content, post

COPY = {
    "headline": "Stollen is back",
    "body": "Dear {{ lead.name }},\n\nthree hundred are *left*. [See them](https://shop.example.com/stollen)",
    "call_to_action": "Reserve yours",
    "channel": {"subject": "Stollen for {{ lead.name }}", "url": "https://shop.example.com/reserve"},
}
_LEADS = """
INSERT INTO leads (org_id, id, email, email_key, name, attributes, consent, consent_at)
SELECT $1, gen_random_uuid(), e, lower(e), 'Lead ' || n, '{"city": "Ulm"}', 'granted', now()
  FROM unnest($2::text[]) WITH ORDINALITY AS t(e, n) RETURNING id, email"""


async def make_leads(url: str, org_id: str, *emails: str) -> dict[str, UUID]:
    """Who may be written to, by address."""
    async with connected(url) as connection:
        return {row["email"]: row["id"] for row in await connection.fetch(_LEADS, org_id, list(emails))}


async def make_mail(client: Any, who: Any, **copy: Any) -> tuple[dict[str, Any], str]:
    """An active campaign, and the id of an approved e-mail in it."""
    campaign = await make_campaign(client, who)
    assert (await post(client, who, f"/api/campaigns/{campaign['id']}/activate")).status_code == 200
    return campaign, await approve_mail(client, who, campaign, **copy)


async def approve_mail(client: Any, who: Any, campaign: dict[str, Any], **copy: Any) -> str:
    content = await make_content(client, who, campaign, **(COPY | copy))
    for move in ("submit", "approve"):
        answer = await post(client, who, f"/api/content/{content['id']}/{move}")
        assert answer.status_code == 200, answer.text
    return str(content["id"])


async def order(client: Any, who: Any, campaign: dict[str, Any], content: str, **body: Any) -> dict[str, Any]:
    answer = await post(client, who, f"/api/campaigns/{campaign['id']}/send", {"content_id": content, **body})
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    assert sum(made["states"].values()) == made["planned"]
    return made


async def get_send(client: Any, who: Any, send_id: str) -> dict[str, Any]:
    send: dict[str, Any] = (await client.get(f"/api/sends/{send_id}", headers=who.headers)).json()
    assert sum(send["states"].values()) == send["planned"], send
    return send


async def until(client: Any, who: Any, send: dict[str, Any], true: Any, *, within: float = 60) -> dict[str, Any]:
    """The send, once `true` of it; its states sum up whenever it is looked at."""
    async with asyncio.timeout(within):
        while not true(now := await get_send(client, who, send["id"])):  # noqa: ASYNC110 - what changes is in the database
            await asyncio.sleep(0.05)
    return now


async def completed(client: Any, who: Any, send: dict[str, Any]) -> dict[str, Any]:
    return await until(client, who, send, lambda now: now["status"] == "completed")


async def deliveries(client: Any, who: Any, send: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    params = {"send_id": send["id"], "limit": 200, **query}
    answer = await client.get("/api/deliveries", params=params, headers=who.headers)
    items: list[dict[str, Any]] = answer.json()["items"]
    return items

"""A campaign that has sent mail: leads, a template, a send, and a delivery whose outcome nobody knows."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg

from tandem.core.ids import uuid7
from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.sending.service import hear
from tandem.market_ai.tenancy import personal_organization
from tests.builders import User
from tests.conformance.live import LiveServer
from tests.conformance.mail_requests import HTML

KINDS = ("mailing", "letter", "template", "audience", "reader", "send", "delivery")
_LEAD = """
INSERT INTO leads (org_id, id, email, email_key, name, consent, consent_at) VALUES ($1, $2, $3, $3, $4, 'granted', now())"""


def furnish(server: LiveServer, user: User, word: str) -> dict[str, str]:
    org = personal_organization(user.id)
    segment, lead = asyncio.run(_audience(server.database_url, org, word))
    campaign = _post(server, user, "/api/campaigns", {"name": f"{word} mailing", "type": "email"})["id"]
    _post(server, user, f"/api/campaigns/{campaign}/activate")
    copy = {
        "kind": "email",
        "title": f"{word} letter",
        "headline": f"{word} for you",
        "body": "Dear {{ lead.name | default('friend') }}.",
    }
    letter = _post(server, user, f"/api/campaigns/{campaign}/content", copy)["id"]
    for move in ("submit", "approve"):
        _post(server, user, f"/api/content/{letter}/{move}")
    template = _post(server, user, "/api/templates", {"name": f"{word} template", "html": HTML})["id"]
    send = _post(server, user, f"/api/campaigns/{campaign}/send", {"content_id": letter})["id"]
    delivery = server.api(user, "GET", f"/api/deliveries?send_id={send}")["items"][0]["id"]
    asyncio.run(_unknown(server, org, UUID(send), UUID(delivery), word))
    found = {"mailing": campaign, "letter": letter, "template": template, "audience": segment, "reader": lead}
    return {**found, "send": send, "delivery": delivery}


async def _audience(database_url: str, org: str, word: str) -> tuple[str, str]:
    segment, lead = uuid7(), uuid7()
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    try:
        await connection.execute(_LEAD, org, lead, f"{word}.one@example.com", f"{word} one")
        await connection.execute(
            "INSERT INTO segments (org_id, id, name, filter) VALUES ($1, $2, $3, $4)",
            *(org, segment, f"{word} audience", 'email contains "example"'),
        )
    finally:
        await connection.close()
    return str(segment), str(lead)


async def _unknown(server: LiveServer, org: str, send: UUID, delivery: UUID, word: str) -> None:
    """As a worker leaves it that dies between the message and its answer; and one more lead, who has had no mail."""
    connection = await asyncpg.connect(**parse_database_url(server.database_url).asyncpg_args)
    try:
        for state in ("claimed", "handed_off", "unknown"):
            sql = "UPDATE deliveries SET state = $3, claimed_by = $4, claimed_attempt = 1 WHERE org_id = $1 AND id = $2"
            await connection.execute(sql, org, delivery, state, uuid7())
        await connection.execute(
            "INSERT INTO tracked_links VALUES ($1, $2, 1, $3)", org, send, f"{server.url}/health/live"
        )
        async with connection.transaction():
            await hear(connection, org, delivery, "deferred", "webhook", "1", detail=word)
        await connection.execute(_LEAD, org, uuid7(), f"{word}.two@example.com", f"{word} two")
    finally:
        await connection.close()


def _post(server: LiveServer, user: User, path: str, body: dict[str, Any] | None = None) -> Any:
    return server.api(user, "POST", path, **({} if body is None else {"json": body}))

"""Every write of Market AI is in the audit trail, and one that creates or spends can be repeated safely."""

import pytest

from tests.conformance.live import LiveServer
from tests.conformance.market_ai import MarketAi
from tests.conformance.operations import Operation
from tests.conformance.service import Service, send
from tests.conformance.services import SERVICES
from tests.conformance.tables import Tables

[MARKET_AI] = [service for service in SERVICES if isinstance(service, MarketAi)]
ELSEWHERE = ("/api/auth", "/api/tokens", "/api/mail/events", "/u/")  # of accounts, of providers and of recipients
WRITES = [
    operation
    for operation in MARKET_AI.operations
    if operation.method != "GET"
    and not operation.path.startswith(ELSEWHERE)
    and str(operation) != "POST /api/campaigns/{campaign_id}/send/preview"  # which writes nothing
]
POSTS = [operation for operation in WRITES if operation.method == "POST"]
# What these do is done once by their nature: a state is left, an invitation used up, a name given away.
MOVES = {
    *(f"POST /api/campaigns/{{campaign_id}}/{move}" for move in ("activate", "pause", "resume", "complete", "archive")),
    *(f"POST /api/content/{{content_id}}/{move}" for move in ("submit", "approve", "reject", "publish", "archive")),
    *(f"POST /api/sends/{{send_id}}/{move}" for move in ("pause", "resume", "cancel")),
    "POST /api/deliveries/{delivery_id}/resolve", "POST /api/leads/{lead_id}/erase",
    "POST /api/invitations/accept", "POST /api/organizations",
}  # fmt: skip
TRAIL = "SELECT count(*) FROM audit_events WHERE user_id = $1 AND actor LIKE 'session:%'"


def repeatable(operation: Operation) -> bool:
    return "idempotency-key" in {name.lower() for name in operation.parameters("header")}


@pytest.fixture
def service() -> Service:
    return MARKET_AI


@pytest.mark.parametrize("operation", WRITES, ids=str)
def test_a_write_is_in_the_audit_trail(
    service: Service, server: LiveServer, tables: Tables, operation: Operation
) -> None:
    mine = service.furnish(server, whole=service.needs_the_whole(operation))
    service.prepare(server, mine, operation)
    before = tables.fetchval(TRAIL, mine.user.id)
    response = send(server, mine, operation, service.sent(mine, operation)[0])
    assert response.ok, response.text
    assert tables.fetchval(TRAIL, mine.user.id) == before + 1


def test_every_post_is_a_move_or_takes_an_idempotency_key() -> None:
    assert {str(operation) for operation in POSTS if not repeatable(operation)} == MOVES


@pytest.mark.parametrize("operation", [operation for operation in POSTS if repeatable(operation)], ids=str)
def test_a_repetition_gets_the_first_answer_and_does_nothing(
    service: Service, server: LiveServer, tables: Tables, operation: Operation
) -> None:
    mine = service.furnish(server, whole=service.needs_the_whole(operation))
    service.prepare(server, mine, operation)
    sent, key = service.sent(mine, operation)[0], {"Idempotency-Key": "the-same"}
    first = send(server, mine, operation, sent, headers=key)
    assert first.ok, first.text
    assert "idempotent-replayed" not in first.headers
    before = tables.checksums()
    second = send(server, mine, operation, sent, headers=key)
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers.get("etag") == first.headers.get("etag")
    assert tables.checksums() == before

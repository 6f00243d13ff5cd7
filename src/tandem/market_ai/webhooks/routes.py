"""HTTP of webhooks. All of it is for admins: addresses and logs may hold what only they should see."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from tandem.core.errors import InvalidPayload, NotFound
from tandem.core.openapi import responses
from tandem.core.ratelimit import Limit
from tandem.core.responses import json_response
from tandem.core.saved import saved_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter
from tandem.market_ai.webhooks import queries, service
from tandem.market_ai.webhooks.addresses import Network
from tandem.market_ai.webhooks.schemas import (
    DeliveryDetail,
    DeliveryFilter,
    DeliveryPage,
    RotateSecret,
    WebhookCreate,
    WebhookFilter,
    WebhookOut,
    WebhookPage,
    WebhookPatch,
    WebhookWithSecret,
)
from tandem.market_ai.webhooks.service import TooManyWebhooks, WebhookDisabled

router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])
SENDING = Limit("20/minute", name="webhook-sending")
Read = Annotated[OrgReader, reading("webhooks:read", role="admin")]
Write = Annotated[OrgWriter, writing("webhooks:write", role="admin")]
Create = Annotated[OrgWriter, creating("webhooks:write", role="admin")]
Send = Annotated[OrgWriter, creating("webhooks:write", role="admin", limit=SENDING)]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]


@router.get("", response_model=WebhookPage, responses=responses(InsufficientRole))
async def list_webhooks(reader: Read, query: Annotated[WebhookFilter, Query()]) -> Response:
    """The latest first. For admins, as all of this."""
    return (await queries.list_webhooks(reader.connection, reader.org_id, query)).response(query)


@router.post(
    "",
    response_model=WebhookWithSecret,
    status_code=201,
    responses=responses(InvalidPayload, TooManyWebhooks, InsufficientRole),
)
async def create_webhook(request: Request, writer: Create, data: WebhookCreate) -> Response:
    """The answer shows the `secret` to check signatures with, once."""
    return await writer.answer(saved_response(await service.create_webhook(writer, data, _networks(request))))


@router.get("/{webhook_id}", response_model=WebhookOut, responses=responses(InsufficientRole))
async def get_webhook(reader: Read, webhook_id: UUID) -> Response:
    row = await queries.get_webhook(reader.connection, reader.org_id, webhook_id)
    return json_response(row["json"], version=row["version"])


@router.patch("/{webhook_id}", response_model=WebhookOut, responses=responses(InvalidPayload, InsufficientRole))
async def patch_webhook(
    request: Request, writer: Write, webhook_id: UUID, data: WebhookPatch, if_match: IfMatch = None
) -> Response:
    """Fields that are absent stay."""
    return saved_response(await service.patch_webhook(writer, webhook_id, data, _networks(request), if_match))


@router.delete("/{webhook_id}", status_code=204, responses=responses(InsufficientRole))
async def delete_webhook(writer: Write, webhook_id: UUID, if_match: IfMatch = None) -> None:
    """With its log, and whatever is still to be delivered to it."""
    await service.delete_webhook(writer, webhook_id, if_match)


@router.post("/{webhook_id}/rotate-secret", response_model=WebhookWithSecret, responses=responses(InsufficientRole))
async def rotate_secret(writer: Create, webhook_id: UUID, data: RotateSecret, if_match: IfMatch = None) -> Response:
    """The answer shows the new `secret`, once; for the overlap, deliveries are signed with the old one too."""
    overlap = timedelta(hours=data.overlap_hours)
    saved = await service.rotate_secret(writer, webhook_id, overlap, if_match)
    return await writer.answer(saved_response(saved))


@router.post(
    "/{webhook_id}/test",
    response_model=DeliveryDetail,
    status_code=202,
    responses=responses(NotFound, WebhookDisabled, InsufficientRole),
)
async def test_webhook(writer: Send, webhook_id: UUID) -> Response:
    """Send it a `webhook.test` event, with one attempt. Twenty a minute for each user, as redeliveries."""
    return await writer.answer(json_response(await service.send_test(writer, webhook_id), status=202))


@router.get("/{webhook_id}/deliveries", response_model=DeliveryPage, responses=responses(NotFound, InsufficientRole))
async def list_deliveries(reader: Read, webhook_id: UUID, query: Annotated[DeliveryFilter, Query()]) -> Response:
    """The latest first; they are kept for thirty days."""
    page = await queries.list_deliveries(reader.connection, reader.org_id, webhook_id, query)
    return page.response(query)


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}", response_model=DeliveryDetail, responses=responses(InsufficientRole)
)
async def get_delivery(reader: Read, webhook_id: UUID, delivery_id: UUID) -> Response:
    """With its payload and its attempts."""
    return json_response(await queries.get_delivery(reader.connection, reader.org_id, webhook_id, delivery_id))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    response_model=DeliveryDetail,
    status_code=202,
    responses=responses(NotFound, WebhookDisabled, InsufficientRole),
)
async def redeliver(writer: Send, webhook_id: UUID, delivery_id: UUID) -> Response:
    """Now, whatever became of it before, under the same `webhook-id`."""
    return await writer.answer(json_response(await service.redeliver(writer, webhook_id, delivery_id), status=202))


def _networks(request: Request) -> Sequence[Network]:
    networks: Sequence[Network] = request.app.state.settings.webhook_networks
    return networks

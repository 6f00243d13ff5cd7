"""HTTP of sending: orders under `/api/campaigns/{id}/send`, what became of them under `/api/sends`, each mail under
`/api/deliveries`.
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from tandem.core.errors import InvalidPayload, NotFound
from tandem.core.openapi import responses
from tandem.core.ratelimit import Limit
from tandem.core.responses import json_response
from tandem.core.saved import saved_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.campaigns.service import CampaignArchived
from tandem.market_ai.sender import MailNotConfigured, Sender, mailbox_of, sender_of
from tandem.market_ai.sending import queries, service
from tandem.market_ai.sending.planning import (
    AudienceEmpty,
    CampaignNotActive,
    ContentNotSendable,
    CopyInvalid,
    MergeFieldsMissing,
)
from tandem.market_ai.sending.schemas import (
    DeliveryFilter,
    DeliveryOut,
    DeliveryPage,
    PreviewOut,
    PreviewRequest,
    Resolution,
    SendFilter,
    SendOut,
    SendPage,
    SendRequest,
    TrialOut,
    TrialRequest,
)
from tandem.market_ai.sending.service import DeliveryNotUnknown
from tandem.market_ai.states import IllegalTransition
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

of_campaign = APIRouter(prefix="/api/campaigns/{campaign_id}/send", tags=["sending"])
sends = APIRouter(prefix="/api/sends", tags=["sending"])
deliveries = APIRouter(prefix="/api/deliveries", tags=["sending"])
TRIALS = Limit("10/minute", name="test-mail")
Read = Annotated[OrgReader, reading("sending:read")]
Order = Annotated[OrgWriter, creating("sending:write", role="manager")]
Try = Annotated[OrgWriter, creating("sending:write", limit=TRIALS)]
Manage = Annotated[OrgWriter, writing("sending:write", role="manager")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]
_MOVE: dict[str, Any] = {"response_model": SendOut, "responses": responses(IllegalTransition, InsufficientRole)}
_WRITTEN = (NotFound, ContentNotSendable, CopyInvalid, MailNotConfigured)


@of_campaign.post(
    "",
    response_model=SendOut,
    status_code=202,
    responses=responses(
        *(InsufficientRole, InvalidPayload, CampaignNotActive, MergeFieldsMissing, AudienceEmpty, *_WRITTEN)
    ),
)
async def send_campaign(request: Request, writer: Order, campaign_id: UUID, data: SendRequest) -> Response:
    """For managers. One delivery for each lead who may be written to and has had no mail of this campaign.

    Nothing is ordered when some of them lack what the mail says of them: 409 `merge_fields_missing`.
    """
    _sender(request)
    saved = await service.start_send(writer, campaign_id, data)
    return await writer.answer(json_response(saved.json, status=202, version=saved.version))


@of_campaign.post("/preview", response_model=PreviewOut, responses=responses(*_WRITTEN))
async def preview_mail(request: Request, reader: Read, campaign_id: UUID, data: PreviewRequest) -> Response:
    """The mail as a lead would get it, or somebody made up; nothing is sent."""
    found = await service.preview(reader.connection, reader.org_id, campaign_id, data, _sender(request))
    return json_response(found.model_dump_json())


@of_campaign.post(
    "/test",
    response_model=TrialOut,
    status_code=202,
    responses=responses(InsufficientRole, CampaignArchived, *_WRITTEN),
)
async def send_test_mail(request: Request, writer: Try, campaign_id: UUID, data: TrialRequest) -> Response:
    """The mail to up to five addresses, marked as a test. Those that are suppressed get none. Ten a minute."""
    queued = await service.send_trial(writer, campaign_id, data, _sender(request))
    return await writer.answer(json_response(queued.model_dump_json(), status=202))


@sends.get("", response_model=SendPage)
async def list_sends(reader: Read, query: Annotated[SendFilter, Query()]) -> Response:
    """The latest first, without their numbers."""
    return (await queries.list_sends(reader.connection, reader.org_id, query)).response(query)


@sends.get("/{send_id}", response_model=SendOut)
async def get_send(reader: Read, send_id: UUID) -> Response:
    """`states` sum up to `planned`, always."""
    row = await queries.get_send(reader.connection, reader.org_id, send_id)
    return json_response(row["json"], version=row["version"])


@sends.post("/{send_id}/pause", **_MOVE)
async def pause_send(writer: Manage, send_id: UUID, if_match: IfMatch = None) -> Response:
    """For managers. What is not handed over waits."""
    return saved_response(await service.move_send(writer, send_id, "pause", if_match))


@sends.post("/{send_id}/resume", **_MOVE)
async def resume_send(writer: Manage, send_id: UUID, if_match: IfMatch = None) -> Response:
    """For managers. It goes on where it was, or at the time it is scheduled for."""
    return saved_response(await service.move_send(writer, send_id, "resume", if_match))


@sends.post("/{send_id}/cancel", **_MOVE)
async def cancel_send(writer: Manage, send_id: UUID, if_match: IfMatch = None) -> Response:
    """For managers. What is not handed over never is."""
    return saved_response(await service.move_send(writer, send_id, "cancel", if_match))


@deliveries.get("", response_model=DeliveryPage)
async def list_deliveries(reader: Read, query: Annotated[DeliveryFilter, Query()]) -> Response:
    """By id, which says nothing of their order."""
    return (await queries.list_deliveries(reader.connection, reader.org_id, query)).response(query)


@deliveries.get("/{delivery_id}", response_model=DeliveryOut)
async def get_delivery(request: Request, reader: Read, delivery_id: UUID) -> Response:
    """With its Message-ID, under which mail servers know it, and what was heard of it."""
    domain = mailbox_of(request.app.state.settings).domain
    return json_response(await queries.get_delivery(reader.connection, reader.org_id, delivery_id, domain))


@deliveries.post(
    "/{delivery_id}/resolve", response_model=DeliveryOut, responses=responses(DeliveryNotUnknown, InsufficientRole)
)
async def resolve_delivery(request: Request, writer: Manage, delivery_id: UUID, data: Resolution) -> Response:
    """For managers. What became of a delivery that is `unknown`; only `send_again` sends it once more."""
    domain = mailbox_of(request.app.state.settings).domain
    return json_response(await service.resolve_delivery(writer, delivery_id, data, domain))


def _sender(request: Request) -> Sender:
    """Raises MailNotConfigured."""
    return sender_of(request.app.state.settings)

"""HTTP of what is heard of mails: signed, so that nobody else can suppress an address.

The bodies are read here: a signature is over the bytes as they came. No rate limit, for providers send in bursts and
give up on whoever refuses; the signature is looked at before the database is.
"""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from tandem.core.errors import MalformedJson
from tandem.core.openapi import responses
from tandem.core.requests import parse_json
from tandem.core.responses import json_response
from tandem.market_ai.feedback import providers, service, signatures
from tandem.market_ai.feedback.schemas import MAX_EVENTS, EventsIn, EventsOut
from tandem.market_ai.feedback.signatures import SignatureInvalid

router = APIRouter(prefix="/api/mail/events", tags=["mail events"])


def _signed(of: str) -> dict[str, Any]:
    """Of a route whose body is documented by its provider, or in docs/market-ai-mail.md."""
    body = {"description": of, "required": True, "content": {"*/*": {"schema": {}}}}
    return {
        "response_model": EventsOut,
        "responses": responses(SignatureInvalid, MalformedJson),
        "openapi_extra": {"security": [], "requestBody": body},
    }


@router.post("", **_signed("`{events: [{id, type, message_id | report, …}]}`, signed as Standard Webhooks are."))
async def hear_events(request: Request) -> Response:
    """From your own mail server, or through a script: what became of mails, and bounce messages as they came."""
    body = await request.body()
    signatures.standard(request.app.state.settings, request.headers, body)
    try:
        events = EventsIn.model_validate(parse_json(body)).events
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in found]) from None
    return await _heard(request, "webhook", service.of_events(events), len(events))


@router.post("/sendgrid", **_signed("The Event Webhook of Twilio SendGrid, with its Signature Verification on."))
async def hear_sendgrid(request: Request) -> Response:
    body = await request.body()
    signatures.sendgrid(request.app.state.settings, request.headers, body)
    events = parse_json(body)
    count = len(events) if isinstance(events, list) else 1
    return await _heard(request, "sendgrid", [*providers.from_sendgrid(events)][: 10 * MAX_EVENTS], count)


@router.post("/mailgun", **_signed("A webhook of Mailgun."))
async def hear_mailgun(request: Request) -> Response:
    body = await request.body()
    signatures.mailgun(request.app.state.settings, request.headers, body)
    return await _heard(request, "mailgun", [*providers.from_mailgun(parse_json(body))], 1)


async def _heard(request: Request, source: str, events: list[Any], count: int) -> Response:
    told = await service.hear_all(request.app.state.database, source, events, count=count)
    return json_response(told.model_dump_json())

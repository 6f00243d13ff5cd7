"""The events of SendGrid and Mailgun, as their documentation has them in November 2026."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tandem.market_ai.feedback.schemas import Heard, Kind
from tandem.market_ai.mail.message import delivery_of

# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
_SENDGRID: dict[str, Kind] = {
    "delivered": "delivered",
    "deferred": "deferred",
    "bounce": "bounced",
    "spamreport": "complained",
    "open": "opened",
    "click": "clicked",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}
# https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure
_MAILGUN: dict[str, Kind] = {
    "delivered": "delivered",
    "failed": "bounced",
    "complained": "complained",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
}


def from_sendgrid(body: Any) -> Iterator[Heard]:
    """An array of events; what is not understood is left out."""
    for event in body if isinstance(body, list) else []:
        if not isinstance(event, dict):
            continue
        kind = _SENDGRID.get(_text(event.get("event")))
        if kind == "bounced" and _text(event.get("type")) == "blocked":  # it is the sender who is not wanted
            kind = "deferred"
        delivery_id = delivery_of(_text(event.get("smtp-id")))
        if kind is not None and delivery_id is not None and (name := _text(event.get("sg_event_id"))):
            said = _text(event.get("reason")) or _text(event.get("response")) or None
            at = _time(event.get("timestamp"))
            yield Heard(delivery_id=delivery_id, kind=kind, external_id=name, at=at, detail=said)


def from_mailgun(body: Any) -> Iterator[Heard]:
    """One event a request."""
    event = _object(_object(body).get("event-data"))
    kind = _MAILGUN.get(_text(event.get("event")))
    if kind == "bounced" and _text(event.get("severity")) != "permanent":
        kind = "deferred"
    headers = _object(_object(event.get("message")).get("headers"))
    delivery_id = delivery_of(_text(headers.get("message-id")))
    if kind is None or delivery_id is None or not (name := _text(event.get("id"))):
        return
    status = _object(event.get("delivery-status"))
    said = _text(status.get("message")) or _text(status.get("description")) or None
    yield Heard(delivery_id=delivery_id, kind=kind, external_id=name, at=_time(event.get("timestamp")), detail=said)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """NUL is nothing that Postgres could keep."""
    return value.replace("\x00", "") if isinstance(value, str) else ""


def _time(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 4_000_000_000:
        return None
    return datetime.fromtimestamp(value, UTC)

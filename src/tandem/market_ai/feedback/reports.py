"""Bounce messages (delivery status notifications, RFC 3464) and complaints (RFC 5965), as mail servers send them."""

import re
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser, BytesParser
from uuid import UUID

from tandem.market_ai.feedback.schemas import Heard, Kind
from tandem.market_ai.mail.message import delivery_of

# The address of a return path as we make it: bounces+<delivery>@…
_TAGGED = re.compile(r"\+([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@")
# Of the permanent ones (5.…), those that say something of the mail, the moment or the sender, and not of the address.
_NOT_THE_ADDRESS = re.compile(r"5\.(2\.[23]|3\.\d+|4\.\d+|5\.\d+|6\.\d+|7\.\d+)$")


def read_report(raw: bytes, external_id: str) -> Heard | None:
    """What it says of which delivery; None for a mail that is no report, or about none of ours."""
    message = BytesParser(policy=policy.default).parsebytes(raw)
    if not isinstance(message, EmailMessage) or message.get_content_type() != "multipart/report":
        return None
    delivery_id = _delivery(message)
    if delivery_id is None:
        return None
    report = str(message.get_param("report-type", "")).lower()
    if report == "feedback-report":
        return Heard(delivery_id=delivery_id, kind="complained", external_id=external_id, detail="feedback report")
    if report != "delivery-status":
        return None
    found = _status(message)
    return found and Heard(delivery_id=delivery_id, kind=found[0], external_id=external_id, detail=found[1])


def _status(message: EmailMessage) -> tuple[Kind, str] | None:
    """Of the one recipient that each of our mails has."""
    for part in message.walk():
        if part.get_content_type() != "message/delivery-status":
            continue
        for block in part.get_payload():
            if not isinstance(block, Message) or "action" not in block:
                continue
            action, status = _field(block, "action").lower(), _field(block, "status")
            said = " ".join(f"{status} {_field(block, 'diagnostic-code')}".split())[:500]
            kinds: dict[str, Kind] = {"delivered": "delivered", "relayed": "delivered", "delayed": "deferred"}
            if action == "failed":
                hard = status.startswith("5.") and not _NOT_THE_ADDRESS.match(status)
                return ("bounced" if hard else "deferred"), said
            return (kinds[action], said) if action in kinds else None
    return None


def _delivery(message: EmailMessage) -> UUID | None:
    """By the Message-ID of the mail that came back, else by the return path it came back to."""
    for part in message.walk():
        kind = part.get_content_type()
        if kind == "message/rfc822":
            inner = part.get_payload()
            original = inner[0] if isinstance(inner, list) and inner else None
        elif kind == "text/rfc822-headers":
            payload = part.get_payload(decode=True)
            original = BytesHeaderParser().parsebytes(payload) if isinstance(payload, bytes) else None
        else:
            continue
        if isinstance(original, Message) and (found := delivery_of(_field(original, "message-id"))) is not None:
            return found
    for name in ("to", "delivered-to", "x-original-to"):
        if (tagged := _TAGGED.search(_field(message, name))) is not None:
            return UUID(tagged[1])
    return None


def _field(message: Message, name: str) -> str:
    try:
        return str(message.get(name, "")).strip()
    except (ValueError, TypeError, LookupError, AttributeError):  # the parser gives up on some headers when asked
        return ""

"""The message as it goes out: both parts, and the headers that let a recipient leave and a bounce find its mail."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from uuid import UUID

from tandem.market_ai.mail.mailbox import Mailbox
from tandem.market_ai.mail.writing import Written

_MESSAGE_ID = re.compile(r"<?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.mail@[A-Za-z0-9.-]+>?")


_PRINTABLE = re.compile(r"[\x20-\x7e]{1,900}")


@dataclass(frozen=True)
class Envelope:
    """`list_id` tells mails of one campaign from others, for filters. Without `unsubscribe_url` it is no list."""

    delivery_id: UUID
    sender: Mailbox
    recipient: str
    reply_to: str | None
    list_id: str
    unsubscribe_url: str | None


def message_id(delivery_id: UUID, domain: str) -> str:
    """Always the same for a delivery, so that what is sent can be found again, by us and by the recipient's server."""
    return f"<{delivery_id}.mail@{domain}>"


def delivery_of(text: str) -> UUID | None:
    """The delivery that a Message-ID names."""
    found = _MESSAGE_ID.fullmatch(text.strip())
    return UUID(found[1]) if found else None


def build(envelope: Envelope, written: Written) -> bytes:
    """With CRLF. A header cannot be injected: ValueError for a value with a line break, or an address not in ASCII."""
    message = EmailMessage(policy=SMTP)
    message["From"] = envelope.sender.header
    message["Subject"] = written.subject
    message.set_content(written.text, cte="quoted-printable")
    message.add_alternative(written.html, subtype="html", cte="quoted-printable")
    return b"".join(_verbatim(name, value) for name, value in _headers(envelope)) + message.as_bytes()


def _headers(envelope: Envelope) -> Iterator[tuple[str, str]]:
    """Those that servers read. The email package would fold long ones, and encode an address as if it were prose."""
    yield "Date", format_datetime(datetime.now(UTC))
    yield "Message-ID", message_id(envelope.delivery_id, envelope.sender.domain)
    yield "To", envelope.recipient
    if envelope.reply_to is not None:
        yield "Reply-To", envelope.reply_to
    if envelope.unsubscribe_url is not None:
        yield "List-Id", f"<{envelope.list_id}.{envelope.sender.domain}>"
        yield "List-Unsubscribe", f"<{envelope.unsubscribe_url}>"
        yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"


def _verbatim(name: str, value: str) -> bytes:
    if not _PRINTABLE.fullmatch(value):
        raise ValueError(f"{name} must be printable ASCII")
    return f"{name}: {value}\r\n".encode("ascii")

"""What a recipient does with the links of a mail."""

from typing import Any
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.errors import NotFound
from tandem.market_ai.mail.links import PREVIEW, InvalidToken, Links, Purpose
from tandem.market_ai.sending.service import find_delivery, hear, tracked_url


class LinkUnknown(NotFound):
    code, title = "link_unknown", "This link is not valid"


def read_token(links: Links, purpose: Purpose, token: str) -> tuple[UUID, int]:
    """The delivery and the number of a link; raises LinkUnknown."""
    try:
        return links.read(purpose, token)
    except InvalidToken:
        raise LinkUnknown("Perhaps it was cut off: use the link in the mail itself") from None


async def recipient(connection: Connection, delivery_id: UUID) -> Any:
    """A record of the delivery; None for a preview. Raises LinkUnknown."""
    if delivery_id == PREVIEW:
        return None
    row = await find_delivery(connection, delivery_id)
    if row is None:
        raise LinkUnknown()
    return row


async def unsubscribe(connection: Connection, delivery_id: UUID, how: str) -> None:
    """In the caller's transaction; doing it again changes nothing. Raises LinkUnknown."""
    row = await recipient(connection, delivery_id)
    if row is not None:
        await hear(connection, row["org_id"], delivery_id, "unsubscribed", "unsubscribe-link", "once", detail=how)


async def destination(connection: Connection, delivery: Any, number: int) -> str:
    """Where a tracked link leads; raises LinkUnknown."""
    url = await tracked_url(connection, delivery["org_id"], delivery["send_id"], number)
    if url is None:
        raise LinkUnknown()
    return url

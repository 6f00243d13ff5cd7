"""From a send to the message of each of its deliveries."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from tandem.market_ai.mail.mailbox import Mailbox
from tandem.market_ai.mail.message import Envelope, build
from tandem.market_ai.mail.writing import Copy, Frame, Writer, Written, tracked, web_links
from tandem.market_ai.sender import Sender

NumberOf = Callable[[str], Awaitable[int | None]]
"""The number under which a link is kept; None for one that is not tracked."""

READ = """
SELECT s.org_id, s.id, s.campaign_id, c.name AS campaign, s.copy::text, s.from_name, s.reply_to, s.track_opens,
       s.track_clicks FROM sends s JOIN campaigns c ON c.org_id = s.org_id AND c.id = s.campaign_id
 WHERE s.org_id = $1 AND s.id = $2"""


@dataclass(frozen=True)
class Letters:
    """Of one send; templates are compiled once."""

    sender: Sender
    mailbox: Mailbox
    writer: Writer
    campaign: str
    campaign_id: UUID
    reply_to: str | None
    track_opens: bool
    track_clicks: bool

    @classmethod
    def of(cls, send: Mapping[str, Any], sender: Sender) -> Self:
        """From a row of READ. Raises TemplateFault."""
        return cls(
            sender,
            sender.mailbox.named(send["from_name"]),
            Writer(Copy(**json.loads(send["copy"]))),
            send["campaign"],
            send["campaign_id"],
            send["reply_to"],
            send["track_opens"],
            send["track_clicks"],
        )

    async def message(self, delivery: Mapping[str, Any], number_of: NumberOf) -> bytes:
        """Signed. Raises MergeFault or NoUnsubscribeLink, and ValueError for an address that no header can have."""
        unsubscribe = self.sender.links.unsubscribe(delivery["id"])
        frame = Frame(self.campaign, self.mailbox.name, self.mailbox.address, self.sender.postal_address, unsubscribe)
        written = self.writer.write(_lead(delivery), frame)
        if self.track_opens or self.track_clicks:
            written = await self._tracked(written, delivery["id"], unsubscribe, number_of)
        message = build(
            Envelope(delivery["id"], self.mailbox, delivery["email"], self.reply_to, self.campaign_id.hex, unsubscribe),
            written,
        )
        return message if self.sender.signer is None else self.sender.signer.signed(message)

    async def _tracked(self, written: Written, delivery_id: UUID, unsubscribe: str, number_of: NumberOf) -> Written:
        """The text part stays as it is: its addresses are for reading."""
        addresses: dict[str, str] = {}
        if self.track_clicks:
            for link in web_links(written.html, without=[unsubscribe]):
                if (number := await number_of(link)) is not None:
                    addresses[link] = self.sender.links.clicked(delivery_id, number)
        pixel = self.sender.links.opened(delivery_id) if self.track_opens else None
        return Written(written.subject, tracked(written.html, addresses, pixel), written.text)


def _lead(delivery: Mapping[str, Any]) -> dict[str, Any]:
    names = ("email", "name", "tags", "locale", "timezone")
    return {name: delivery[name] for name in names} | {"attributes": json.loads(delivery["attributes"] or "{}")}

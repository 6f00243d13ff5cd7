"""What follows from what is heard of mails."""

from collections.abc import Iterable, Sequence

from tandem.core.db import Database
from tandem.market_ai.feedback.reports import read_report
from tandem.market_ai.feedback.schemas import EventIn, EventsOut, Heard
from tandem.market_ai.mail.message import delivery_of
from tandem.market_ai.sending.service import find_delivery, hear


def of_events(events: Sequence[EventIn]) -> list[Heard]:
    """Those that are about a mail of ours."""
    found: list[Heard] = []
    for event in events:
        if event.type == "report":
            report = (event.report or "").encode("utf-8", "surrogateescape")
            if (heard := read_report(report, event.id)) is not None:
                found.append(heard)
        elif (delivery_id := delivery_of(event.message_id or "")) is not None:
            found.append(
                Heard(delivery_id=delivery_id, kind=event.type, external_id=event.id, at=event.at, detail=event.detail)
            )
    return found


async def hear_all(database: Database, source: str, events: Iterable[Heard], *, count: int) -> EventsOut:
    """Each in a transaction of its own: a repetition of the request finds what is done, and does the rest."""
    accepted = repeated = 0
    async with database.connection() as connection:
        for event in events:
            row = await find_delivery(connection, event.delivery_id)
            if row is None:
                continue
            async with connection.transaction():
                new = await hear(
                    connection,
                    row["org_id"],
                    event.delivery_id,
                    event.kind,
                    source,
                    event.external_id,
                    at=event.at,
                    detail=event.detail,
                )
            accepted, repeated = accepted + new, repeated + (not new)
    return EventsOut(accepted=accepted, repeated=repeated, ignored=max(0, count - accepted - repeated))

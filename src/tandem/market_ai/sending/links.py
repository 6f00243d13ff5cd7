"""The links of a send whose clicks are counted."""

from uuid import UUID

from tandem.core.db import Connection

MAX_LINKS = 500  # of a send; further ones, as those that have the lead in their address, are not tracked
MAX_URL = 2000  # characters
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('tracked links', 0) # hashtextextended($1::text, 0))"
_FIND = "SELECT number FROM tracked_links WHERE org_id = $1 AND send_id = $2 AND url = $3"
_ADD = """
INSERT INTO tracked_links (org_id, send_id, number, url)
SELECT $1, $2, count(*) + 1, $3 FROM tracked_links WHERE org_id = $1 AND send_id = $2 HAVING count(*) < $4
RETURNING number"""


async def number_of(connection: Connection, org_id: str, send_id: UUID, url: str) -> int | None:
    """The number of a link of the send, which it gets when it is first seen; None for one too many or too long."""
    if len(url) > MAX_URL:
        return None
    async with connection.transaction():
        await connection.execute(_LOCK, str(send_id))
        number: int | None = await connection.fetchval(_FIND, org_id, send_id, url)
        if number is None:
            number = await connection.fetchval(_ADD, org_id, send_id, url, MAX_LINKS)
        return number


async def url_of(connection: Connection, org_id: str, send_id: UUID, number: int) -> str | None:
    url: str | None = await connection.fetchval(
        "SELECT url FROM tracked_links WHERE org_id = $1 AND send_id = $2 AND number = $3", org_id, send_id, number
    )
    return url

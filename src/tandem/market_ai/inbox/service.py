"""From a message to a job of the organization that its campaign belongs to."""

from collections.abc import Mapping
from uuid import UUID

from pydantic import ValidationError

from tandem.core.db import Connection
from tandem.core.jobs import enqueue
from tandem.market_ai.audit.service import record_system
from tandem.market_ai.inbox.messages import Maker, Message, Rejected

ACTOR = "service:inbox"

_SEEN = "SELECT true FROM jobs WHERE id = $1"
_ORGANIZATION = "SELECT org_id FROM campaigns WHERE id = $1 LIMIT 2"


async def enqueue_message(connection: Connection, message: Message, job_id: UUID, makers: Mapping[str, Maker]) -> bool:
    """In the caller's transaction; False when the job was made before. Raises Rejected."""
    if await connection.fetchval(_SEEN, job_id):
        return False
    owners = await connection.fetch(_ORGANIZATION, message.campaign_id)
    if len(owners) != 1:
        raise Rejected(f"there is no campaign {message.campaign_id}")
    org_id: str = owners[0]["org_id"]
    try:
        payload = makers[message.type](message.body, org_id)
    except Exception as error:  # it is of this one message: the next ones shall not wait behind it
        raise Rejected(_reason(error)) from None
    await enqueue(connection, payload, owner=org_id, job_id=job_id)
    about = {"type": message.type, "campaign_id": message.campaign_id}
    await record_system(connection, org_id, ACTOR, "job.received", object_type="job", object_id=job_id, **about)
    return True


def _reason(error: Exception) -> str:
    """Without the message's values: reasons are logged."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())[:500]
    return f"{type(error).__name__}: {error}"[:500]

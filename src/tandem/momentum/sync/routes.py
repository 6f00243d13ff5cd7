"""HTTP of sync."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from tandem.accounts.access import reading
from tandem.accounts.principal import Reader
from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.momentum.sync import queries
from tandem.momentum.sync.schemas import SyncPage, SyncQuery

router = APIRouter(prefix="/api/sync", tags=["sync"])


@router.get("", response_model=SyncPage, responses=responses(queries.ResyncRequired))
async def sync(reader: Annotated[Reader, reading("data:read")], query: Annotated[SyncQuery, Query()]) -> Response:
    """What changed after `since`. Ask again with `next_since`; at once while `has_more`."""
    return json_response(await queries.sync(reader.connection, reader.user_id, query.since, query.limit))

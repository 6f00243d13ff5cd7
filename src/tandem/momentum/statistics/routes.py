"""HTTP of statistics."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from tandem.accounts.access import reading
from tandem.accounts.principal import Reader
from tandem.core.responses import json_response
from tandem.momentum.statistics import queries
from tandem.momentum.statistics.schemas import StatisticsOut, StatisticsQuery

router = APIRouter(prefix="/api/statistics", tags=["statistics"])


@router.get("", response_model=StatisticsOut)
async def get_statistics(
    reader: Annotated[Reader, reading("tasks:read")], query: Annotated[StatisticsQuery, Query()]
) -> Response:
    """Completed per day, streaks, and counts by project."""
    return json_response(await queries.statistics(reader.connection, reader.user_id, query.days))

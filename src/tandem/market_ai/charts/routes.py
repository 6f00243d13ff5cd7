"""HTTP of charts."""

import asyncio
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from tandem.core.responses import styled_response
from tandem.market_ai.access import reading
from tandem.market_ai.charts.drawing import STYLE, draw
from tandem.market_ai.charts.page import page, styles_of
from tandem.market_ai.charts.schemas import ChartQuery
from tandem.market_ai.metrics.service import series
from tandem.market_ai.tenancy import OrgReader

router = APIRouter(prefix="/api/campaigns/{campaign_id}", tags=["metrics"])
Read = Annotated[OrgReader, reading("metrics:read")]
SVG, HTML = "image/svg+xml", "text/html; charset=utf-8"


def _answers(media_type: str) -> dict[str, Any]:
    content = {media_type.partition(";")[0]: {"schema": {"type": "string"}}}
    return {"response_class": Response, "responses": {200: {"description": "The chart", "content": content}}}


@router.get("/chart.svg", **_answers(SVG))
async def draw_chart(
    request: Request, reader: Read, campaign_id: UUID, query: Annotated[ChartQuery, Query()]
) -> Response:
    """The series as a picture with a title and a description. Its table is at `chart.html`, which `Link` names."""
    found = await series(reader.connection, reader.org_id, campaign_id, query)
    drawn = await asyncio.to_thread(draw, found, query.theme)
    asked = quote(request.scope["query_string"], safe="=&%+")  # what it has of other characters would end the link
    link = {"Link": f'<chart.html{"?" if asked else ""}{asked}>; rel="alternate"; type="text/html"'}
    return styled_response(drawn, SVG, [STYLE[query.theme]], headers=link)


@router.get("/chart.html", **_answers(HTML))
async def show_chart(reader: Read, campaign_id: UUID, query: Annotated[ChartQuery, Query()]) -> Response:
    """The picture, and all of its numbers as a table."""
    found = await series(reader.connection, reader.org_id, campaign_id, query)
    return styled_response(await asyncio.to_thread(page, found, query.theme), HTML, styles_of(query.theme))

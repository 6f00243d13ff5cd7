"""GET /status: for people as a page, for programs that ask for JSON as that. Open to everybody, and never rate limited:
it costs two small queries every 15 seconds, whoever asks. docs/operations.md says what it shows.
"""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tandem.core.status.report import CACHE, StatusReport
from tandem.core.status.schemas import StatusPage

router = APIRouter(tags=["health"])
_HEADERS = {"Cache-Control": f"public, max-age={CACHE:.0f}", "Vary": "Accept, Origin"}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": StatusPage, "content": {"text/html": {"schema": {"type": "string"}}}, "description": "How it is."}
}
_QUALITY = re.compile(r";\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)")


@router.get("/status", summary="Status page", response_class=Response, response_model=None, responses=_RESPONSES)
async def status(request: Request) -> Response:
    """Components, uptime and latency of the last 24 hours. HTML, or JSON for `Accept: application/json`."""
    report: StatusReport = request.app.state.status
    rendered = await report.get()
    if prefers_json(request.headers.get("accept", "")):
        return Response(rendered.json, media_type="application/json", headers=_HEADERS)
    return Response(rendered.html, media_type="text/html; charset=utf-8", headers=_HEADERS)


def prefers_json(accept: str) -> bool:
    """RFC 9110, section 12.5.1; who likes both the same gets the page."""
    return _quality(accept, "application", "json") > _quality(accept, "text", "html")


def _quality(accept: str, kind: str, form: str) -> float:
    """Of the most specific range that matches."""
    best = (0, 0.0)
    for part in accept.lower().split(",") if accept.strip() else ["*/*"]:
        media_range = part.split(";", 1)[0].strip()
        specificity = {f"{kind}/{form}": 3, f"{kind}/*": 2, "*/*": 1}.get(media_range, 0)
        found = _QUALITY.search(part)
        if specificity > best[0]:
            best = (specificity, float(found[1]) if found else 1.0)
    return best[1]

"""Responses made of JSON that Postgres wrote, and of pages that have a style of their own."""

import base64
import hashlib
from collections.abc import Iterable, Mapping

from starlette.responses import Response

from tandem.core.conditional import etag


def json_response(
    body: str | bytes, *, status: int = 200, version: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """`body` is finished JSON; `version` becomes the ETag."""
    response = Response(body, status, headers, media_type="application/json")
    if version is not None:
        response.headers["ETag"] = etag(version)
    return response


def styled_response(
    body: str, media_type: str, styles: Iterable[str], *, headers: Mapping[str, str] | None = None
) -> Response:
    """A page or a picture whose `<style>` elements contain exactly `styles`; nothing else in it is run or loaded."""
    hashes = " ".join(f"'sha256-{_digest(style)}'" for style in styles)
    policy = {"Content-Security-Policy": f"default-src 'none'; style-src {hashes}; frame-ancestors 'none'"}
    return Response(body, headers=policy | dict(headers or {}), media_type=media_type)


def _digest(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

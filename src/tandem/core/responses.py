"""Responses made of JSON that Postgres wrote, and of pages that have a style of their own."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from tandem.core.conditional import etag, not_modified


def json_response(
    body: str | bytes, *, status: int = 200, version: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """`body` is finished JSON; `version` becomes the ETag."""
    response = Response(body, status, headers, media_type="application/json")
    if version is not None:
        response.headers["ETag"] = etag(version)
    return response


def entity_response(row: Mapping[str, Any], if_none_match: str | None) -> Response:
    """A row's `json` under the ETag of its `version`; 304 when the caller holds that version already."""
    if not_modified(if_none_match, row["version"]):
        return Response(status_code=304, headers={"ETag": etag(row["version"])})
    return json_response(row["json"], version=row["version"])


def styled_response(
    body: str, media_type: str, styles: Iterable[str], *, headers: Mapping[str, str] | None = None
) -> Response:
    """A page or a picture whose `<style>` elements contain exactly `styles`; nothing else in it is run or loaded."""
    hashes = " ".join(f"'sha256-{_digest(style)}'" for style in styles)
    policy = {"Content-Security-Policy": f"default-src 'none'; style-src {hashes}; frame-ancestors 'none'"}
    return Response(body, headers=policy | dict(headers or {}), media_type=media_type)


def _digest(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

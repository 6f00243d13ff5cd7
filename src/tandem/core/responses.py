"""Responses made of JSON that Postgres wrote."""

from collections.abc import Mapping

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

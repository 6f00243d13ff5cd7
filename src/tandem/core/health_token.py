"""Who may read what an operator reads: anyone in development, the holder of HEALTH_TOKEN in a deployment."""

from hmac import compare_digest
from typing import Any

from fastapi import Request

from tandem.core.errors import NotFound, Unauthorized
from tandem.core.settings import Settings

RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"description": "In production: the bearer token is not HEALTH_TOKEN"},
    404: {"description": "In production: no HEALTH_TOKEN is configured"},
}


async def require_health_token(request: Request) -> None:
    """Dependency; raises Unauthorized, or NotFound where no token is configured."""
    settings: Settings = request.app.state.settings
    if not settings.deployed:
        return
    if settings.health_token is None:
        raise NotFound
    expected = f"bearer {settings.health_token.get_secret_value()}".encode()
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = f"{scheme.lower()} {token.strip()}".encode("utf-8", "surrogateescape")
    if not compare_digest(given, expected):
        raise Unauthorized("Send the HEALTH_TOKEN of this deployment as a bearer token")

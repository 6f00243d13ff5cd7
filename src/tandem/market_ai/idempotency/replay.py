"""`Idempotency-Key`: a repeated request is answered with the response of the first one, and does nothing.

The claim of the key, what the request writes and the kept response are one transaction, so a request that fails leaves
its key free. https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import hashlib
import json
from typing import Any

from fastapi import Request
from starlette.responses import Response

from tandem.core.db import Connection
from tandem.core.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from tandem.market_ai.idempotency.queries import claim


class Replayed(Exception):
    """Carries the kept response past the route."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered from a kept response")
        self.response = response


def send_replayed(request: Request, replayed: Any) -> Response:
    """For create_app's `exception_handlers`."""
    request.scope["tandem.replayed"] = True
    response: Response = replayed.response
    return response


async def claim_key(connection: Connection, request: Request, org_id: str, user_id: str, key: str) -> None:
    """Make `key` this request's; raises Replayed, IdempotencyKeyReused or IdempotencyKeyInUse when it is not free."""
    fingerprint = await _fingerprint(request)
    kept = await claim(connection, org_id, user_id, key, fingerprint)
    if kept is None:
        return
    if kept["fingerprint"] != fingerprint:
        raise IdempotencyKeyReused("Use a new key for every new request, and the same one only to repeat it")
    if kept["status"] is None:
        raise IdempotencyKeyInUse()
    headers = json.loads(kept["headers"]) | {"idempotent-replayed": "true"}
    raise Replayed(Response(kept["body"], kept["status"], headers))


async def _fingerprint(request: Request) -> bytes:
    """Of the method, the address and the JSON body; of an upload, whose parts are put together anew each time, what
    its route says it contains: `scope["tandem.upload"]`.
    """
    upload = request.headers.get("content-type", "").startswith("multipart/")
    body = request.scope.get("tandem.upload", b"") if upload else await request.body()
    address = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(address.encode() + body).digest()

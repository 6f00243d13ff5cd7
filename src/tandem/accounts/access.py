"""From a request to its Principal and its one database connection: what every route of a service depends on.

`reading("tasks:read")` yields an autocommit connection, `writing("tasks:write")` a transaction that commits before the
response leaves. The credential is looked up and the rate limit counted on the same connection before the transaction
begins, so nothing waits for Redis inside one.
"""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Depends, Request

from tandem.accounts.credentials import authenticate
from tandem.accounts.principal import Principal, Reader, Writer
from tandem.core.db import Connection, Database
from tandem.core.errors import Unauthorized
from tandem.core.ratelimit import count_address, count_principal


def reading(scope: str) -> Any:
    """Dependency: a signed-in caller with `scope`, and a connection to read on."""

    async def dependency(request: Request) -> AsyncIterator[Reader]:
        database: Database = request.app.state.database
        async with database.connection() as connection:
            yield Reader(await admit(connection, request, scope), connection)

    return Depends(dependency, scope="function")


def writing(scope: str) -> Any:
    """Dependency: a signed-in caller with `scope`, and a transaction that commits before the response."""

    async def dependency(request: Request) -> AsyncIterator[Writer]:
        database: Database = request.app.state.database
        async with database.connection() as connection:
            principal = await admit(connection, request, scope)
            async with connection.transaction():
                yield Writer(principal, connection)

    return Depends(dependency, scope="function")


async def signed_in(request: Request) -> None:
    """For create_app's `gate`: let a signed-in caller within their rate limit send a large body.

    Whoever reads the body then is looked up again, because sending it takes time, but the request counts once.
    """
    database: Database = request.app.state.database
    async with database.connection() as connection:
        await identify(connection, request)


async def admit(connection: Connection, request: Request, scope: str) -> Principal:
    """Who calls, within their rate limit and scope; raises Unauthorized, Forbidden or TooManyRequests."""
    principal = await identify(connection, request)
    principal.require(scope)
    return principal


async def identify(connection: Connection, request: Request) -> Principal:
    """A caller who cannot be identified is counted against their address, so guessing tokens is limited too."""
    try:
        principal = await authenticate(connection, request)
    except Unauthorized:
        await count_address(request)
        raise
    if not request.scope.get("tandem.counted"):
        await count_principal(request, principal.user_id)
        request.scope["tandem.counted"] = True
    return principal

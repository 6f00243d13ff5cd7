"""From a request to its caller, their organization and one database connection: what every route depends on.

`reading("campaigns:read")` yields an autocommit connection; `writing("campaigns:write")` a transaction that commits
before the response leaves; `creating(…)` is a `writing` that honours Idempotency-Key. A caller is known by Clerk when
CLERK_DOMAIN is set (without asking the database), else by a session or token of the built-in accounts.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from tandem.accounts.access import identify
from tandem.accounts.principal import Principal
from tandem.core.db import Connection, Database
from tandem.core.errors import Unauthorized, Unavailable
from tandem.core.ratelimit import Limit, count_address, count_principal
from tandem.market_ai.idempotency.replay import claim_key
from tandem.market_ai.membership import enter
from tandem.market_ai.tenancy import OrgReader, OrgWriter, Role, in_organization

CREATING = Limit("10/minute", name="create-campaign")
AI = Limit("10/minute", name="ai")

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of your own, as a UUID. Repeating the request with it within a day is safe: the first "
        "response is sent again, with `Idempotent-Replayed: true`.",
    ),
]
Organization = Annotated[
    str | None,
    Header(
        alias="X-Organization-Id",
        min_length=1,
        max_length=200,
        description="One of your organizations; default: your own. With Clerk the token says it, and this is ignored.",
    ),
]


def reading(scope: str, *, role: Role = "viewer") -> Any:
    """Dependency: a caller with `scope` and at least `role`, and a connection to read on."""

    async def dependency(request: Request, organization: Organization = None) -> AsyncIterator[OrgReader]:
        async with caller(request, organization, scope, role) as reader:
            yield reader

    return Depends(dependency, scope="function")


def writing(scope: str, *, role: Role = "member", limit: Limit | None = None) -> Any:
    """Dependency: a caller with `scope` and at least `role`, and a transaction that commits before the response.

    `limit` is counted per user besides the default one.
    """

    async def dependency(request: Request, organization: Organization = None) -> AsyncIterator[OrgWriter]:
        async with caller(request, organization, scope, role) as reader:
            if limit is not None:
                await limit.hit(request, reader.user_id)
            async with reader.connection.transaction():
                yield OrgWriter(reader.principal, reader.connection, reader.org_id, reader.role)

    return Depends(dependency, scope="function")


def creating(scope: str, *, role: Role = "member", limit: Limit | None = None) -> Any:
    """As `writing`, for a POST that creates or spends: its route ends with `return await writer.answer(…)`."""

    async def dependency(
        request: Request, organization: Organization = None, idempotency_key: IdempotencyKey = None
    ) -> AsyncIterator[OrgWriter]:
        async with caller(request, organization, scope, role) as reader:
            if limit is not None:
                await limit.hit(request, reader.user_id)
            async with reader.connection.transaction():
                if idempotency_key is not None:
                    await claim_key(reader.connection, request, reader.org_id, reader.user_id, idempotency_key)
                yield OrgWriter(reader.principal, reader.connection, reader.org_id, reader.role, idempotency_key)

    return Depends(dependency, scope="function")


@asynccontextmanager
async def caller(request: Request, organization: str | None, scope: str, role: Role) -> AsyncIterator[OrgReader]:
    """Who calls, for which organization, on a connection held while the block lasts.

    Raises Unauthorized, Forbidden, InsufficientRole, NotFound (an organization that is not theirs), TooManyRequests.
    """
    database: Database = request.app.state.database
    if request.app.state.clerk is not None:
        principal = await _known_by_clerk(request)
        async with database.connection() as connection:
            yield await _reader(connection, principal, organization, scope, role)
    else:
        async with database.connection() as connection:
            principal = await identify(connection, request)
            yield await _reader(connection, principal, organization, scope, role)


async def identified(request: Request) -> None:
    """For create_app's `gate`: let a signed-in caller within their rate limit send a large body."""
    if request.app.state.clerk is not None:
        await _known_by_clerk(request)
        return
    database: Database = request.app.state.database
    async with database.connection() as connection:
        await identify(connection, request)


async def _reader(
    connection: Connection, principal: Principal, organization: str | None, scope: str, role: Role
) -> OrgReader:
    principal.require(scope)
    org_id, own_role = await enter(connection, principal, organization)
    reader = OrgReader(in_organization(principal, org_id, own_role), connection, org_id, own_role)
    reader.require(role)
    return reader


async def _known_by_clerk(request: Request) -> Principal:
    try:
        principal: Principal = await request.app.state.clerk.principal(request)
    except (Unauthorized, Unavailable):
        await count_address(request)
        raise
    request.scope["tandem.user_id"] = principal.user_id
    if not request.scope.get("tandem.counted"):
        await count_principal(request, principal.user_id)
        request.scope["tandem.counted"] = True
    return principal

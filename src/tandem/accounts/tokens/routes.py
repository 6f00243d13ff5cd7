"""/api/tokens: personal API tokens, for programs that act for a user. Managed by sessions only."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field, create_model

from tandem.accounts.access import reading, writing
from tandem.accounts.principal import Reader, Writer
from tandem.accounts.tokens import service
from tandem.accounts.tokens.schemas import CreatedToken, NewToken, TokenPage, TokenPageQuery
from tandem.core.openapi import responses

# No token can have this scope, so none can make itself others.
MANAGE = "tokens:manage"


def tokens_router(scopes: Sequence[str]) -> APIRouter:
    """The routes, offering the service's `scopes`."""
    router = APIRouter(prefix="/api/tokens", tags=["tokens"])
    scope: Any = Literal[*scopes]
    wish_model: Any = create_model("NewApiToken", __base__=NewToken, scopes=(list[scope], Field(min_length=1)))

    @router.post("", status_code=201, responses=responses(service.TooManyTokens))
    async def create_token(body: wish_model, response: Response, caller: Writer = writing(MANAGE)) -> CreatedToken:
        """Create a token. It is shown this once."""
        token, row = await service.create(caller.connection, caller.user_id, body)
        response.headers["Location"] = f"/api/tokens/{row['id']}"
        return CreatedToken.model_validate({**row, "token": token})

    @router.get("")
    async def list_tokens(
        query: Annotated[TokenPageQuery, Query()], response: Response, caller: Reader = reading(MANAGE)
    ) -> TokenPage:
        """The caller's tokens, the newest first."""
        page = await service.listing(caller.connection, caller.user_id, page=query.page, limit=query.limit)
        response.headers["X-Total-Count"], response.headers["X-Page-Number"] = str(page["total"]), str(query.page)
        return TokenPage.model_validate(page)

    @router.delete("/{token_id}", status_code=204)
    async def delete_token(token_id: UUID, caller: Writer = writing(MANAGE)) -> None:
        """Delete a token; it stops working at once."""
        await service.remove(caller.connection, caller.user_id, token_id)

    return router

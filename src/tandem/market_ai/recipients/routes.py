"""HTTP of the links in mails: to unsubscribe (RFC 8058), and where it was asked for, opens and clicks.

Whoever has a link may use it, signed in or not; nothing here reads a cookie or sets one. There is no rate limit: a
mailbox provider unsubscribes for thousands from a few addresses, and a forged token costs no query.
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse

from tandem.core.db import Database
from tandem.core.openapi import responses
from tandem.market_ai.mail.links import PREVIEW, Links
from tandem.market_ai.recipients import pages, service
from tandem.market_ai.recipients.bots import is_bot
from tandem.market_ai.recipients.service import LinkUnknown
from tandem.market_ai.sender import links_of
from tandem.market_ai.sending.service import hear

router = APIRouter(tags=["recipients"])
Token = Annotated[str, Path(max_length=100, description="As the mail has it.")]
_CSP = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'"
}
_PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
_GIF: dict[int | str, Any] = {200: {"content": {"image/gif": {}}}, **responses(LinkUnknown)}
_PAGE: dict[str, Any] = {"response_class": HTMLResponse, "responses": responses(LinkUnknown)}


@router.get("/u/{token}", **_PAGE)
async def show_unsubscribe(request: Request, token: Token) -> Response:
    """The page that the link in the mail's text opens. It changes nothing: scanners follow links."""
    delivery_id, _ = service.read_token(_links(request), "u", token)
    async with _database(request).connection() as connection:
        row = await service.recipient(connection, delivery_id)
    return _html(pages.preview() if row is None else pages.ask(row["email_key"] or ""))


@router.post("/u/{token}", **_PAGE)
async def unsubscribe(request: Request, token: Token) -> Response:
    """One click: by a mail program as RFC 8058 has it, or by the page's button. Any body will do, and none."""
    delivery_id, _ = service.read_token(_links(request), "u", token)
    how = "one click" if await _is_one_click(request) else "page"
    async with _database(request).connection() as connection, connection.transaction():
        await service.unsubscribe(connection, delivery_id, how)
    return _html(pages.preview() if delivery_id == PREVIEW else pages.done())


@router.get("/o/{token}", response_class=Response, responses=_GIF)
async def see_open(request: Request, token: Token) -> Response:
    """A picture of one pixel, in mails whose opens are counted."""
    delivery_id, _ = service.read_token(_links(request), "o", token)
    await _hear(request, delivery_id, "opened", "open")
    return Response(_PIXEL, media_type="image/gif", headers={"Cache-Control": "no-store"})


@router.get("/c/{token}", status_code=302, response_class=Response, responses=responses(LinkUnknown))
async def follow_link(request: Request, token: Token) -> Response:
    """To where the link led before its clicks were counted, and nowhere else."""
    delivery_id, number = service.read_token(_links(request), "c", token)
    async with _database(request).connection() as connection:
        row = await service.recipient(connection, delivery_id)
        if row is None:
            raise LinkUnknown()
        url = await service.destination(connection, row, number)
    await _hear(request, delivery_id, "clicked", f"click {number}", url)
    return Response(status_code=302, headers={"Location": url, "Cache-Control": "no-store"})


async def _hear(request: Request, delivery_id: UUID, kind: str, name: str, detail: str | None = None) -> None:
    """Each is kept once for people, and once for what is no person."""
    async with _database(request).connection() as connection:
        row = await service.recipient(connection, delivery_id)
        if row is None:
            return
        bot = is_bot(request.method, request.headers, row["settled_at"])
        name = f"{name} by a bot" if bot else name
        async with connection.transaction():
            await hear(connection, row["org_id"], delivery_id, kind, "link", name, detail=detail, bot=bot)


async def _is_one_click(request: Request) -> bool:
    """Form-data and urlencoded are told apart by nothing but their looks, and neither says more than this."""
    return b"One-Click" in (await request.body())[:10_000]


def _html(page: str) -> Response:
    return HTMLResponse(page, headers={"Cache-Control": "no-store", "X-Robots-Tag": "noindex", **_CSP})


def _links(request: Request) -> Links:
    return links_of(request.app.state.settings)


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database

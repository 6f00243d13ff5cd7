"""HTTP of the mails that development keeps in files. `create_app` is given these routes in development alone."""

import html
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from tandem.core.errors import NotFound
from tandem.market_ai.mailbox.reading import Mail, list_mails, read_mail
from tandem.market_ai.sender import mail_folder

router = APIRouter(prefix="/dev/mail", include_in_schema=False)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "td{padding:.2rem 1rem .2rem 0}"
)
_OURS = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'none'"
# As a mail program shows it: nothing of it runs, and it is nobody's origin.
_THEIRS = "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; img-src https: http: data:"


@router.get("")
async def show_mails() -> Response:
    """The latest first."""
    mails = await run_in_threadpool(lambda: list(list_mails(mail_folder())))
    rows = "".join(
        f"<tr><td>{_text(mail.header('Date'))}<td>{_text(mail.header('To'))}"
        f'<td><a href="/dev/mail/{mail.name}">{_text(mail.header("Subject"))}</a>'
        for mail in mails
    )
    note = "<p>Nobody was sent these: SMTP_URL is not set.</p>"
    return _page("Mail", f"{note}<table>{rows}</table>" if rows else f"{note}<p>There is none yet.</p>")


@router.get("/{name}")
async def show_mail(name: str) -> Response:
    mail = await _read(mail_folder(), name)
    rows = "".join(f"<tr><td>{_text(header)}<td>{_text(value)}" for header, value in mail.headers)
    body = (
        f'<p><a href="/dev/mail">All mail</a> · <a href="/dev/mail/{name}/html">As HTML</a></p><table>{rows}</table>'
        f'<pre style="white-space:pre-wrap">{_text(mail.text)}</pre>'
    )
    return _page(mail.header("Subject"), body)


@router.get("/{name}/html")
async def show_html(name: str) -> Response:
    mail = await _read(mail_folder(), name)
    return HTMLResponse(mail.html, headers={"Content-Security-Policy": _THEIRS})


async def _read(folder: Path, name: str) -> Mail:
    mail = await run_in_threadpool(read_mail, folder, name)
    if mail is None:
        raise NotFound("There is no mail of this name")
    return mail


def _page(title: str, body: str) -> Response:
    head = f'<!doctype html><meta charset="utf-8"><title>{_text(title)}</title><style>{_STYLE}</style>'
    return HTMLResponse(f"{head}<h1>{_text(title)}</h1>{body}", headers={"Content-Security-Policy": _OURS})


def _text(text: str) -> str:
    return html.escape(text)

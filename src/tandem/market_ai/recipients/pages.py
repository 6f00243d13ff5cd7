"""What recipients see: no script, no cookie, nothing from elsewhere."""

import html
from typing import Final

STYLE: Final = (
    "body{font:17px/1.5 system-ui,sans-serif;max-width:32rem;margin:12vh auto;padding:0 1.2rem}"
    "button{font:inherit;padding:.6em 1.2em;border:0;border-radius:.4em;background:#1a5fb4;color:#fff;cursor:pointer}"
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>{body}</body></html>
"""


def ask(address: str) -> str:
    """The button posts to the address of the page itself."""
    to = f" to {html.escape(address)}" if address else ""
    return _page("Unsubscribe", f'<p>No more mail{to}?</p><form method="post"><button>Unsubscribe</button></form>')


def done() -> str:
    return _page("You are unsubscribed", "<p>You will get no more mail from us.</p>")


def preview() -> str:
    return _page("This was a preview", "<p>In the mail that is sent, this link unsubscribes its recipient.</p>")


def unknown() -> str:
    return _page("This link is not valid", "<p>Perhaps it was cut off. Please use the link in the mail itself.</p>")


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=title, style=STYLE, body=body)

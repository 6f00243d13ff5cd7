"""From approved copy, a layout and a lead to subject, HTML and text.

Every text of the copy may have merge fields. The body is Markdown, in which HTML counts as text; the layout is HTML.
"""

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import Template

from tandem.market_ai.mail.language import (
    HTML,
    MARKDOWN,
    TEXT,
    MergeFault,
    TemplateFault,
    check,
    compiled,
    markup,
    render,
    required,
)
from tandem.market_ai.mail.layout import LAYOUT
from tandem.market_ai.mail.plain_text import links, plain_text

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_SUBJECT = 250  # characters
SAMPLE: dict[str, Any] = {"email": "ada@example.com", "name": "Ada Lovelace", "tags": ["sample"], "attributes": {}}
_WEB = re.compile(r"https?://[^\s\"'<>]+", re.ASCII)
_ANCHOR = re.compile(r"(<a\b[^>]*?\bhref\s*=\s*)(\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_END = re.compile(r"</body\s*>", re.IGNORECASE)
_PROBE = "https://unsubscribe.invalid/probe"


class NoUnsubscribeLink(ValueError):
    """Recipients would see no link to unsubscribe with."""


@dataclass(frozen=True)
class Copy:
    """The texts of a mail, with their merge fields. `layout` empty: ours."""

    subject: str
    preheader: str
    headline: str
    body: str
    call_to_action: str
    url: str
    layout: str

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.subject, self.preheader, self.headline, self.body, self.call_to_action, self.url, self.layout)

    def fields(self) -> set[tuple[str, ...]]:
        """What every lead must have, as ("name",) or ("attributes", "city"). Raises TemplateFault."""
        return {path for source in self.sources for path in required(source)}


@dataclass(frozen=True)
class Written:
    subject: str
    html: str
    text: str


@dataclass(frozen=True)
class Frame:
    """What a mail says of its sender, and where it can be unsubscribed."""

    campaign: str
    sender: str
    address: str
    postal_address: str
    unsubscribe_url: str


class Writer:
    """Of one copy, for any number of leads. Raises TemplateFault for a copy that is none."""

    def __init__(self, copy: Copy) -> None:
        self._texts = {
            name: compiled(TEXT, getattr(copy, name))
            for name in ("subject", "preheader", "headline", "call_to_action", "url")
        }
        self._body = compiled(MARKDOWN, copy.body)
        self._layout: Template = compiled(HTML, copy.layout or LAYOUT)

    def write(self, lead: Mapping[str, Any], frame: Frame) -> Written:
        """Raises MergeFault, and NoUnsubscribeLink where the link is not to be seen."""
        context: dict[str, Any] = {
            "lead": present(lead),
            "campaign": {"name": frame.campaign},
            "sender": {"name": frame.sender, "address": frame.address, "postal_address": frame.postal_address},
            "unsubscribe_url": frame.unsubscribe_url,
        }
        texts = {name: render(template, context).strip() for name, template in self._texts.items()}
        texts["subject"] = one_line(texts["subject"])
        if not texts["subject"]:
            raise MergeFault("the subject is empty")
        if texts["url"] and not _WEB.fullmatch(texts["url"]):
            raise MergeFault("where the call to action leads is no http or https address")
        context["content"] = texts | {"body": markup(markdown(render(self._body, context)))}
        page = render(self._layout, context)
        if frame.unsubscribe_url not in links(page):
            raise NoUnsubscribeLink("the mail shows no link to `unsubscribe_url`")
        return Written(texts["subject"], page, plain_text(page))


def check_layout(source: str) -> None:
    """Raises TemplateFault, or NoUnsubscribeLink for a layout without a visible link to unsubscribe."""
    check(source)
    copy = Copy("Subject", "", "Headline", "Body", "", "", source)
    lead = SAMPLE | {"attributes": _Anything()}
    try:
        Writer(copy).write(lead, Frame("Campaign", "Sender", "sender@example.com", "1 Street", _PROBE))
    except MergeFault as fault:
        raise TemplateFault(str(fault)) from None


def check_copy(copy: Copy) -> None:
    """Raises TemplateFault."""
    for source in copy.sources:
        check(source)


def present(lead: Mapping[str, Any]) -> dict[str, Any]:
    """A lead without what is empty, so that using it is an error."""
    found = {name: value for name, value in lead.items() if value not in (None, "")}
    attributes = found.get("attributes") or {}
    if not isinstance(attributes, _Anything):
        found["attributes"] = {name: value for name, value in attributes.items() if value not in (None, "")}
    return found


def tracked(page: str, addresses: Mapping[str, str], pixel: str | None) -> str:
    """With each link exchanged for what `addresses` has for it, and a picture of one pixel at the end."""

    def exchange(match: re.Match[str]) -> str:
        target = addresses.get(html.unescape(match[2][1:-1]).strip())
        return match[0] if target is None else f'{match[1]}"{html.escape(target)}"'

    page = _ANCHOR.sub(exchange, page)
    if pixel is None:
        return page
    image = f'<img src="{html.escape(pixel)}" width="1" height="1" alt="" style="border:0">'
    end = list(_END.finditer(page))
    place = end[-1].start() if end else len(page)
    return page[:place] + image + page[place:]


def web_links(page: str, *, without: Iterable[str] = ()) -> list[str]:
    """Where links of the page lead on the web, each once."""
    left_out = set(without)
    return [link for link in links(page) if _WEB.fullmatch(link) and link not in left_out]


def one_line(text: str) -> str:
    return " ".join(text.split())[:MAX_SUBJECT]


@lru_cache(maxsize=32)
def markdown(text: str) -> str:
    """HTML in it is escaped; links other than to the web or a mailbox stay text."""
    return str(_commonmark().render(text))


class _Anything(dict[str, Any]):
    """Attributes of a lead that has all of them, for looking at a layout."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return key

    def __bool__(self) -> bool:
        return True


def _links_to_the_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://", "mailto:"))


@lru_cache(maxsize=1)
def _commonmark() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # here, as most API processes never write a mail

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True})
    parser.disable("image")
    parser.validateLink = _links_to_the_web  # type: ignore[method-assign]
    return parser

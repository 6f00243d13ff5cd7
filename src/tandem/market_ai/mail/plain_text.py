"""A mail's HTML as people read it where no HTML is shown: paragraphs, list items, and links with their addresses."""

import re
from html.parser import HTMLParser

_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])", re.I
)
_LEFT_OUT = frozenset({"head", "script", "style", "title", "template", "noscript"})
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_BLOCKS = frozenset({
    "address", "article", "blockquote", "center", "div", "dl", "dt", "dd", "footer", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "li", "main", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul",
})  # fmt: skip
_WIDE = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "ul", "ol", "table", "blockquote", "section"})


def plain_text(html: str) -> str:
    reader = _read(html)
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(reader.parts))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def links(html: str) -> dict[str, str]:
    """The addresses that visible links lead to, each with the text that is shown."""
    return _read(html).links


class _Reader(HTMLParser):
    """`hidden` counts the open elements, from the outermost hidden one on, that nobody sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.links: dict[str, str] = {}
        self._open: list[tuple[str, bool]] = []
        self._hidden = 0
        self._href: str | None = None
        self._shown: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _VOID:
            if not self._hidden:
                self._void(tag, given)
            return
        hides = tag in _LEFT_OUT or "hidden" in given or bool(_HIDDEN.search(given.get("style") or ""))
        self._open.append((tag, hides))
        self._hidden += hides
        if self._hidden:
            return
        self._break(tag)
        if tag == "li":
            self.parts.append("- ")
        if tag == "a" and (href := (given.get("href") or "").strip()):
            self._href, self._shown = href, []

    def handle_endtag(self, tag: str) -> None:
        if all(tag != name for name, _ in self._open):
            return
        while self._open:
            name, hides = self._open.pop()
            if name == "a":
                self._end_link()
            if not self._hidden:
                self._break(name)
            self._hidden -= hides
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        text = re.sub(r"\s+", " ", data)
        if text.startswith(" ") and (not self.parts or self.parts[-1].endswith(("\n", " "))):
            text = text[1:]
        if text:
            self.parts.append(text)
            if self._href is not None:
                self._shown.append(text)

    def _void(self, tag: str, given: dict[str, str | None]) -> None:
        if tag == "br":
            self.parts.append("\n")
        elif tag == "hr":
            self.parts.append("\n\n---\n\n")
        elif tag == "img" and (alt := (given.get("alt") or "").strip()):
            self.handle_data(alt)

    def _end_link(self) -> None:
        href, shown = self._href, "".join(self._shown).strip()
        self._href = None
        if href is None or not shown:
            return
        self.links[href] = shown
        if href != shown:
            self.parts.append(f" ({href})" if not href.startswith("mailto:") else "")

    def _break(self, tag: str) -> None:
        if tag not in _BLOCKS or not self.parts:
            return
        if tag in _WIDE:
            self.parts.append("\n\n")
        elif not self.parts[-1].endswith("\n"):
            self.parts.append("\n")


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader

"""HTML as headings and paragraphs, read as a stream of tags.

No tree is built: the text of a page is wanted, and a tree of it takes five times the time and the memory.
"""

from html.parser import HTMLParser

from tandem.market_ai.knowledge.blocks import Block, Source


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


# What a reader of the page does not see, or not as its text.
_LEFT_OUT = _tags(
    "head script style noscript template nav svg math canvas iframe object audio video map button select textarea"
)
_VOID = _tags("area base br col embed hr img input link meta param source track wbr")
_IN_LINE = _tags(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q ruby rb rp rt s samp small "
    "span strike strong sub sup time tt u var wbr"
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CELLS = frozenset({"td", "th"})
_CELL = "\x1f"  # begins a cell; no text has it, for control characters are gone by now


def read_html(text: str) -> Source:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.end_block()
    first_heading = next((block.text for block in reader.blocks if block.level), None)
    return Source(reader.blocks, " ".join("".join(reader.title).split()) or first_heading)


class _Reader(HTMLParser):
    """`hidden` are the open elements that are left out; `level` is that of the heading being read."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title: list[str] = []
        self.in_title = False
        self.hidden: list[str] = []
        self.parts: list[str] = []
        self.level = self.preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag == "title" and not self.title and "svg" not in self.hidden:
            self.in_title = True
        elif tag == "body":  # `</head>` may be left out
            self.hidden = [one for one in self.hidden if one != "head"]
        if tag in _LEFT_OUT:
            self.hidden.append(tag)
        if self.hidden or tag in _IN_LINE:
            return
        if tag == "br":
            self.parts.append("\n")
        elif tag in _CELLS:
            self.parts.append(_CELL)
        elif tag != "img":
            self.end_block()
            self.parts += ["- "] if tag == "li" else []
            self.level = _HEADINGS.get(tag, self.level)
            self.preformatted += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self.in_title = False
        if self.hidden:
            if tag in self.hidden:
                del self.hidden[len(self.hidden) - 1 - self.hidden[::-1].index(tag) :]
            return
        if tag in _IN_LINE or tag in _CELLS or tag in _VOID:
            return
        self.end_block()
        if tag in _HEADINGS:
            self.level = 0
        elif tag == "pre" and self.preformatted:
            self.preformatted -= 1

    def handle_data(self, data: str) -> None:
        if self.in_title:
            self.title.append(data)
        elif not self.hidden:
            self.parts.append(data if self.preformatted else _spaced(data))

    def end_block(self) -> None:
        """What was read since the last one is a heading or a paragraph."""
        if not self.parts:
            return
        lines = "".join(self.parts).split("\n")
        self.parts = []
        if not self.preformatted:
            lines = [" | ".join(" ".join(cell.split()) for cell in line.split(_CELL) if cell.strip()) for line in lines]
        text = "\n".join(line.replace(_CELL, " ").rstrip() for line in lines).strip("\n")
        if text.strip(" -\n"):
            self.blocks.append(Block(text, self.level))


def _spaced(data: str) -> str:
    """White space as a browser shows it: one blank."""
    inner = " ".join(data.split())
    return f"{' ' if data[:1].isspace() else ''}{inner}{' ' if inner and data[-1:].isspace() else ''}"

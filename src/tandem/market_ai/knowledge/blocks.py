"""What every kind of document is read into before it is cut into chunks: headings and paragraphs, in their order."""

import re
from typing import Final, Literal, NamedTuple, get_args

Format = Literal["text", "markdown", "html", "pdf"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
MAX_CHARACTERS = 2_000_000  # of text in a document

_BREAKS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")


class Block(NamedTuple):
    """`level` 0 is a paragraph, 1 to 6 a heading; `page`, from 1, where the document has pages."""

    text: str
    level: int = 0
    page: int | None = None


class Source(NamedTuple):
    """A document as it was read. `title` is what it calls itself, if it does."""

    blocks: list[Block]
    title: str | None = None
    pages: int | None = None


def clean(text: str) -> str:
    """The text with line breaks as `\\n` and without what Postgres cannot store or nobody can see.

    Half of a surrogate pair becomes U+FFFD, control characters vanish.
    """
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _CONTROL.sub("", _BREAKS.sub("\n", text))


def one_line(text: str, longest: int) -> str:
    """The text on one line, cut to `longest` characters; may be empty."""
    return " ".join(clean(text[: longest * 4]).split())[:longest].strip()

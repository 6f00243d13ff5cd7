"""From headings and paragraphs to chunks: the passages that are searched, shown to a model, and cited.

A chunk never crosses a heading. It has some `TARGET` characters: paragraphs are kept together while they fit, then
divided between sentences, then between words. Within a section each chunk begins with the last sentence of the one
before it, so that what is told across the cut is found whole. Nothing is lost but white space.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tandem.market_ai.knowledge.blocks import Block

TARGET = 1200  # characters, without the sentence repeated
OVERLAP = 200  # characters; a longer sentence is not repeated
MAXIMUM = TARGET + OVERLAP
MAX_HEADING = 300  # characters; a longer heading is a paragraph

# A sentence with the white space after it. A line is one too: lists, tables and programs have no other sentences.
_SENTENCE = re.compile(r"[^\n]*?(?:[.!?…][\"'\u201d\u2019»)\]]*(?=\s)|[\u3002\uff01\uff1f]|\n|$)\s*")


class Chunk(NamedTuple):
    """`heading` is the way to it, outermost first; `overlap` counts the characters it repeats at its beginning."""

    text: str
    heading: tuple[str, ...] = ()
    page: int | None = None
    overlap: int = 0


def chunks(blocks: Iterable[Block]) -> Iterator[Chunk]:
    path: list[_Heading] = []
    paragraphs: list[Block] = []
    for block in blocks:
        text = block.text.strip()
        if not text:
            continue
        if not block.level or len(text) > MAX_HEADING:
            paragraphs.append(Block(text, page=block.page))
            continue
        yield from _end(paragraphs, path)
        paragraphs = []
        yield from _leave(path, block.level)
        path.append(_Heading(" ".join(text.split()), block.level, block.page))
    yield from _end(paragraphs, path)
    yield from _leave(path, 0)


@dataclass(slots=True)
class _Heading:
    text: str
    level: int
    page: int | None
    used: bool = False  # by a chunk below it


def _end(paragraphs: list[Block], path: list[_Heading]) -> Iterator[Chunk]:
    heading = tuple(one.text for one in path)
    for chunk in _packed(paragraphs):
        for one in path:
            one.used = True
        yield chunk._replace(heading=heading)


def _leave(path: list[_Heading], level: int) -> Iterator[Chunk]:
    """Take from the path what a heading of `level` ends. Headings with nothing below them are chunks of their own."""
    while path and path[-1].level >= level:
        last = path.pop()
        if not last.used:
            for one in path:
                one.used = True
            yield Chunk(last.text, tuple(one.text for one in path), last.page)


def _packed(paragraphs: list[Block]) -> Iterator[Chunk]:
    pieces: list[str] = []
    size, page, repeated = 0, None, ""
    for paragraph in paragraphs:
        whole = len(paragraph.text)
        ends = size >= TARGET // 2 and whole <= TARGET < size + whole
        for sentence in _sentences(paragraph.text):
            if pieces and (ends or size + len(sentence.rstrip()) > TARGET):
                yield _chunk(pieces, page, repeated)
                repeated = pieces[-1].rstrip() if len(pieces) > 1 else ""
                repeated = f"{repeated} " if 0 < len(repeated) < OVERLAP else ""
                pieces, size = [], 0
            if not pieces:
                page = paragraph.page
            pieces.append(sentence)
            size += len(sentence)
            ends = False
        pieces[-1] = pieces[-1].rstrip() + "\n\n"
        size += 2
    if pieces:
        yield _chunk(pieces, page, repeated)


def _chunk(pieces: list[str], page: int | None, repeated: str) -> Chunk:
    return Chunk(repeated + "".join(pieces).rstrip(), page=page, overlap=len(repeated))


def _sentences(text: str) -> Iterator[str]:
    """Each at most TARGET characters long, white space after it aside."""
    for match in _SENTENCE.finditer(text):
        sentence = match[0]
        while len(sentence.rstrip()) > TARGET:
            cut = sentence.rfind(" ", TARGET // 2, TARGET) + 1 or TARGET
            yield sentence[:cut]
            sentence = sentence[cut:].lstrip()
        if sentence:
            yield sentence

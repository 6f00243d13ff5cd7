"""Plain text and Markdown as headings and paragraphs. Markup inside a line stays: models read Markdown well."""

import re
from collections.abc import Iterator

from tandem.market_ai.knowledge.blocks import Block, Source

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_FRONT_MATTER = 100  # lines, at most


def read_text(text: str) -> Source:
    """Paragraphs are what blank lines separate."""
    return Source(list(_paragraphs(text.split("\n"))))


def read_markdown(text: str) -> Source:
    """CommonMark's headings and fenced code. Its title is that of the front matter, else the first heading's."""
    lines = text.split("\n")
    end = _end_of_front_matter(lines)
    matter = lines[1:end] if end else []
    blocks = [*_paragraphs(matter), *_markdown(lines[end + 1 if end else 0 :])]
    named = (line.partition(":")[2].strip().strip("\"'") for line in matter if line.startswith("title:"))
    title = next(named, None) or next((block.text for block in blocks if block.level), None)
    return Source(blocks, title)


def _paragraphs(lines: list[str]) -> Iterator[Block]:
    paragraph: list[str] = []
    for line in (*lines, ""):
        if line.strip():
            paragraph.append(line.rstrip())
        elif paragraph:
            yield Block("\n".join(paragraph))
            paragraph = []


def _end_of_front_matter(lines: list[str]) -> int:
    """The number of the line that closes it; 0 when there is none."""
    if lines[0].rstrip() != "---":
        return 0
    return next((n for n, line in enumerate(lines[1:_FRONT_MATTER], 1) if line.rstrip() in {"---", "..."}), 0)


def _markdown(lines: list[str]) -> Iterator[Block]:
    paragraph: list[str] = []
    fence = ""
    for line in lines:
        if fence:
            paragraph.append(line.rstrip())
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            continue
        heading, underline = _HEADING.match(line), _UNDERLINE.match(line)
        if not (heading or underline or _RULE.match(line)) and line.strip():
            fence = opened[1] if (opened := _FENCE.match(line)) else ""
            paragraph.append(line.rstrip())
            continue
        if underline and len(paragraph) == 1:
            yield Block(paragraph[0], 1 if underline[1][0] == "=" else 2)
        else:
            yield from _paragraphs(paragraph)
        paragraph = []
        if heading:
            yield Block(_without_closing(heading[2] or ""), len(heading[1]))
    # A fence that nobody closed may hold blank lines.
    yield from _paragraphs(paragraph)


def _without_closing(text: str) -> str:
    """`# Title ##` is closed, `# C#` is not."""
    text = text.strip()
    shorter = text.rstrip("#")
    return shorter.rstrip() if not shorter or shorter[-1] in " \t" else text

"""A document in Markdown (CommonMark, with GitHub's tables). Whatever a text contains, it stays text."""

import re
from collections.abc import Sequence
from functools import singledispatch

from tandem.market_ai.analysis.document import Block, Bullets, Heading, Paragraph, Table

_SPECIAL = re.compile(r"[\\`*_\[\]<>#|~!&]")
_LEADING = re.compile(r"^(\d*)([-+.)])(?=[\s-]|$)")
"""What begins a list or is a rule."""


def markdown(blocks: Sequence[Block]) -> str:
    return "\n\n".join(_written(block) for block in blocks) + "\n"


@singledispatch
def _written(block: Block) -> str:
    raise TypeError(type(block))


@_written.register
def _(block: Heading) -> str:
    return f"{'#' * block.level} {_text(block.text)}"


@_written.register
def _(block: Paragraph) -> str:
    return _text(block.text)


@_written.register
def _(block: Bullets) -> str:
    return "\n".join(f"- {_text(item)}" for item in block.items)


@_written.register
def _(block: Table) -> str:
    rule = ["---", *["---:"] * (len(block.head) - 1)]
    lines = [[_text(cell) for cell in block.head], rule, *([_text(cell) for cell in row] for row in block.rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{_text(block.caption)}:\n\n{table}"


def _text(text: str) -> str:
    """On one line; a line break would begin a block of its own."""
    return _LEADING.sub(r"\1\\\2", _SPECIAL.sub(r"\\\g<0>", " ".join(text.split())))

"""A document as an HTML page. Everything in it is escaped; its style is `STYLE`, which the page's policy names."""

from collections.abc import Sequence
from functools import singledispatch
from html import escape
from typing import Final

from tandem.market_ai.analysis.document import Block, Bullets, Heading, Paragraph, Table

STYLE: Final = """:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
div{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0}caption{padding:.25rem 0;text-align:left}
th,td{border-bottom:1px solid #8886;padding:.25rem .5rem;text-align:right;white-space:nowrap}
th:first-child{text-align:left}"""


def html(title: str, blocks: Sequence[Block], *, lang: str | None) -> str:
    language = f' lang="{lang}"' if lang else ""
    body = "\n".join(_written(block) for block in blocks)
    return f"""<!doctype html>
<html{language}><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><style>{STYLE}</style></head>
<body>
{body}
</body></html>
"""


@singledispatch
def _written(block: Block) -> str:
    raise TypeError(type(block))


@_written.register
def _(block: Heading) -> str:
    return f"<h{block.level}>{escape(block.text)}</h{block.level}>"


@_written.register
def _(block: Paragraph) -> str:
    return f"<p>{escape(block.text)}</p>"


@_written.register
def _(block: Bullets) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>"


@_written.register
def _(block: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in block.head)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in block.rows
    )
    caption = f"<caption>{escape(block.caption)}</caption>"
    # A table that can be scrolled must be reachable by keyboard.
    return f"""<div tabindex="0"><table>{caption}
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody></table></div>"""

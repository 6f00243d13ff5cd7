"""A chart as a page: the picture, and the same numbers as a table, for who cannot see the one or wants the other."""

from html import escape
from typing import Final

from tandem.market_ai.charts.drawing import STYLE, draw
from tandem.market_ai.charts.schemas import Theme
from tandem.market_ai.charts.wording import description_of, title_of, written
from tandem.market_ai.metrics.schemas import Series

_SCHEME: Final[dict[Theme, str]] = {"auto": "light dark", "light": "light", "dark": "dark"}


def page_style(theme: Theme) -> str:
    return f""":root{{color-scheme:{_SCHEME[theme]}}}
body{{font-family:system-ui,sans-serif;margin:1rem auto;max-width:50rem;padding:0 1rem}}
figure{{margin:0}}table{{border-collapse:collapse;width:100%}}
caption{{font-weight:600;padding:.5rem 0;text-align:left}}
th,td{{border-bottom:1px solid #8884;padding:.25rem .5rem;text-align:right}}th:first-child{{text-align:left}}"""


def styles_of(theme: Theme) -> list[str]:
    """All that a page contains."""
    return [page_style(theme), STYLE[theme]]


def page(series: Series, theme: Theme) -> str:
    title = escape(title_of(series))
    heads = "".join(f'<th scope="col">{escape(line.key or "Value")}</th>' for line in series.lines)
    days = [point.date for point in series.lines[0].points] if series.lines else []
    rows = "\n".join(f'<tr><th scope="row">{day}</th>{_cells(series, at)}</tr>' for at, day in enumerate(days))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{page_style(theme)}</style></head>
<body><figure>{draw(series, theme)}<figcaption>{escape(description_of(series))}</figcaption></figure>
<table><caption>{title}</caption>
<thead><tr><th scope="col">{series.interval.capitalize()}</th>{heads}</tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""


def _cells(series: Series, at: int) -> str:
    return "".join(f"<td>{written(line.points[at].value, series.metric)}</td>" for line in series.lines)

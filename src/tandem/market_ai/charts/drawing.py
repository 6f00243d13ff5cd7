"""A series as an SVG picture, drawn by pygal, and made accessible.

Importing this loads no library; the first picture does. The result is one element without scripts, comments or
references to anywhere, whose title and description are its accessible name. Its style is `STYLE[theme]` alone, so that
a Content-Security-Policy can name it by its hash.
"""

import sys
from typing import Any, Final
from xml.etree import ElementTree

from tandem.market_ai.charts.schemas import Theme
from tandem.market_ai.charts.wording import description_of, title_of, written
from tandem.market_ai.metrics.schemas import Series

WIDTH, HEIGHT = 800, 420
LABELS = 8  # on the axis of time
DENSE, DOTTED = 62, 366  # beyond so many points their dots are small, and then left out
_DROPPED = frozenset({"script", "style", "desc", "title"})
DASHES: Final = ("none", "8 4", "2 3", "10 3 2 3", "14 4", "5 2")
"""Lines differ in more than their color."""

# Okabe & Ito's palette, with relatives of those colors that lack the contrast of 3:1 which WCAG 1.4.11 wants. Tests
# hold both to that, and to being told apart by who lacks one kind of cone.
LIGHT: Final = ("#0072b2", "#e05a00", "#009e73", "#cc6ba8", "#7a4b00", "#222222")
DARK: Final = ("#56b4e9", "#e69f00", "#1fc499", "#e59bc4", "#f0e442", "#eeeeee")
PAPER: Final = {"light": "#ffffff", "dark": "#16181d"}
_INK: Final = {"light": ("#1f2328", "#d0d4da"), "dark": ("#e6e8eb", "#3a3f48")}  # of text, of guides

_FORM = """.chart text{font-family:system-ui,sans-serif;font-size:12px;stroke:none}
.chart text.title{font-size:16px;font-weight:600;text-anchor:middle}
.chart .axis.x text{text-anchor:middle}.chart .axis.y text{text-anchor:end}
.chart .no_data{font-size:20px;text-anchor:middle}
.chart .line{fill:none;stroke-width:2}.chart .guide{stroke-width:1}
.chart .axis.x .guide{stroke:none}
"""


def _colors(theme: str) -> str:
    text, guide = _INK[theme]
    series = DARK if theme == "dark" else LIGHT
    rules = [
        f".chart .background{{fill:{PAPER[theme]}}}.chart text{{fill:{text}}}",
        f".chart .axis .line{{stroke:{guide}}}",
        *(
            f".chart .color-{at}{{stroke:{color};fill:{color}}}.chart .color-{at} .line{{fill:none}}"
            for at, color in enumerate(series)
        ),
    ]
    return "\n".join(rules)


_DASHED = "\n".join(f".chart .serie-{at} .line{{stroke-dasharray:{dashes}}}" for at, dashes in enumerate(DASHES))
STYLE: Final[dict[Theme, str]] = {
    "light": f"{_FORM}{_colors('light')}\n{_DASHED}",
    "dark": f"{_FORM}{_colors('dark')}\n{_DASHED}",
    "auto": f"{_FORM}{_colors('light')}\n@media (prefers-color-scheme:dark){{{_colors('dark')}}}\n{_DASHED}",
}


def draw(series: Series, theme: Theme) -> str:
    """One `<svg>` element; takes some milliseconds, and half a second the first time in a process."""
    root = _plotted(series)
    for parent in root.iter():
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag in _DROPPED or child.get("class") == "tooltip":
                parent.remove(child)
    texts = ElementTree.Element("title", id="chart-title"), ElementTree.Element("desc", id="chart-desc")
    texts[0].text, texts[1].text = title_of(series), description_of(series)
    style = ElementTree.Element("style")
    style.text = STYLE[theme]
    for at, element in enumerate((*texts, style)):
        root.insert(at, element)
    root.attrib |= {"role": "img", "aria-labelledby": "chart-title chart-desc", "class": "chart"}
    root.attrib.pop("id", None)
    return ElementTree.tostring(root, encoding="unicode")


def _library() -> Any:
    import pygal  # type: ignore[import-untyped]

    # It leaves a finder of the old protocol there, for maps that nobody draws here: every later import would ask it.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != pygal.__name__]
    return pygal


def _plotted(series: Series) -> Any:
    points = max((len(line.points) for line in series.lines), default=0)
    chart = _library().Line(
        js=[],
        css=[],
        no_prefix=True,
        width=WIDTH,
        height=HEIGHT,
        title=title_of(series),
        no_data_text="There are no data",
        show_legend=series.by is not None,
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
        show_dots=points <= DOTTED,
        dots_size=2.5 if points <= DENSE else 1.2,
        allow_interruptions=True,
        include_x_axis=True,
        max_scale=6,
        value_formatter=lambda value: written(value, series.metric),
        show_minor_x_labels=False,
        truncate_legend=28,
        truncate_label=-1,
    )
    if points:
        chart.x_labels_major_every = -(-points // LABELS)
        chart.x_labels = [point.date.isoformat() for point in series.lines[0].points]
    for line in series.lines:
        values = [None if point.value is None else float(point.value) for point in line.points]
        chart.add(line.key or title_of(series), values)
    return chart.render_tree()

"""A report as a document: headings, paragraphs, lists and tables, for `markdown` and `html` to write down."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tandem.market_ai.analysis.findings import figures, percent, said
from tandem.market_ai.analysis.schemas import ReportOut

_COLUMNS = {
    "impressions": "Impressions",
    "clicks": "Clicks",
    "conversions": "Conversions",
    "cost": "Cost",
    "revenue": "Revenue",
    "ctr": "CTR",
    "cvr": "CVR",
    "cpc": "CPC",
    "cpm": "CPM",
    "cpa": "CPA",
    "roas": "ROAS",
    "roi": "ROI",
}
_NOTHING = "–"  # noqa: RUF001 - what a table has where there is no value
_DECISIONS = {
    "winner": "The sequential test allows to call “{winner}” the winner.",
    "undecided": "The sequential test does not allow to call any of them the winner yet.",
    "sample_ratio_mismatch": "They were not shown in the ratio that was meant, so their rates prove nothing.",
    "too_few_variants": "Fewer than two of them can be compared.",
}


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """The first cell of each row is its head."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Paragraph | Bullets | Table


def document_of(report: ReportOut) -> list[Block]:
    facts = report.facts
    blocks: list[Block] = [
        Heading(f"Report: {facts['campaign']['name']}", 1),
        Paragraph(f"{report.created_at:%Y-%m-%d %H:%M} UTC. {_by(report)}"),
        Heading("Summary"),
        *(Paragraph(text) for text in report.summary.splitlines() if text.strip()),
    ]
    if report.recommendations:
        blocks += [Heading("Recommendations"), Bullets(report.recommendations)]
    if metrics := facts.get("metrics"):
        blocks += [Heading("Findings"), Bullets(facts["findings"]), *_figures(metrics), *_trend(metrics)]
        for found in metrics["comparisons"]:
            blocks += _comparison(found)
    return [*blocks, *_content(facts["content"])]


def _by(report: ReportOut) -> str:
    if report.model in {"offline", "computed"}:
        return "The summary is put together from what was computed."
    return f"The summary is by {report.model}; each of its numbers was checked against what was computed."


def _figures(metrics: Mapping[str, Any]) -> Iterator[Block]:
    unit = f" (money in {metrics['currency']})" if metrics["currency"] else ""
    yield Heading("Key figures")
    total = ("All", *_cells(metrics["total"]))
    for by in ("channel", "variant"):
        rows = [(group["key"], *_cells(group["kpis"])) for group in metrics[f"by_{by}"]]
        if rows or by == "channel":
            yield Table(f"By {by}{unit}", (by.capitalize(), *_COLUMNS.values()), [*rows, total])


def _trend(metrics: Mapping[str, Any]) -> Iterator[Block]:
    trend = metrics["trend"]
    rows = []
    for metric, name in _COLUMNS.items():
        relative = trend["change"][metric]["relative"]
        values = [_cell(metric, trend[period]["kpis"][metric]) for period in ("before", "period")]
        rows.append((name, *values, _NOTHING if relative is None else percent(relative)))
    heads = [f"{trend[period]['date_from']} to {trend[period]['date_to']}" for period in ("before", "period")]
    yield Heading("Trend")
    yield Table("The last days with data, and as many before", ("Figure", *heads, "Change"), rows)


def _comparison(found: Mapping[str, Any]) -> Iterator[Block]:
    name = _COLUMNS[found["metric"]]
    rows = [
        (
            one["name"],
            said("trials", one["trials"]),
            said("successes", one["successes"]),
            _NOTHING if one["rate"] is None else percent(one["rate"]),
            _NOTHING if one["interval"] is None else _range(one["interval"]),
            _NOTHING if one["probability_best"] is None else percent(one["probability_best"]),
        )
        for one in found["variants"]
    ]
    yield Heading(f"Variants by {name}")
    yield Paragraph(_DECISIONS[found["decision"]].format(winner=found["winner"]))
    yield Table(f"{name} of each variant", ("Variant", "Trials", "Successes", name, "95 %", "Best"), rows)
    pairs = [
        (f"{one['b']} − {one['a']}", percent(one["difference"]), _range(one["interval"]), figures(one["adjusted_p"]))  # noqa: RUF001
        for one in found["pairs"]
    ]
    yield Table("Differences", ("Pair", "Difference", "95 %", "Always-valid p, adjusted"), pairs)


def _content(content: Mapping[str, Any]) -> Iterator[Block]:
    yield Heading("Content")
    rows = [(one["kind"], one["status"], str(one["assets"])) for one in content["inventory"]]
    yield Table("Assets", ("Kind", "Status", "Assets"), rows) if rows else Paragraph("There is none yet.")


def _cells(kpis: Mapping[str, Any]) -> Iterator[str]:
    return (_cell(metric, kpis[metric]) for metric in _COLUMNS)


def _cell(metric: str, value: Any) -> str:
    return _NOTHING if value is None else said(metric, value)


def _range(interval: Mapping[str, float]) -> str:
    return f"{percent(interval['low'])} to {percent(interval['high'])}"

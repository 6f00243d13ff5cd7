"""What was measured, as tables: with numbers for the screen, with ratios for docs/performance.md."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Comparison, Flatness

PAGE = Path(__file__).parents[1] / "docs/performance.md"
BEGIN, END = "<!-- written by make bench -->", "<!-- end -->"
FLAT, MAX_MEMORY, MAX_READY = 1.2, 100.0, 1.5  # ratio; MB of a million bytes; seconds
WIDTH = 140  # characters of the widest table
_PACKAGES = ("fastapi", "uvicorn", "asyncpg", "sqlalchemy", "pydantic")


@dataclass(frozen=True)
class Results:
    """`memory` is in MB of a million bytes, `ready` in seconds; `missed` names the targets that were not met."""

    comparisons: list[Comparison]
    flatness: list[Flatness]
    memory: float
    ready: float
    raw_ready: float
    postgres: str

    def missed(self) -> Iterator[str]:
        for one in self.comparisons:
            if one.route.target is not None and one.ratio > one.route.target:
                yield f"{one.route.name}: {one.ratio:.1f}x the raw CPU time, the target is {one.route.target:g}x"
        for flat in self.flatness:
            if flat.ratio > FLAT:
                yield f"{flat.page}: {flat.ratio:.2f}x as slow in the longest list, the target is {FLAT:g}x"
        if self.memory > MAX_MEMORY:
            yield f"memory: {self.memory:.1f} MB, the target is {MAX_MEMORY:.0f} MB"
        if self.ready > MAX_READY:
            yield f"start: {self.ready:.2f} s, the target is {MAX_READY:g} s"


def show(results: Results) -> None:
    console = Console(width=WIDTH)
    console.print(_routes(results))
    console.print(_lists(results))
    console.print(f"memory of the API process under load: {results.memory:.1f} MB")
    console.print(f"from exec to the first answer: {results.ready:.2f} s (raw server {results.raw_ready:.2f} s)")
    missed = list(results.missed())
    for line in missed or ["every target is met"]:
        console.print(f"[red]missed[/] {line}" if missed else f"[green]{line}[/]", highlight=False)


def write(results: Results, page: Path = PAGE) -> None:
    """Replace the part between the markers; raises ValueError when the page has none."""
    before, found, rest = page.read_text().partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"{page} lacks the markers {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n{END}{after}")


def markdown(results: Results) -> str:
    """Ratios, and the two figures whose targets are absolute."""
    today = datetime.now(UTC).date()
    ready = f"{results.ready:.2f} s (raw {results.raw_ready:.2f} s)"
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    lines = [
        f"Measured on {today} with Python {platform.python_version()}, Postgres {results.postgres}, {packages}.",
        "",
        "| route | compared with a raw | CPU per request | target | requests/s |",
        "|---|---|--:|--:|--:|",
    ]
    for one in results.comparisons:
        target = f"≤ {one.route.target:g}x" if one.route.target else ""
        lines.append(
            f"| {one.route.name} | {one.route.against} | {one.ratio:.1f}x | {target} | {one.rate_ratio:.2f}x |"
        )
    sizes = sorted(results.flatness[0].latencies)
    lines += ["", f"| list of 50 with cursor | latency at {sizes[-1]:,} tasks to that at {sizes[0]:,} | target |"]
    lines += ["|---|--:|--:|"]
    lines += [f"| {flat.page} | {flat.ratio:.2f}x | ≤ {FLAT:g}x |" for flat in results.flatness]
    lines += [
        "",
        "| one API process | measured | target |",
        "|---|--:|--:|",
        f"| resident memory under load | {results.memory:.1f} MB | ≤ {MAX_MEMORY:.0f} MB |",
        f"| `tandem serve` to the first answer, compiled bytecode | {ready} | ≤ {MAX_READY:g} s |",
    ]
    missed = [f"- {line}" for line in results.missed()]
    lines += ["", *(["Targets missed in this run:", "", *missed] if missed else ["Every target was met in this run."])]
    return "\n".join(lines) + "\n"


def _routes(results: Results) -> Table:
    table = Table(title="Momentum beside a raw ASGI + asyncpg server", title_justify="left")
    table.add_column("route")
    headings = (
        "req/s",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "raw req/s",
        "raw p50",
        "raw p99",
        "raw CPU",
        "CPU ratio",
        "target",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for one in results.comparisons:
        figures = [
            cell
            for run in (one.ours, one.raw)
            for cell in (f"{run.rate:,.0f}", f"{run.p50:.2f}", f"{run.p99:.2f}", f"{run.cpu:.3f}")
        ]
        target = f"{one.route.target:g}" if one.route.target else ""
        table.add_row(one.route.name, *figures, f"{one.ratio:.2f}", target)
    return table


def _lists(results: Results) -> Table:
    table = Table(title="List of 50 with cursor, median latency in ms", title_justify="left")
    table.add_column("page")
    for tasks in sorted(results.flatness[0].latencies):
        table.add_column(f"{tasks:,} tasks", justify="right")
    table.add_column("longest / shortest", justify="right")
    for flat in results.flatness:
        table.add_row(flat.page, *(f"{flat.latencies[n]:.2f}" for n in sorted(flat.latencies)), f"{flat.ratio:.2f}")
    return table

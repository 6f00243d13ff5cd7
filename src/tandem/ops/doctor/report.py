"""Results for people: one line each, and under what is not right why it matters and what to do."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from tandem.ops.doctor.result import Result, Status

MARKS = {
    Status.OK: "[green]ok[/]     ",
    Status.INFO: "[cyan]info[/]   ",
    Status.WARNING: "[yellow]warning[/]",
    Status.ERROR: "[bold red]error[/]  ",
    Status.SKIPPED: "[dim]skipped[/]",
}


def print_result(console: Console, result: Result) -> None:
    place = f"{result.service}: " if result.service else ""
    needs = "needs " if result.status is Status.SKIPPED else ""
    line = f"{MARKS[result.status]} [bold]{result.check}[/]  {escape(place + needs + result.seen)}"
    console.print(line, highlight=False, soft_wrap=True)
    if result.status in {Status.ERROR, Status.WARNING}:
        console.print(f"          why  {escape(result.why)}", highlight=False, soft_wrap=True)
    if result.fix:
        console.print(f"          fix  {escape(result.fix)}", highlight=False, soft_wrap=True)


def print_summary(console: Console, results: Sequence[Result]) -> None:
    counts = Counter(result.status for result in results)
    shown = ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])
    console.print(f"\n{shown}", highlight=False)


def failed(results: Sequence[Result]) -> bool:
    return any(result.status is Status.ERROR for result in results)

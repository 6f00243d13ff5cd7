"""A table of figures with targets: on the screen, and between its markers in docs/performance.md."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).parents[1] / "docs/performance.md"
WIDTH = 120  # characters


@dataclass(frozen=True)
class Figure:
    what: str
    measured: str
    target: str = ""


@dataclass
class Section:
    """`name` is in the markers, `intro` says with what it was measured, `missed` names the targets not met."""

    name: str
    intro: str
    figures: list[Figure] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return self.name[:1].upper() + self.name[1:]

    def show(self) -> None:
        table = Table(title=self.title, title_justify="left")
        for column in ("", "measured", "target"):
            table.add_column(column, justify="right" if column else "left")
        for one in self.figures:
            table.add_row(one.what, one.measured, one.target)
        console = Console(width=WIDTH)
        console.print(table)
        for line in self.missed:
            console.print(f"[red]missed[/] {line}", highlight=False)

    def write(self, page: Path = PAGE) -> None:
        """Replace the section, or add it at the end."""
        begin, end = f"<!-- {self.name}, written by make bench -->", f"<!-- end of {self.name} -->"
        text = page.read_text()
        if begin not in text:
            text = f"{text.rstrip()}\n\n## {self.title}\n\n{begin}\n{end}\n"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        page.write_text(f"{before}{begin}\n\n{self.markdown()}\n\n{end}{after}")

    def markdown(self) -> str:
        lines = [f"Measured on {datetime.now(UTC).date()} with {self.intro}.", ""]
        lines += [f"| {self.name} | measured | target |", "|---|--:|--:|"]
        lines += [f"| {one.what} | {one.measured} | {one.target} |" for one in self.figures]
        missed = ["Targets missed in this run:", "", *(f"- {line}" for line in self.missed)]
        return "\n".join([*lines, "", *(missed if self.missed else ["Every target was met in this run."])])

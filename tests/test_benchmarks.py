"""The benchmark itself still works: every route answers, every figure is there. Nothing here is timed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import imports
from benchmarks.__main__ import PARTS
from benchmarks.imports import Measured
from benchmarks.load import Run
from benchmarks.measure import Comparison, Flatness
from benchmarks.report import BEGIN, END, PAGE, Results, write
from benchmarks.routes import ROUTES

ROOT = Path(__file__).parents[1]


def results(*, ratio: float = 3.0, memory: float = 90.0) -> Results:
    run = Run(rate=1000.0, p50=1.0, p99=2.0, cpu=0.5)
    return Results(
        comparisons=[Comparison(route, run, run, ratio=ratio, rate_ratio=0.3) for route in ROUTES],
        flatness=[Flatness("first page", {1000: 2.0, 5000: 2.1})],
        memory=memory,
        ready=1.2,
        raw_ready=0.4,
        postgres="18.1",
    )


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize(
    ("part", "figures"),
    [
        ("momentum", [*(f"│ {route.name} " for route in ROUTES), "memory of the API process"]),
        ("jobs", ["pickup of a lone job, p50", "what an enqueue adds to a transaction"]),
        ("market-ai", ["resident memory of the API process under load"]),
        ("imports", ["1,000 leads: new, rows a second"]),
        ("mail", ["100 leads: mails a second, one worker", "mails under kill -9, sent twice"]),
    ],
)
def test_a_quick_benchmark_shows_every_figure_and_leaves_the_page_alone(part: str, figures: list[str]) -> None:
    before = PAGE.read_bytes()
    command = [sys.executable, "-m", "benchmarks", "--quick", f"--{part}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert [one for one in figures if one not in done.stdout] == []
    assert PAGE.read_bytes() == before


def test_every_part_of_the_benchmark_is_tried() -> None:
    assert list(PARTS) == ["momentum", "jobs", "market-ai", "imports", "mail"]


def test_without_wrk_the_benchmark_says_how_to_get_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env={"PATH": str(tmp_path)}
    )
    assert done.returncode == 1
    assert "sudo apt-get install wrk" in done.stderr


def test_a_missed_target_is_named_with_its_numbers() -> None:
    assert list(results().missed()) == []
    missed = list(results(ratio=5.0, memory=101.0).missed())
    assert missed == [
        "list of 50: 5.0x the raw CPU time, the target is 4.5x",
        "get one: 5.0x the raw CPU time, the target is 4.5x",
        "memory: 101.0 MB, the target is 100 MB",
    ]


def test_writing_the_page_replaces_what_stands_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(results(), page)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| list of 50 | list | 3.0x | ≤ 4.5x | 0.30x |" in text
    assert "Every target was met in this run." in text


def test_the_documented_page_has_a_row_for_every_route() -> None:
    text = PAGE.read_text()
    assert [route.name for route in ROUTES if f"| {route.name} |" not in text] == []


def test_imports_that_miss_a_target_are_named_and_their_section_is_replaced(tmp_path: Path) -> None:
    good = [Measured(1000, new=3000, again=5000, memory=90), Measured(100_000, new=3000, again=5000, memory=95)]
    assert list(imports.missed(good)) == []
    bad = [good[0], Measured(100_000, new=100, again=5000, memory=200)]
    assert list(imports.missed(bad)) == [
        "100000 rows: 100/s, the target is 2000/s",
        "memory grew by 110 MB with the size of the file, the target is 30 MB at most",
    ]
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n")
    for results in (bad, good):
        imports.section(results).write(page)
    text = page.read_text()
    assert (text.count("<!-- imports, written by make bench -->"), text.count("## Imports")) == (1, 1)
    assert "| 100,000 leads: new, rows a second | 3,000 | ≥ 2000 |" in text
    assert "Every target was met in this run." in text

"""`python -m benchmarks`: everything, or with `--quick` a second per route and nothing written."""

import argparse
import sys
from typing import Any

from benchmarks import imports, jobs, mail, market_ai, momentum
from benchmarks.load import BenchmarkError
from benchmarks.servers import clean_environment, work_folder
from benchmarks.startup import import_times

PARTS: dict[str, Any] = {
    "momentum": momentum, "jobs": jobs, "market-ai": market_ai, "imports": imports, "mail": mail,
}  # fmt: skip
"""Each writes a section of docs/performance.md of its own."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a second per route, little data, write nothing")
    parser.add_argument("--importtime", action="store_true", help="only show where the time of the imports goes")
    for name, part in PARTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"measure {part.WHAT} only")
    chosen = parser.parse_args()
    try:
        if chosen.importtime:
            _show_imports()
            return
        alone = [part for name, part in PARTS.items() if getattr(chosen, name.replace("-", "_"))]
        for part in alone or PARTS.values():
            part.run(quick=chosen.quick, say=_say)
    except BenchmarkError as error:
        sys.exit(f"benchmarks: {error}")


def _show_imports() -> None:
    with work_folder() as folder:
        for name, microseconds in import_times("tandem.momentum.main", clean_environment(folder)):
            print(f"{microseconds / 1000:8.1f} ms  {name}")


def _say(text: str) -> None:
    print(f"· {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

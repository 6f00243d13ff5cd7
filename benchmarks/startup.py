"""How long a process takes from exec to its first answer, and where the time of its imports goes."""

import re
import subprocess
import sys
from collections.abc import Callable
from statistics import median

from benchmarks.servers import Server

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")


def seconds_to_ready(make: Callable[[], Server], *, times: int) -> float:
    """The median of some starts, after one that leaves the bytecode compiled."""
    with make():
        pass
    found = []
    for _ in range(times):
        with make() as server:
            found.append(server.ready)
    return median(found)


def import_times(module: str, environment: dict[str, str], *, at_least: int = 5_000) -> list[tuple[str, int]]:
    """Modules whose import takes `at_least` so many microseconds, what they import included; indented by depth."""
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    for _ in range(2):  # the first one compiles
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = [found for line in done.stderr.splitlines() if (found := _LINE.match(line))]
    return [(f"{found[3]}{found[4]}", int(found[2])) for found in reversed(lines) if int(found[2]) >= at_least]

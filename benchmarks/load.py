"""One run of wrk, and what it cost the server's process."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Server

SCRIPT = Path(__file__).with_name("wrk.lua")
INSTALL = "wrk is missing: install it with `sudo apt-get install wrk` (Debian, Ubuntu) or `brew install wrk`"


class BenchmarkError(RuntimeError):
    """The measurement means nothing; the message says why."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    token: str = ""
    body: str = ""


@dataclass(frozen=True)
class Run:
    """Latencies and CPU time in milliseconds; `cpu` is the server process's per request."""

    rate: float
    p50: float
    p99: float
    cpu: float


def require_wrk() -> None:
    """Raises BenchmarkError."""
    if shutil.which("wrk") is None:
        raise BenchmarkError(INSTALL)


def drive(server: Server, requests: list[Request], *, seconds: int, connections: int, folder: Path) -> Run:
    """Send the requests in turn for `seconds`; raises BenchmarkError when a single one fails."""
    listing = folder / "requests.txt"
    listing.write_text("".join(f"{r.method}\t{r.path}\t{r.token}\t{r.body}\n" for r in requests))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT), server.url, "--", str(listing)]
    before = server.cpu_seconds()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cpu = server.cpu_seconds() - before
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise BenchmarkError(f"wrk failed: {done.stderr or done.stdout}")
    found = json.loads(lines[-1])
    if found["failed"] or not found["requests"]:
        first = requests[0]
        raise BenchmarkError(
            f"{found['failed']} of {found['requests']} failed: {first.method} {first.path} at {server.name}"
        )
    return Run(
        rate=found["requests"] / found["microseconds"] * 1e6,
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        cpu=1000 * cpu / found["requests"],
    )

"""The two servers as processes of their own, with the settings of a production."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.seeds import SECRET
from tandem.core.postgres import EmbeddedPostgres
from tandem.ops.migrate import migrate
from tandem.ops.services import SERVICES

ROOT = Path(__file__).parents[1]
DEADLINE = 60.0  # seconds to become ready
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


class Server:
    """One process on a free loopback port; inside a `with` block it answers. `ready` is the seconds that took."""

    def __init__(self, name: str, arguments: list[str], probe: str, environment: dict[str, str], folder: Path) -> None:
        self.name, self.probe = name, probe
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, *arguments, "--port", str(self.port)]
        self._environment = environment
        self._folder = folder
        self.ready = 0.0

    def __enter__(self) -> Self:
        began = time.perf_counter()
        self.process = psutil.Popen(
            self._command,
            env=self._environment,
            cwd=self._folder,  # away from the checkout's .env
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not self._answers():
            if self.process.poll() is not None or time.perf_counter() - began > DEADLINE:
                self.stop()
                raise RuntimeError(f"{self.name} did not start: {' '.join(self._command)}")
            time.sleep(0.005)
        self.ready = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except psutil.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        """Resident bytes."""
        return int(self.process.memory_info().rss)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self.probe, timeout=5) as response:  # noqa: S310 - our own http address
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def raw_server(url: str, folder: Path, user: str) -> Server:
    arguments = ["-m", "uvicorn", "benchmarks.raw:app", "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    environment = clean_environment(folder) | {"DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    return Server("raw", [*arguments, "--log-level", "warning"], f"/list/{user}", environment, folder)


def momentum_server(url: str, folder: Path) -> Server:
    """As in production, but for a rate limit that nobody reaches: every layer is on, logs are JSON lines."""
    environment = clean_environment(folder) | {
        "DATABASE_URL": url,
        "ENVIRONMENT": "production",
        "SESSION_HASH_SECRET": SECRET,
        "CORS_ORIGINS": "https://todo.acme.dev",
        "RATE_LIMIT": "100000000/minute",
        "LOG_LEVEL": "INFO",
    }
    return Server("Momentum", ["-m", "tandem", "serve", "momentum"], "/health", environment, folder)


def clean_environment(folder: Path) -> dict[str, str]:
    """Nothing of the caller's settings; bytecode is kept, beside the measurement, whatever the caller's Python does."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode")
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def work_folder() -> Iterator[Path]:
    """Open to the unprivileged user that runs the embedded server for root; deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tandem-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def own_postgres(service: str) -> Iterator[str]:
    """The URL of a service's migrated database on a durable Postgres of its own, which is deleted afterwards."""
    with work_folder() as folder, EmbeddedPostgres(folder / "postgres") as server:
        server.create_database(service)
        migrate(SERVICES[service], server.url(service))
        yield server.url(service)
        server.destroy()

"""The application of edge_service behind a real server, in a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.core.edge_service import NOWHERE, SECRET

ROOT = Path(__file__).parents[2]
UVICORN = ["-m", "uvicorn", "tests.core.edge_service:app", "--host", "127.0.0.1", "--port", "{port}"]
GUNICORN = [
    "-m",
    "gunicorn",
    "tests.core.edge_service:app",
    "-k",
    "uvicorn_worker.UvicornWorker",
    "-b",
    "127.0.0.1:{port}",
]


class Server:
    def __init__(self, port: int, log: Path) -> None:
        self.port, self._log = port, log
        self.url = f"http://127.0.0.1:{port}"

    @property
    def output(self) -> str:
        text = self._log.read_text()
        return text[: text.rfind("\n") + 1]  # whole lines

    def wait_for_output(self, text: str, seconds: float = 5) -> str:
        deadline = time.monotonic() + seconds
        while text not in self.output and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.output

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are; everything that comes back until the server closes or falls silent."""
        with self.connect() as connection:
            connection.sendall(request)
            connection.settimeout(3)
            answer = b""
            try:
                while chunk := connection.recv(65536):
                    answer += chunk
            except TimeoutError:
                pass
            return answer


@contextmanager
def serving(directory: Path, command: list[str] = UVICORN, **environment: str) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "test",
        "DATABASE_URL": NOWHERE,
        "SESSION_HASH_SECRET": SECRET,
        "CORS_ORIGINS": "https://app.netlify.app",
    }
    path = directory / "server.log"
    with path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *[part.format(port=port) for part in command]],
            cwd=ROOT,
            env=variables | environment,
            stdout=log,
            stderr=log,
        )
    server = Server(port, path)
    try:
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _wait(server: Server, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, server.output
        try:
            server.connect().close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{server.output}")

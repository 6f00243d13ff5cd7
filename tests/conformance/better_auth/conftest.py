"""Both sides of the conformance tests: the real better-auth server, and ours under a real uvicorn."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import SECRET
from tests.conformance.better_auth.node import better_auth_server, install

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def node() -> None:
    install()


@pytest.fixture
def better_auth(node: None, database_url: str) -> Iterator[dict[str, Any]]:
    """The real server, on the database that our migration made."""
    with better_auth_server(database_url, SECRET) as server:
        yield server


@pytest.fixture
def uvicorn_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """Momentum as it is deployed."""
    env = os.environ | {"DATABASE_URL": database_url, "SESSION_HASH_SECRET": SECRET, "ENVIRONMENT": "test"}
    command = [sys.executable, "-m", "uvicorn", "tandem.momentum.main:app", "--host", "127.0.0.1", "--port", "0"]
    log = tmp_path / "uvicorn.log"
    with log.open("wb") as output, subprocess.Popen(command, cwd=ROOT, env=env, stderr=output, stdout=output) as server:
        try:
            yield _address(server, log)
        finally:
            server.terminate()
            server.wait(30)


def _address(server: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"uvicorn did not start:\n{log.read_text()}")

"""Running the Node side: installed once from the lock file, each program a child that ends with its test."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
INSTALLED = HERE / "node_modules" / ".installed"


def install() -> None:
    """`npm ci`, unless it was done for this lock file already. Test processes take turns."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        why = "Node.js 20 with npm is not installed"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    with (HERE / "package.json").open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if INSTALLED.exists() and INSTALLED.read_text() == wanted:
            return
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=500)
        INSTALLED.write_text(wanted)


@contextlib.contextmanager
def better_auth_server(database_url: str, secret: str) -> Iterator[dict[str, Any]]:
    """The real server; yields what it says of itself, `url` included."""
    env = os.environ | {"DATABASE_URL": database_url, "SECRET": secret, "NO_COLOR": "1"}
    with subprocess.Popen(["node", "server.mjs"], cwd=HERE, env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            said = json.loads(server.stdout.readline() or "{}")
            assert said, "the better-auth server did not start; its standard error says why"
            yield said | {"url": f"http://127.0.0.1:{said['port']}"}
        finally:
            server.terminate()


def run_client(base_url: str, mode: str) -> dict[str, Any]:
    """The transcript of the official client."""
    command = ["node", "client.mjs", base_url, mode]
    done = subprocess.run(command, cwd=HERE, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    transcript: dict[str, Any] = json.loads(done.stdout)
    return transcript

"""The README's transcripts, run as they are written, against servers that are started as their users start them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import RunningServer, clean_environment, free_port

README = (Path(__file__).parents[1] / "README.md").read_text()
TRANSCRIPTS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def market_server(market_url: str, tmp_path: Path) -> Iterator[RunningServer]:
    """Market AI with its worker in the same process."""
    port = free_port()
    command = [sys.executable, "-m", "tandem", "serve", "market-ai", "--with-worker", "--port", str(port)]
    with RunningServer(command, port, clean_environment(DATABASE_URL=market_url), tmp_path) as server:
        yield server


def test_the_transcript_of_momentum_works(momentum_server: RunningServer) -> None:
    said = run(TRANSCRIPTS[0], "http://127.0.0.1:8000", momentum_server)
    assert '"title":"Water the plants"' in said
    assert '"completed":true' in said
    assert "<mark>gardens</mark>" in said


def test_the_transcript_of_market_ai_works(market_server: RunningServer) -> None:
    said = run(TRANSCRIPTS[1], "http://127.0.0.1:8001", market_server)
    assert "event: succeeded" in said
    assert '"status":"approved"' in said
    assert '"model":"offline"' in said
    assert '"cvr":0.0453125' in said
    assert "a return on ad spend of 3.30" in said
    assert "'spent': '0.000000'" in said
    assert '"valid":true' in said


def run(transcript: str, address: str, server: RunningServer) -> str:
    """What it prints, without blanks after the colons of JSON."""
    assert f"API={address}\n" in transcript
    script = transcript.replace(address, server.url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail"], input=script, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr + server.output()[-3000:]
    return re.sub(r'":\s+', '":', done.stdout)

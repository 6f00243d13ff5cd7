"""The README's transcript, run as it is written, against a server that is started as its users start one."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.servers import RunningServer

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture
def transcript() -> str:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


def test_the_transcript_of_the_readme_works(transcript: str, momentum_server: RunningServer) -> None:
    assert "API=http://127.0.0.1:8000\n" in transcript
    script = transcript.replace("http://127.0.0.1:8000", momentum_server.url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail"], input=script, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"title":"Water the plants"' in compact(done.stdout)
    assert '"completed":true' in compact(done.stdout)
    assert "<mark>gardens</mark>" in done.stdout


def compact(text: str) -> str:
    return re.sub(r'":\s+', '":', text)

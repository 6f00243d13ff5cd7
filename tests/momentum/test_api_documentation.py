"""docs/momentum-api.md: its commands are run, every one."""

import re
import subprocess
from pathlib import Path

import pytest

DOCUMENT = (Path(__file__).parents[2] / "docs" / "momentum-api.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
# Before each block: what its variables stand for.
FRESH = """
id() { python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])'; }
ID=$(api $API/tasks -d '{"title":"a task"}' | id)
PROJECT=$(api $API/projects -d '{"name":"a project"}' | id)
LABEL=$(api $API/labels -d "{\\"name\\":\\"$RANDOM $RANDOM\\"}" | id)
A=$LABEL B=$LABEL
"""


@pytest.fixture
def script(momentum_server):
    """The blocks in order; curl also says each status on standard error."""
    first, *others = (block.replace("http://127.0.0.1:8000", momentum_server.url) for block in BLOCKS)
    said = first.replace("api() { curl -sS", "api() { curl -sS -w '%{stderr}status %{http_code}\\n'")
    assert said != first
    return "set -eu\n" + said + "".join(FRESH + block for block in others)


def test_the_commands_of_the_api_guide_are_true(script, tmp_path):
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    statuses = re.findall(r"^status (\d+)$", done.stderr, re.MULTILINE)
    expected = script.count("api $API") + script.count("api -X") + script.count('api "$API')
    assert len(statuses) == expected
    assert [s for s in statuses if not s.startswith("2")] == ["412"], done.stdout  # the example of a lost update
    assert (tmp_path / "tasks.csv").read_text().startswith("id,title,")

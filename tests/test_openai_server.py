"""The loopback OpenAI server as a process: what it bills is known whatever happens to it."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.openai_server import BEHAVIOURS, FAILURES, rolled
from tests.servers import RunningServer, clean_environment, free_port

ROOT = Path(__file__).parents[1]


def serving(directory: Path, *options: str) -> RunningServer:
    port = free_port()
    command = [sys.executable, "-m", "tests.openai_server", "--port", str(port), "--log", str(directory / "bills")]
    return RunningServer([*command, *options], port, clean_environment(PYTHONPATH=str(ROOT)), directory)


def ask(server: RunningServer, text: str, path: str = "/v1/chat/completions") -> tuple[int, Any]:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    return server.request("POST", path, body, token="sk-1")


def test_bills_survive_the_server(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        status, answer = ask(server, "Bread [[tag:one]]")
        assert (status, answer["object"]) == (200, "chat.completion")
        assert ask(server, "Bread [[behave:status:429]]")[0] == 429
        server.process.kill()
        server.process.wait()
    lines = [json.loads(line) for line in (tmp_path / "bills").read_text().splitlines()]
    assert [(line["id"], line["tag"], line["micros"] > 0) for line in lines] == [(1, "one", True), (2, None, False)]
    with serving(tmp_path) as server:
        assert ask(server, "More [[tag:two]]")[0] == 200
        _, total = server.request("GET", "/billed")
        assert (total["requests"], total["billed"]) == (3, 2)
        assert server.request("GET", "/billed?tag=two")[1]["lines"][0]["id"] == 3


def test_behaviour_is_chosen_by_prompt_path_control_and_start(tmp_path: Path) -> None:
    with serving(tmp_path, "--behave", "status:503") as server:
        assert ask(server, "x")[0] == 503
        server.request("POST", "/control", {"behave": "ok", "answer": {"text": "set"}})
        assert "set" in str(ask(server, "x"))
        assert ask(server, "x", "/status:401/v1/chat/completions")[0] == 401
        assert ask(server, "x [[behave:quota]]", "/status:401/v1/chat/completions")[0] == 429
        assert ask(server, "x [[behave:nonsense]]")[0] == 404


def test_random_failures_repeat_with_their_seed() -> None:
    first, other = ([rolled(f"random:0.5:{seed}", number) for number in range(100)] for seed in (11, 12))
    assert first == [rolled("random:0.5:11", number) for number in range(100)]
    assert first != other
    assert 30 < first.count("ok") < 70
    assert {rolled("random:0", number) for number in range(20)} == {"ok"} == {rolled("ok", 1)}


def test_every_random_failure_is_a_behaviour() -> None:
    assert {failure.partition(":")[0] for failure in FAILURES} <= BEHAVIOURS.keys()

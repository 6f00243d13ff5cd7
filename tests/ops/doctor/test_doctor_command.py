"""`tandem doctor` as a person, a release step or a program runs it."""

import json
from pathlib import Path

import pytest

from tests.ops.doctor.environments import GOOD
from tests.ops.test_cli import fetch, tandem

WORKER = "INSERT INTO job_workers (id, host, pid, version) VALUES (gen_random_uuid(), 'here', 1, '1') RETURNING id"


def test_a_good_environment_exits_with_0_and_a_broken_one_with_1(database_url: str, tmp_path: Path) -> None:
    fetch(database_url, WORKER)
    environment = GOOD["momentum"] | {"DATABASE_URL": database_url}
    good = tandem("doctor", "momentum", cwd=tmp_path, **environment)
    assert good.returncode == 0, good.stdout
    assert " error" not in good.stdout
    broken = tandem("doctor", "momentum", "--json", cwd=tmp_path, **environment | {"CORS_ORIGINS": "*", "DOCS": "true"})
    assert broken.returncode == 1
    told = json.loads(broken.stdout)
    red = [one for one in told["results"] if one["status"] == "error"]
    assert told["ok"] is False
    assert [one["check"] for one in red] == ["settings.docs", "settings.cors"]
    assert all(one["service"] == "momentum" and one["why"] and one["fix"] for one in red)


def test_variables_may_come_from_a_file(database_url: str, tmp_path: Path) -> None:
    lines = [f"{name}={value}\n" for name, value in (GOOD["momentum"] | {"DATABASE_URL": database_url}).items()]
    (tmp_path / "production.env").write_text("".join(lines))
    told = tandem("doctor", "momentum", "--json", "--env-file", "production.env", cwd=tmp_path)
    red = [one["check"] for one in json.loads(told.stdout)["results"] if one["status"] == "error"]
    assert red == ["queue.workers"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["momentun"], "neither `render` nor a service"),
        (["--live", "https://api.acme.dev"], "say what is there"),
        (["momentum", "render.yaml"], "files belong to"),
        (["momentum", "--env-file", "lost.env"], "lost.env is no file"),
        ([], "every service has its own"),
    ],
)
def test_wrong_calls_are_said_in_words(arguments: list[str], expected: str, tmp_path: Path) -> None:
    refused = tandem("doctor", *arguments, cwd=tmp_path, DATABASE_URL="postgresql://u:p@127.0.0.1/x")
    assert refused.returncode == 2
    assert expected in refused.stderr

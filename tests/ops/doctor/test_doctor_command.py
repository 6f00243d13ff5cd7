"""`tandem doctor` as a person, a release step or a program runs it."""

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest

from tandem.ops import doctor
from tandem.ops.doctor.result import Check
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


def test_the_age_of_the_newest_backup_is_told(market_url: str, tmp_path: Path) -> None:
    environment = GOOD["market-ai"] | {"DATABASE_URL": market_url, "BACKUP_DESTINATION": str(tmp_path / "kept")}

    def told() -> tuple[str, str]:
        answer = tandem("doctor", "market-ai", "--json", cwd=tmp_path, **environment)
        (found,) = [one for one in json.loads(answer.stdout)["results"] if one["check"] == "backups.age"]
        return found["status"], found["seen"]

    assert told() == ("warning", f"there is no backup at {tmp_path / 'kept'}")
    made = tandem("backup", "market-ai", cwd=tmp_path, **environment)
    assert made.returncode == 0, made.stderr
    assert told() == ("ok", "the newest is 0 hours old")


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
        (["render", "--live", "https://api.acme.dev"], "--live belongs to a service"),
        (["momentum", "render.yaml"], "files belong to"),
        (["momentum", "--env-file", "lost.env"], "lost.env is no file"),
        ([], "every service has its own"),
    ],
)
def test_wrong_calls_are_said_in_words(arguments: list[str], expected: str, tmp_path: Path) -> None:
    refused = tandem("doctor", *arguments, cwd=tmp_path, DATABASE_URL="postgresql://u:p@127.0.0.1/x")
    assert refused.returncode == 2
    assert expected in refused.stderr


def checks() -> set[str]:
    """The ids of all checks there are."""
    found = set()
    for module in pkgutil.walk_packages(doctor.__path__, f"{doctor.__name__}."):
        values = vars(importlib.import_module(module.name)).values()
        found |= {value.id for value in values if isinstance(value, Check)}
    return found


def test_every_check_is_documented_and_nothing_else() -> None:
    page = (Path(__file__).parents[3] / "docs/doctor.md").read_text()
    rows = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([a-z-]+\.[a-z-]+)`", rows)) == checks()

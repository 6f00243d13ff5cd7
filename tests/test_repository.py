"""Rules about the repository itself: what is documented, what is tracked, what is locked."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tandem.cli import ServiceName, Verification, app
from tandem.core.settings import environment_names
from tandem.ops.deploy.verify import CHECKS
from tandem.ops.services import SERVICES, Service
from tandem.ops.settings_report import markdown

ROOT = Path(__file__).parents[1]
SKIPPED = {".git", ".venv", ".tandem", "node_modules", "__pycache__"}
TEXT = {".py", ".md", ".toml", ".txt", ".ini", ".json", ".yml", ".yaml", ".sh", ".mako", ".js", ".mjs", ".cfg", ""}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked_files() -> Iterator[Path]:
    """What git tracks or would track; everything but caches where there is no git."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        names = [ROOT / name for name in listed.stdout.splitlines()]
    else:
        names = [path for path in ROOT.rglob("*") if not SKIPPED & set(path.relative_to(ROOT).parts)]
    return (path for path in names if path.is_file())


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> Service:
    return SERVICES[request.param]


def variables(service: Service) -> set[str]:
    fields = service.settings_class.model_fields.values()
    return {name for field in fields for name in environment_names(field)} | {service.port_variable}


def test_the_settings_page_is_what_the_settings_say(service: Service) -> None:
    remedy = f"paste the output of `tandem settings {service.name} --markdown` into docs/settings.md"
    assert markdown(service) in (ROOT / "docs/settings.md").read_text(), remedy


def test_the_settings_table_does_not_depend_on_the_environment(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = markdown(service)
    monkeypatch.setenv("RATE_LIMIT", "7/minute")
    monkeypatch.setenv("SESSION_HASH_SECRET", "f" * 64)
    assert markdown(service) == before


def test_the_example_environment_names_every_setting(service: Service) -> None:
    example = (ROOT / ".env.example").read_text()
    missing = [name for name in variables(service) if not re.search(rf"\b{name}\b", example)]
    assert missing == []


def test_the_example_environment_sets_nothing_unknown() -> None:
    known = set().union(*(variables(service) for service in SERVICES.values()))
    names = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(names) - known == set()


def test_every_command_is_documented() -> None:
    documented = (ROOT / "docs/commands.md").read_text()
    click_app = typer.main.get_command(app)
    commands = list(getattr(click_app, "commands", {}))
    assert {"up", "serve", "worker", "migrate", "settings", "demo"} <= set(commands)
    assert [name for name in commands if f"`tandem {name}" not in documented] == []


def test_the_command_line_knows_every_service() -> None:
    assert {name.value for name in ServiceName} == set(SERVICES)
    assert {name.value for name in Verification} == set(CHECKS)


def test_the_documents_an_index_names_exist() -> None:
    for page in (ROOT / "README.md", ROOT / "docs/README.md"):
        links = re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text())
        missing = [link for link in links if not (page.parent / link).exists() and link != "/docs"]
        assert missing == [], page


def test_no_file_names_a_registry_or_a_machine() -> None:
    index = re.compile(r"--(?:extra-)?index-url|https?://[^\s\"')]*(?:/simple\b|registry)|\"resolved\":\s*\"http")
    machine = re.compile(r"(?<![\w.])/(?:work|root|farm)/|/home/[a-z]|/Users/[A-Za-z]")
    found = []
    for path in tracked_files():
        if path.suffix not in TEXT or path == Path(__file__):
            continue
        text = path.read_text(errors="replace").replace("--no-emit-index-url", "")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for rule in (index, machine) for match in rule.finditer(text)]
    assert found == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-local.txt", "requirements-dev.txt"])
def test_requirements_are_exact_and_hashed(name: str) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / name).read_text().replace("\\\n", " ").strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[\w,]+\])?==", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_requirements_hold_what_the_project_asks_for() -> None:
    locked = (ROOT / "requirements.txt").read_text()
    for requirement in PYPROJECT["project"]["dependencies"]:
        name, version = re.match(r"([\w.-]+)(?:\[.*\])?==([\w.]+)", requirement).groups()  # type: ignore[union-attr]
        pinned = rf"^{re.escape(name)}(?:\[.*\])?=={re.escape(version)}\b"
        assert re.search(pinned, locked, re.MULTILINE | re.IGNORECASE), name


def test_scripts_can_be_run() -> None:
    scripts = [ROOT / ".ci/run", *(ROOT / "scripts").iterdir()]
    for script in scripts:
        assert os.access(script, os.X_OK), script
        assert script.read_text().startswith("#!"), script


def test_the_changelog_has_the_coming_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (Unreleased|\[?0\.1\.0)", changelog, re.MULTILINE)


def test_every_feature_is_held_to_the_import_rules() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    listed = {module for contract in contracts if contract["type"] == "independence" for module in contract["modules"]}
    folders = set()
    for name in SERVICES:
        package = ROOT / "src/tandem" / name.replace("-", "_")
        folders |= {f"tandem.{package.name}.{path.parent.name}" for path in package.glob("*/__init__.py")}
    assert folders == listed

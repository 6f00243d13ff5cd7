"""Unsafe migrations are found before they run, and only those."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tandem.ops.doctor.migrations import by_pattern, check_pending
from tandem.ops.doctor.result import Status
from tandem.ops.migration_lint import Finding, Judge, lint, sql_of, squawk
from tandem.ops.services import SERVICES, Service
from tests.ops.test_cli import tandem

GUIDE = Path(__file__).parents[2] / "docs" / "migrations.md"
REVISION = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "9999_next", "{head}"
{extra}
def upgrade() -> None:
{body}
"""


@dataclass(frozen=True)
class Copy(Service):
    directory: Path = Path()

    @property
    def versions_dir(self) -> Path:
        return self.directory


def findings_of(directory: Path, body: str, extra: str = "", judge: Judge = squawk) -> list[Finding]:
    service, head = next_revision(directory, body, extra)
    return lint(service, head, judge)


def next_revision(directory: Path, body: str, extra: str = "") -> tuple[Service, str]:
    """Momentum with one more migration, and the revision before it."""
    service = SERVICES["momentum"]
    shutil.copytree(service.versions_dir, directory, ignore=shutil.ignore_patterns("__pycache__"))
    head = max(path.stem for path in directory.glob("*.py"))
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    (directory / "9999_next.py").write_text(REVISION.format(head=head, extra=extra, body=indented))
    return Copy(**{**vars(service), "directory": directory}), head


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_the_histories_of_the_services_are_safe_and_every_revision_is_looked_at(name: str) -> None:
    service = SERVICES[name]
    texts = sql_of(service, None)
    assert list(texts) == sorted(path.stem for path in service.versions_dir.glob("*.py"))
    assert all("alembic_version" in text for text in texts.values())
    assert lint(service, None) == []
    assert sql_of(service, list(texts)[-1]) == {}


UNSAFE = {
    'op.create_index("ix_tasks_x", "tasks", ["title"])': "require-concurrent-index-creation",
    'op.drop_column("tasks", "title")': "ban-drop-column",
    'op.add_column("tasks", sa.Column("x", sa.Text, nullable=False))': "adding-required-field",
    'op.alter_column("tasks", "title", new_column_name="name")': "renaming-column",
    'op.rename_table("tasks", "todos")': "renaming-table",
    'op.alter_column("tasks", "title", type_=sa.String(10))': "changing-column-type",
    'op.alter_column("tasks", "description", nullable=False)': "adding-not-nullable-field",
    'op.create_foreign_key("fk_x", "tasks", "user", ["user_id"], ["id"])': "adding-foreign-key-constraint",
    'op.create_check_constraint("ck_x", "tasks", "length(title) < 9")': "constraint-missing-not-valid",
    'op.drop_table("tasks")': "ban-drop-table",
}


@pytest.mark.parametrize("judge", [squawk, by_pattern], ids=["squawk", "without squawk"])
@pytest.mark.parametrize(("body", "rule"), UNSAFE.items(), ids=UNSAFE.values())
def test_what_stops_a_running_version_is_found(body: str, rule: str, judge: Judge, tmp_path: Path) -> None:
    found = findings_of(tmp_path / "versions", body, judge=judge)
    assert rule in {one.rule for one in found}
    assert {one.revision for one in found} == {"9999_next"}
    assert all(one.line for one in found)


def test_what_the_guide_shows_as_safe_is_safe(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(examples) >= 5
    for number, example in enumerate(examples):
        extra, _, body = example.rpartition("# upgrade\n")
        assert findings_of(tmp_path / str(number), body, extra) == [], example


@pytest.mark.parametrize("installed", [True, False], ids=["squawk", "without squawk"])
def test_the_doctor_warns_of_what_is_pending(installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not installed:
        monkeypatch.setattr("tandem.ops.doctor.migrations.squawk_program", lambda: None)
    (warned,) = check_pending(*next_revision(tmp_path / "drop", 'op.drop_column("tasks", "title")'))
    assert (warned.check, warned.status) == ("migrations.safe", Status.WARNING)
    assert "ALTER TABLE tasks DROP COLUMN title" in warned.seen
    assert "ban-drop-column" in warned.seen
    assert warned.fix
    (fine,) = check_pending(*next_revision(tmp_path / "add", 'op.add_column("tasks", sa.Column("x", sa.Text))'))
    assert fine.status is Status.OK


def test_a_revision_may_say_that_it_may(tmp_path: Path) -> None:
    drop = 'op.drop_column("tasks", "title")'
    allowed = 'lint_ignore = {"ban-drop-column": "no version has read it since 0.2"}'
    assert findings_of(tmp_path / "squawk", drop, allowed) == []
    assert findings_of(tmp_path / "without", drop, allowed, by_pattern) == []


def test_the_command_lints_what_is_pending(database_url: str, tmp_path: Path) -> None:
    done = tandem("migrate", "momentum", "--lint", cwd=tmp_path, DATABASE_URL=database_url)
    assert (done.returncode, "0 unsafe statements pending" in done.stderr) == (0, True), done.stderr
    every = tandem("migrate", "market-ai", "--lint", "--all", cwd=tmp_path)
    assert (every.returncode, "0 unsafe statements in its history" in every.stderr) == (0, True), every.stderr

"""Migrations that would stop a running version: squawk (https://squawkhq.com) over the SQL of each revision.

docs/migrations.md says how to do the same safely, and how a revision says that it may (`lint_ignore`).
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from tandem.core.operator_error import OperatorError
from tandem.ops.migrate import alembic_config
from tandem.ops.services import Service

PG_VERSION = "16.0"  # the oldest that is supported
NOT_OURS = (
    "require-lock-timeout",  # `tandem migrate` sets both for every revision
    "require-statement-timeout",
    "prefer-bigint-over-int",  # taste, of columns that count to a hundred
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-text-field",
)


class LintError(OperatorError):
    """The migrations could not be linted."""


@dataclass(frozen=True)
class Finding:
    revision: str
    rule: str
    line: str  # of the SQL, where the statement begins
    message: str
    remedy: str

    def __str__(self) -> str:
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return f"{self.revision}: {self.message} [{self.rule}]\n    {self.line}{remedy}"


Judge = Callable[[dict[str, str]], list[Finding]]
"""What is wrong with the SQL of each revision, by squawk's names of the rules."""


def lint(service: Service, current: str | None, judge: Judge | None = None) -> list[Finding]:
    """What is wrong with the revisions after `current`; None is all of them. Raises LintError without squawk."""
    texts = sql_of(service, current)
    script = ScriptDirectory.from_config(alembic_config(service.versions_dir))
    allowed = {name: getattr(script.get_revision(name).module, "lint_ignore", {}) for name in texts}
    return [one for one in (judge or squawk)(texts) if one.rule not in allowed[one.revision]] if texts else []


def sql_of(service: Service, current: str | None) -> dict[str, str]:
    """The SQL of each revision after `current`, the next first. Needs no database."""
    config = alembic_config(service.versions_dir)
    config.set_main_option("service", service.name)
    script = ScriptDirectory.from_config(config)
    revisions = [one.revision for one in script.iterate_revisions("head", current or "base")][::-1]
    texts: dict[str, str] = {}
    for before, revision in zip([current or "base", *revisions], revisions, strict=False):
        config.output_buffer = StringIO()
        command.upgrade(config, f"{before}:{revision}", sql=True)
        texts[revision] = config.output_buffer.getvalue()
    return texts


def squawk_program() -> str | None:
    return shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")


def squawk(texts: dict[str, str]) -> list[Finding]:
    """Raises LintError."""
    program = squawk_program()
    if program is None:
        raise LintError("squawk is not installed: it comes with the development tools (`make lint`, or squawk-cli)")
    options = ["--reporter", "json", "--pg-version", PG_VERSION, "--exclude", ",".join(NOT_OURS)]
    with tempfile.TemporaryDirectory() as directory:
        paths = {f"{revision}.sql": revision for revision in texts}
        for name, revision in paths.items():
            Path(directory, name).write_text(texts[revision])
        done = subprocess.run(  # noqa: S603 - the program that is installed beside us
            [program, *options, *paths], cwd=directory, capture_output=True, text=True, check=False
        )
    if done.returncode not in {0, 1}:
        raise LintError(f"squawk failed: {done.stderr.strip() or done.stdout.strip()}")
    return [_finding(one, texts[paths[one["file"]]], paths[one["file"]]) for one in json.loads(done.stdout or "[]")]


def _finding(one: dict[str, str | int], text: str, revision: str) -> Finding:
    lines = text.splitlines()
    number = int(one["line"])
    shown = lines[number].strip() if number < len(lines) else ""
    return Finding(revision, str(one["rule_name"]), shown, str(one["message"]), str(one.get("help") or ""))

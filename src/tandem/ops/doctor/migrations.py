"""Whether the SQL that is still to run can run while requests are served: what squawk says, where it is installed.

An image has no squawk (24 MB). There a few patterns find the usual faults, under squawk's names, so that a revision's
`lint_ignore` counts for both; a test holds them to what squawk says.
"""

import re
from collections.abc import Iterator

from tandem.ops.doctor.database import SAFE
from tandem.ops.doctor.result import Result
from tandem.ops.migration_lint import Finding, Judge, LintError, lint, squawk, squawk_program
from tandem.ops.services import Service

_GONE = "takes away what the running version still uses"
_LATER = "expand, deploy, and contract with the next deploy"
_ALTER = r"ALTER TABLE (?:ONLY )?(?P<table>\S+) "
# Each holds a lock that stops reads or writes while it works through the table, or breaks the code that still runs.
_UNSAFE = (
    ("require-concurrent-index-creation", r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)\S+ ON (?:ONLY )?(?P<table>\S+)",
     "builds an index under a lock", "op.create_index(…, postgresql_concurrently=True) in an autocommit_block()"),
    ("adding-required-field", _ALTER + r"ADD COLUMN \S+ (?![^;]*DEFAULT)[^;]*NOT NULL",
     "adds a NOT NULL column", "add it nullable or with a server default; fill it, then set NOT NULL"),
    ("changing-column-type", _ALTER + r"ALTER COLUMN \S+ (?:SET DATA )?TYPE",
     "rewrites the table for another type", "add a new column, copy in batches, switch over"),
    ("adding-not-nullable-field", _ALTER + r"ALTER COLUMN \S+ SET NOT NULL",
     "reads the whole table under a lock", "a CHECK (… IS NOT NULL) NOT VALID first, VALIDATE it, then SET NOT NULL"),
    ("adding-foreign-key-constraint", _ALTER + r"ADD CONSTRAINT \S+ FOREIGN KEY(?![^;]*NOT VALID)",
     "reads every row under a lock", "NOT VALID first, VALIDATE CONSTRAINT in a migration of its own"),
    ("constraint-missing-not-valid", _ALTER + r"ADD CONSTRAINT \S+ CHECK(?![^;]*NOT VALID)",
     "reads every row under a lock", "NOT VALID first, VALIDATE CONSTRAINT in a migration of its own"),
    ("ban-drop-column", _ALTER + "DROP COLUMN", _GONE, _LATER),
    ("renaming-column", _ALTER + r"RENAME (?!TO |CONSTRAINT )", _GONE, _LATER),
    ("renaming-table", _ALTER + "RENAME TO ", _GONE, _LATER),
    ("ban-drop-table", r"DROP TABLE (?:IF EXISTS )?(?P<table>\S+)", _GONE, _LATER),
)  # fmt: skip


def check_pending(service: Service, current: str | None) -> Iterator[Result]:
    """Of the migrations from `current` on; an empty database has nobody to disturb."""
    if current is None:
        yield SAFE.ok("the database is empty: nothing is disturbed")
        return
    if current not in known_revisions(service):
        yield SAFE.skipped(f"a revision that this version knows, which {current} is not")
        return
    judge: Judge = squawk if squawk_program() else by_pattern
    try:
        findings = lint(service, current, judge)
    except LintError as error:
        yield SAFE.skipped(f"squawk, which failed: {error}")
        return
    for one in findings:
        yield SAFE.warning(f"{one.revision}: {one.message} (`{one.line[:80]}`, {one.rule})", one.remedy or _LATER)
    if not findings:
        yield SAFE.ok("nothing that is pending holds a lock for long")


def known_revisions(service: Service) -> set[str]:
    from alembic.script import ScriptDirectory

    from tandem.ops.migrate import alembic_config

    script = ScriptDirectory.from_config(alembic_config(service.versions_dir))
    return {revision.revision for revision in script.walk_revisions()}


def by_pattern(texts: dict[str, str]) -> list[Finding]:
    """What can be told of the SQL without squawk."""
    return [finding for revision, text in texts.items() for finding in _unsafe(revision, text)]


def _unsafe(revision: str, sql: str) -> Iterator[Finding]:
    flat = re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", sql))
    new = {name.strip('"') for name in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?([^\s(]+)", flat, re.IGNORECASE)}
    for rule, pattern, what, fix in _UNSAFE:
        for found in re.finditer(pattern, flat, re.IGNORECASE):
            table = found["table"].strip('";(')
            if table not in new:
                statement = flat[found.start() :].partition(";")[0].strip()
                yield Finding(revision, rule, statement, f"{table}: {what}", fix)

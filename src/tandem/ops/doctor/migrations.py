"""Whether the SQL that is still to run can run while requests are served."""

import io
import re
from collections.abc import Iterator

from tandem.ops.doctor.database import SAFE
from tandem.ops.doctor.result import Result
from tandem.ops.services import Service

# Each holds a lock that stops reads or writes while it works through the table, or breaks the code that still runs.
_UNSAFE = (
    (r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)\S+ ON (?:ONLY )?(?P<table>\S+)", "builds an index under a lock",
     "op.create_index(…, postgresql_concurrently=True) in an autocommit_block()"),
    (r"ALTER TABLE (?:ONLY )?(?P<table>\S+) ADD COLUMN \S+ (?![^;]*DEFAULT)[^;]*NOT NULL", "adds a NOT NULL column",
     "add it nullable or with a server default; fill it, then set NOT NULL"),
    (r"ALTER TABLE (?:ONLY )?(?P<table>\S+) ALTER COLUMN \S+ (?:SET DATA )?TYPE", "rewrites the table for another type",
     "add a new column, copy in batches, switch over"),
    (r"ALTER TABLE (?:ONLY )?(?P<table>\S+) ALTER COLUMN \S+ SET NOT NULL", "reads the whole table under a lock",
     "a CHECK (… IS NOT NULL) NOT VALID first, VALIDATE it, then SET NOT NULL"),
    (r"ALTER TABLE (?:ONLY )?(?P<table>\S+) ADD CONSTRAINT \S+ (?:FOREIGN KEY|CHECK)(?![^;]*NOT VALID)",
     "reads every row under a lock",
     "NOT VALID first, VALIDATE CONSTRAINT in a migration of its own"),
    (r"ALTER TABLE (?:ONLY )?(?P<table>\S+) (?:DROP COLUMN|RENAME)", "takes away what the running version still uses",
     "expand, deploy, and contract with the next deploy"),
    (r"DROP TABLE (?:IF EXISTS )?(?P<table>\S+)", "takes away what the running version still uses",
     "stop using it, deploy, and drop it with the next deploy"),
)  # fmt: skip


def check_pending(service: Service, current: str | None) -> Iterator[Result]:
    """Of the migrations from `current` on; an empty database has nobody to disturb."""
    if current is None:
        yield SAFE.ok("the database is empty: nothing is disturbed")
        return
    if current not in known_revisions(service):
        yield SAFE.skipped(f"a revision that this version knows, which {current} is not")
        return
    sql = pending_sql(service, current)
    faults = list(unsafe(sql))
    for seen, fix in faults:
        yield SAFE.warning(seen, fix)
    if not faults:
        yield SAFE.ok("nothing that is pending holds a lock for long" if sql else "nothing is pending")


def known_revisions(service: Service) -> set[str]:
    from alembic.script import ScriptDirectory

    from tandem.ops.migrate import alembic_config

    script = ScriptDirectory.from_config(alembic_config(service.versions_dir))
    return {revision.revision for revision in script.walk_revisions()}


def pending_sql(service: Service, current: str) -> str:
    """What `tandem migrate` would run; empty when the database is at head."""
    from alembic import command

    from tandem.core.revisions import expected_heads
    from tandem.ops.migrate import alembic_config

    if expected_heads(service.versions_dir.parent.name) == {current}:
        return ""
    config = alembic_config(service.versions_dir)
    config.set_main_option("service", service.name)
    config.output_buffer = buffer = io.StringIO()
    command.upgrade(config, f"{current}:head", sql=True)
    return buffer.getvalue()


def unsafe(sql: str) -> Iterator[tuple[str, str]]:
    flat = re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", sql))
    new = {name.strip('"') for name in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?([^\s(]+)", flat, re.IGNORECASE)}
    for pattern, what, fix in _UNSAFE:
        for found in re.finditer(pattern, flat, re.IGNORECASE):
            table = found["table"].strip('";(')
            if table not in new:
                yield f"{table}: {what} (`{found[0][:80].strip()}`)", fix

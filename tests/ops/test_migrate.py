"""Migrations under the conditions of a deployment: many instances, busy tables, a database that is still starting."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import MetaData

from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url
from tandem.ops.migrate import LOCK_KEY, MigrationError, migrate, status
from tandem.ops.services import Service
from tests.databases import cluster_parent

_numbers = count(1)

MIGRATION = '''"""{name}"""
import time

from alembic import op

revision, down_revision, branch_labels, depends_on = {name!r}, {after!r}, None, None


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''

CONCURRENTLY = """    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("DROP INDEX IF EXISTS ix_things_note")
        op.execute("CREATE INDEX CONCURRENTLY ix_things_note ON things (note)")"""


@dataclass(frozen=True)
class SmallService(Service):
    """A service whose migrations are written by the test."""

    directory: Path = Path()

    @property
    def versions_dir(self) -> Path:
        return self.directory

    @property
    def metadata(self) -> MetaData:
        return MetaData()

    def add(self, name: str, upgrade: str, downgrade: str = "    pass", after: str | None = None) -> None:
        text = MIGRATION.format(name=name, after=after, upgrade=upgrade, downgrade=downgrade)
        (self.directory / f"{name}.py").write_text(text)


def small_service(directory: Path) -> SmallService:
    return SmallService("small", "Small", "", "", "", "SMALL_PORT", 1, directory=directory)


@pytest.fixture
def service(tmp_path: Path) -> SmallService:
    made = small_service(tmp_path)
    made.add(
        "0001",
        '    op.execute("CREATE TABLE things (id int PRIMARY KEY, note text)")\n'
        '    op.execute("CREATE TABLE runs (at timestamptz DEFAULT clock_timestamp())")\n'
        '    op.execute("INSERT INTO runs DEFAULT VALUES")\n    time.sleep(0.3)',
        '    op.execute("DROP TABLE things, runs")',
    )
    made.add("0002", CONCURRENTLY, '    op.execute("DROP INDEX ix_things_note")', after="0001")
    return made


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database in which no migration ran."""
    name = f"empty_{os.getpid()}_{next(_numbers)}"
    postgres.create_database(name)
    yield postgres.url(name)
    execute(postgres.url("postgres"), f'DROP DATABASE "{name}" WITH (FORCE)')


def execute(url: str, statement: str) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


MIGRATE_IN_A_PROCESS = """
import sys
from pathlib import Path
from tandem.ops.migrate import migrate
from tests.ops.test_migrate import small_service
migrate(small_service(Path(sys.argv[1])), sys.argv[2], on_progress=lambda text: print(text, flush=True))
"""


def migrating_process(service: SmallService, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MIGRATE_IN_A_PROCESS, str(service.directory), url]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_ten_instances_at_once_all_succeed_and_one_of_them_migrates(service: SmallService, empty_url: str) -> None:
    processes = [migrating_process(service, empty_url) for _ in range(10)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 10, outputs
    assert len(execute(empty_url, "SELECT * FROM runs")) == 1
    assert sum("applied 0001" in output for output in outputs) == 1
    assert sum("applied 0002" in output for output in outputs) == 1
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_things_note'::regclass"
    assert [tuple(row) for row in execute(empty_url, valid)] == [(True,)]


def test_a_table_in_use_is_tried_again_and_nothing_queues_behind_it_for_long(
    service: SmallService, empty_url: str
) -> None:
    migrate(service, empty_url)
    service.add("0003", '    op.execute("ALTER TABLE things ADD COLUMN done boolean")', after="0002")
    said: list[str] = []
    holding = threading.Event()
    holder = threading.Thread(target=hold_table, args=(empty_url, 3.0, holding))
    holder.start()
    holding.wait()
    begin = time.monotonic()
    done = migrate(service, empty_url, on_progress=said.append)
    holder.join()
    assert done.pending == ()
    assert time.monotonic() - begin >= 2
    assert any("a table is in use" in text for text in said)


def hold_table(url: str, seconds: float, holding: threading.Event) -> None:
    async def hold() -> None:
        connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
        async with connection.transaction():
            await connection.execute("LOCK TABLE things IN SHARE MODE")
            holding.set()
            await asyncio.sleep(seconds)
        await connection.close()

    asyncio.run(hold())


def test_an_instance_killed_in_the_middle_leaves_no_lock_and_no_half_migration(
    service: SmallService, empty_url: str
) -> None:
    slow = '    op.execute("CREATE TABLE halfway (id int)")\n    print("halfway", flush=True)\n    time.sleep(60)'
    service.add("0003", slow, after="0002")
    victim = migrating_process(service, empty_url)
    assert victim.stdout is not None
    for line in victim.stdout:
        if "halfway" in line:
            break
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    service.add("0003", '    op.execute("CREATE TABLE halfway (id int)")', after="0002")
    assert migrate(service, empty_url, turn_deadline=10).pending == ()


def test_an_instance_does_not_wait_forever_for_its_turn(service: SmallService, empty_url: str) -> None:
    async def blocked() -> str:
        connection = await asyncpg.connect(**parse_database_url(empty_url).asyncpg_args)
        await connection.fetchval("SELECT pg_advisory_lock($1)", LOCK_KEY)
        try:
            with pytest.raises(MigrationError) as caught:
                await asyncio.to_thread(migrate, service, empty_url, turn_deadline=0.5)
        finally:
            await connection.close()
        return str(caught.value)

    assert "another instance has been migrating" in asyncio.run(blocked())


def test_a_pooler_is_refused_with_the_remedy(service: SmallService) -> None:
    with pytest.raises(MigrationError, match="DIRECT_DATABASE_URL"):
        migrate(service, "postgresql://u:p@ep-cool-1-pooler.eu.aws.neon.tech/db")


def test_the_direct_address_is_preferred(service: SmallService, empty_url: str) -> None:
    done = migrate(service, "postgresql://u:p@ep-cool-1-pooler.eu.aws.neon.tech/db", direct_url=empty_url)
    assert done.current == "0002"


def test_a_database_that_is_still_starting_is_waited_for(
    service: SmallService,
) -> None:
    directory = cluster_parent()
    late = EmbeddedPostgres(directory / "postgres", durable=False)
    late.start()
    late.create_database("late")
    url = late.url("late")
    late.stop()
    starter = threading.Timer(1.0, late.start)
    starter.start()
    try:
        assert migrate(service, url).pending == ()
    finally:
        starter.join()
        late.destroy()
        directory.rmdir()


def test_a_database_that_never_starts_is_given_up_on(service: SmallService) -> None:
    with pytest.raises(MigrationError, match="no answer from the database in 1 s"):
        migrate(service, "postgresql://u:p@127.0.0.1:9/db", start_deadline=1)


def test_down_and_up_again_by_revision(service: SmallService, empty_url: str) -> None:
    assert status(service, empty_url).pending == ("0001", "0002")
    assert migrate(service, empty_url).current == "0002"
    assert migrate(service, empty_url, target="0001").current == "0001"
    assert migrate(service, empty_url, target="+1").current == "0002"
    assert migrate(service, empty_url, target="-1").pending == ("0002",)
    assert migrate(service, empty_url, target="base").current is None


def test_a_database_newer_than_the_code_is_said_to_be_so(service: SmallService, empty_url: str) -> None:
    migrate(service, empty_url)
    (service.directory / "0002.py").unlink()
    with pytest.raises(MigrationError, match="does not know"):
        migrate(service, empty_url)


def test_two_heads_are_refused(service: SmallService, empty_url: str) -> None:
    service.add("0002b", "    pass", after="0001")
    with pytest.raises(MigrationError, match="2 migration heads"):
        migrate(service, empty_url)

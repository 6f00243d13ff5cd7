"""Backups of a real database: taken, restored, exchanged, damaged and refused."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem.core.postgres import EmbeddedPostgres
from tandem.ops.backup import programs
from tandem.ops.backup.catalog import last_backup
from tandem.ops.backup.destination import Destination
from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.restore import Source, verify
from tests.ops.backing_up import (
    KEY,
    Meter,
    back_up,
    bring_back,
    connected,
    databases,
    drop,
    folder,
    furnish,
)
from tests.ops.test_cli import tandem
from tests.s3_server import BUCKET, S3Server
from tests.servers import clean_environment


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


def files_in(path: Path) -> list[Path]:
    return [one for one in path.rglob("*") if one.is_file()]


async def oddities(url: str, database: str) -> list[str]:
    async with connected(url, database) as connection:
        return [row[0] for row in await connection.fetch("SELECT o::text FROM oddities o ORDER BY 1")]


# ---- there and back


@pytest.mark.parametrize("key", [KEY, None], ids=["sealed", "plain"])
async def test_a_backup_comes_back_as_it_was(tmp_path: Path, database_url: str, key: object) -> None:
    await furnish(database_url)
    store = folder(tmp_path)
    manifest = await back_up(database_url, store, key=key)  # type: ignore[arg-type]
    assert manifest.tables["public.oddities"].rows == 4
    assert manifest.tables["Another one.empty"].rows == 0
    assert manifest.revision
    restored = await bring_back(manifest, store, database_url, key=key)  # type: ignore[arg-type]
    try:
        name = database_url.partition("?")[0].rpartition("/")[2]
        assert await oddities(database_url, restored.database) == await oddities(database_url, name)
        async with connected(database_url, restored.database) as connection:
            assert await connection.fetchval("SELECT version_num FROM alembic_version") == manifest.revision
    finally:
        await drop(database_url, [restored.database])


async def test_nobody_but_the_owner_reads_a_backup_and_a_sealed_one_not_even_they(
    tmp_path: Path, database_url: str
) -> None:
    async with connected(database_url) as connection:
        await connection.execute("CREATE TABLE notes AS SELECT 'a very telling note' AS note")
    manifest = await back_up(database_url, folder(tmp_path))
    files = files_in(tmp_path)
    assert len(files) == 2
    assert [path for path in files if path.stat().st_mode & 0o077] == []
    assert b"CREATE TABLE" not in (tmp_path / manifest.archive.path).read_bytes()
    assert manifest.archive.path.endswith(".sealed")


async def test_verifying_leaves_no_database_behind_and_the_source_alone(tmp_path: Path, database_url: str) -> None:
    store = folder(tmp_path)
    manifest, before = await back_up(database_url, store), await databases(database_url)
    async with connected(database_url) as connection:
        await connection.execute('DELETE FROM "alembic_version"')
    meter = Meter()
    await verify(Source(manifest, store, KEY), database_url, meter)
    assert await databases(database_url) - before == set()
    assert meter.bytes == manifest.archive.size
    assert meter.tables == (len(manifest.tables), len(manifest.tables))
    assert "comparing" in meter.steps


async def test_rows_that_are_not_what_was_backed_up_are_found(tmp_path: Path, database_url: str) -> None:
    """The manifest's own record is what counts: here it remembers another sum than the archive holds."""
    await furnish(database_url)
    store = folder(tmp_path)
    manifest = await back_up(database_url, store, key=None)
    before = await databases(database_url)
    table = manifest.tables["public.oddities"].model_copy(update={"checksum": "1"})
    forged = manifest.model_copy(update={"tables": manifest.tables | {"public.oddities": table}})
    with pytest.raises(BackupError, match=r"public\.oddities has the 4 rows it should have, but not the same"):
        await verify(Source(forged, store, None), database_url, Meter())
    assert await databases(database_url) == before


# ---- where to


async def test_a_database_with_something_in_it_is_refused_and_stays(tmp_path: Path, database_url: str) -> None:
    store, name = folder(tmp_path), database_url.partition("?")[0].rpartition("/")[2]
    manifest = await back_up(database_url, store)
    await furnish(database_url)
    with pytest.raises(BackupError, match="not empty"):
        await bring_back(manifest, store, database_url, name)
    assert len(await oddities(database_url, name)) == 4


async def test_replacing_keeps_what_was_there_under_another_name(tmp_path: Path, database_url: str) -> None:
    store, name = folder(tmp_path), database_url.partition("?")[0].rpartition("/")[2]
    manifest = await back_up(database_url, store)
    await furnish(database_url)
    async with connected(database_url) as client:  # somebody who is in it all the time
        restored = await bring_back(manifest, store, database_url, name, replace=True)
        assert client.is_closed() or await _is_cut_off(client)
    assert restored.database == name
    assert restored.replaced is not None
    try:
        assert len(await oddities(database_url, restored.replaced)) == 4
        async with connected(database_url) as connection:
            assert await connection.fetchval("SELECT to_regclass('oddities')") is None
            assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    finally:
        await drop(database_url, [restored.replaced])


async def _is_cut_off(client: object) -> bool:
    try:
        await client.fetchval("SELECT 1")  # type: ignore[attr-defined]
    except Exception:
        return True
    return False


async def test_an_empty_database_is_filled(tmp_path: Path, database_url: str, postgres: EmbeddedPostgres) -> None:
    store = folder(tmp_path)
    manifest = await back_up(database_url, store)
    postgres.create_database("prepared")
    try:
        assert (await bring_back(manifest, store, database_url, "prepared")).database == "prepared"
        with pytest.raises(BackupError, match="not empty"):
            await bring_back(manifest, store, database_url, "prepared")
    finally:
        await drop(database_url, ["prepared"])


async def test_a_name_that_is_none_is_refused(tmp_path: Path, database_url: str) -> None:
    store = folder(tmp_path)
    manifest = await back_up(database_url, store)
    with pytest.raises(BackupError, match="no name for a database"):
        await bring_back(manifest, store, database_url, 'x"; DROP DATABASE postgres; --')


# ---- what goes wrong


@pytest.mark.parametrize("key", [KEY, None], ids=["sealed", "plain"])
async def test_a_damaged_archive_is_refused_and_nothing_stays(tmp_path: Path, database_url: str, key: object) -> None:
    store = folder(tmp_path)
    manifest = await back_up(database_url, store, key=key)  # type: ignore[arg-type]
    before, archive = await databases(database_url), tmp_path / manifest.archive.path
    whole = archive.read_bytes()
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:-5] + b"12345", whole + b"x"):
        archive.write_bytes(content)
        with pytest.raises(BackupError, match=r"damaged|pg_restore failed"):
            await bring_back(manifest, store, database_url, "never", key=key)  # type: ignore[arg-type]
    archive.unlink()
    with pytest.raises(BackupError, match="there is no"):
        await bring_back(manifest, store, database_url, "never", key=key)  # type: ignore[arg-type]
    assert await databases(database_url) == before


async def test_a_dump_that_fails_leaves_no_backup(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that somebody holds, for longer than pg_dump waits for it."""
    monkeypatch.setattr("tandem.ops.backup.create.LOCK_WAIT", "100")
    async with connected(database_url) as holder, holder.transaction():
        await holder.execute('LOCK TABLE "user" IN ACCESS EXCLUSIVE MODE')
        with pytest.raises(BackupError, match="pg_dump failed"):
            await back_up(database_url, folder(tmp_path))
    assert files_in(tmp_path) == []
    assert last_backup(str(tmp_path)) is None


async def test_a_table_that_cannot_be_read_is_an_error_in_words(
    tmp_path: Path, database_url: str, postgres: EmbeddedPostgres
) -> None:
    async with connected(database_url) as connection:
        await connection.execute("CREATE ROLE clerk LOGIN; GRANT SELECT ON alembic_version TO clerk")
    try:
        with pytest.raises(BackupError, match=r"permission denied|pg_dump failed"):
            await back_up(database_url.replace("tandem@", "clerk@", 1), folder(tmp_path))
        assert files_in(tmp_path) == []
    finally:
        async with connected(database_url) as connection:
            await connection.execute("DROP OWNED BY clerk; DROP ROLE clerk")


async def test_an_empty_database_is_not_backed_up(
    tmp_path: Path, database_url: str, postgres: EmbeddedPostgres
) -> None:
    postgres.create_database("nothing_in_it")
    try:
        with pytest.raises(BackupError, match="empty"):
            await back_up(postgres.url("nothing_in_it"), folder(tmp_path))
    finally:
        await drop(database_url, ["nothing_in_it"])


async def test_a_pooler_in_transaction_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="DIRECT_DATABASE_URL"):
        await back_up("postgresql://u:p@ep-x-pooler.neon.tech/db", folder(tmp_path))


def test_a_program_that_is_too_old_is_refused_with_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for directory, version in ((old, "15.3 (Debian 15.3-1)"), (new, "18.1")):
        directory.mkdir()
        (directory / "pg_dump").write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")
        (directory / "pg_dump").chmod(0o755)
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    monkeypatch.setattr(programs, "SYSTEM_DIRS", tmp_path / "none")
    monkeypatch.setenv("PATH", f"{old}:{new}")
    assert programs.find_program("pg_dump", 15) == (old / "pg_dump", "15.3")
    assert programs.find_program("pg_dump", 16) == (new / "pg_dump", "18.1")
    with pytest.raises(BackupError, match=r"Postgres 19 and needs a pg_dump of version 19 or newer .*15\.3.*18\.1"):
        programs.find_program("pg_dump", 19)


def test_the_password_and_tls_reach_libpq_by_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "somebody else's")
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    found = programs.libpq_environment(
        "'postgresql+asyncpg://me:p%40ss@db.test:6543/shop?sslmode=require&channel_binding=require&connect_timeout=3'"
    )
    assert {name: value for name, value in found.items() if name.startswith("PG")} == {
        "PGHOST": "db.test", "PGPORT": "6543", "PGUSER": "me", "PGPASSWORD": "p@ss", "PGDATABASE": "shop",
        "PGSSLMODE": "require", "PGCHANNELBINDING": "require", "PGAPPNAME": "tandem-backup", "PGCONNECT_TIMEOUT": "15",
    }  # fmt: skip


# ---- S3


async def test_backups_live_in_a_bucket_as_in_a_folder(database_url: str, s3: S3Server) -> None:
    async with connected(database_url) as connection:  # more than one part of an upload, and nothing to compress
        await connection.execute(
            "CREATE TABLE noise AS SELECT n, decode(string_agg(md5(n || '-' || m), ''), 'hex') AS b"
            " FROM generate_series(1, 600) n, generate_series(1, 1000) m GROUP BY n"
        )
    options = {"endpoint": s3.url, "region": "eu-central-1"}
    keys = {
        "access_key_id": s3.environment["AWS_ACCESS_KEY_ID"],
        "secret_access_key": s3.environment["AWS_SECRET_ACCESS_KEY"],
    }
    destination = Destination(f"s3://{BUCKET}/nightly/", options | keys)
    store = destination.open()
    manifest = await back_up(database_url, store)
    assert set(s3.objects) == {f"nightly/{manifest.archive.path}", f"nightly/momentum/{manifest.id}.manifest.json"}
    assert manifest.archive.size > 8_000_000
    assert [path for method, path in s3.requests if method == "PUT" and "partNumber=2" in path]
    assert last_backup(destination) == manifest.started_at
    await verify(Source(manifest, store, KEY), database_url, Meter())
    second, third = await back_up(database_url, store), await back_up(database_url, store)
    assert len(store.listing("momentum")) == 6  # three pages
    store.delete(second.archive.path, third.archive.path)
    assert len(store.listing("momentum")) == 4


async def test_a_bucket_that_refuses_is_named_and_keeps_nothing(database_url: str, s3: S3Server) -> None:
    right = {"endpoint": s3.url, "region": "eu-central-1", "access_key_id": "AKIALOOPBACK"}
    with pytest.raises(BackupError, match=r"s3://backups"):
        await back_up(database_url, Destination("s3://backups", right | {"secret_access_key": "wrong"}).open())
    s3.broken = True
    secret = {"secret_access_key": s3.environment["AWS_SECRET_ACCESS_KEY"]}
    with pytest.raises(BackupError, match=r"s3://backups"):
        await back_up(database_url, Destination("s3://backups", right | secret).open())
    assert (s3.objects, s3.parts) == ({}, {})


# ---- the command


def test_the_command_backs_up_lists_proves_and_restores(tmp_path: Path, database_url: str, s3: S3Server) -> None:
    where = {"DATABASE_URL": database_url, "BACKUP_KEY": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", **s3.environment}
    environment = where | {"BACKUP_DESTINATION": f"s3://{BUCKET}/x"}
    made = tandem("backup", "momentum", "--json", cwd=tmp_path, **environment)
    assert made.returncode == 0, made.stderr
    manifest = json.loads(made.stdout)
    assert (manifest["service"], manifest["pruned"]) == ("momentum", [])
    second = tandem("backup", "momentum", cwd=tmp_path, **environment | {"BACKUP_KEEP_DAILY": "1"})
    assert second.returncode == 0, second.stderr
    assert f"deleted {manifest['id']}" in second.stderr
    listed = json.loads(tandem("backup", "list", "--json", cwd=tmp_path, **environment).stdout)
    assert [one["service"] for one in listed] == ["momentum"]
    assert listed[0]["id"] in tandem("backup", "list", "momentum", cwd=tmp_path, **environment).stdout
    proven = tandem("backup", "verify", "momentum", listed[0]["id"], "--json", cwd=tmp_path, **environment)
    assert json.loads(proven.stdout)["verified"] is True
    restored = tandem("restore", "momentum", "--json", cwd=tmp_path, **environment)
    assert restored.returncode == 0, restored.stderr
    name = json.loads(restored.stdout)["database"]
    shown = tandem("restore", "momentum", "--into", name, cwd=tmp_path, **environment)
    assert (shown.returncode, "not empty" in shown.stderr) == (1, True)
    other = database_url.replace(database_url.partition("?")[0].rpartition("/")[2], name, 1)
    shown = tandem("restore", "momentum", "--into", other, "--replace", cwd=tmp_path, **environment)
    assert shown.returncode == 0, shown.stderr
    aside = shown.stderr.split("what was there is now ")[1].split(":")[0]
    wrong_key = tandem(
        "backup", "verify", "momentum", cwd=tmp_path, **environment | {"BACKUP_KEY": "9" * 30 + "abcdefgh"}
    )
    assert (wrong_key.returncode, "another BACKUP_KEY" in wrong_key.stderr) == (1, True)
    assert "Traceback" not in wrong_key.stderr
    asyncio.run(drop(database_url, [name, aside]))


async def test_a_backup_that_is_told_to_stop_leaves_nothing(tmp_path: Path, database_url: str) -> None:
    command = [sys.executable, "-m", "tandem", "backup", "momentum", "--to", str(tmp_path)]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with connected(database_url) as holder, holder.transaction():
        await holder.execute('LOCK TABLE "user" IN ACCESS EXCLUSIVE MODE')
        process = await asyncio.create_subprocess_exec(
            *command, env=clean_environment(DATABASE_URL=database_url), cwd=tmp_path, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60), connected(database_url) as watcher:  # what the holder sees stands still
            while not await watcher.fetchval(waiting):
                assert process.returncode is None
        process.terminate()
        said = (await process.communicate())[1]
        assert (process.returncode, b"told to stop" in said) == (1, True)
    assert files_in(tmp_path) == []
    async with connected(database_url) as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tandem-backup' AND datname = current_database()"
        async with asyncio.timeout(30):
            while await connection.fetchval(others):
                pass


def test_what_is_missing_is_said(tmp_path: Path, database_url: str) -> None:
    nowhere = tandem("backup", "momentum", cwd=tmp_path, DATABASE_URL=database_url)
    assert (nowhere.returncode, "BACKUP_DESTINATION is not set" in nowhere.stderr) == (2, True)
    empty = tandem("backup", "list", "--from", str(tmp_path / "none"), cwd=tmp_path)
    assert (empty.returncode, "there is no folder" in empty.stderr) == (1, True)
    strange = tandem("backup", "momentum", "--to", "ftp://host/x", cwd=tmp_path, DATABASE_URL=database_url)
    assert (strange.returncode, "neither a folder nor s3://" in strange.stderr) == (1, True)
    gone = tandem(
        "backup", "momentum", "--to", str(tmp_path), cwd=tmp_path, DATABASE_URL="postgresql://me:x@127.0.0.1:1/x"
    )
    assert (gone.returncode, "could not connect" in gone.stderr) == (1, True)
    assert list(tmp_path.rglob("*.dump*")) == []

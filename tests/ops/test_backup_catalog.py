"""Which backups stay, and what is found at a destination."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tandem.ops.backup.catalog import Keep, find, kept, last_backup, manifests, prune
from tandem.ops.backup.destination import Store
from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.manifest import Archive, Locale, Manifest, TableState, differences, new_id
from tests.ops.backing_up import KEY, OTHER_KEY, folder
from tests.ops.test_cli import tandem

NOW = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)  # a Thursday


def days(*ago: int) -> list[tuple[str, datetime]]:
    return [(str(number), NOW - timedelta(days=number)) for number in ago]


def written(store: Store, at: datetime, *, service: str = "momentum", sealed: bool = True) -> Manifest:
    """A backup of nothing."""
    backup_id = new_id(at)
    archive = Archive(path=f"{service}/{backup_id}.dump", size=3, sha256="x", key_id=KEY.id if sealed else None)
    manifest = Manifest(
        format=1, id=backup_id, service=service, revision="0003_jobs", version="0.1.0", started_at=at, finished_at=at,
        server_version="18.0", dump_version="18.0", locale=Locale(encoding="UTF8", collate="C", ctype="C"),
        archive=archive, tables={"public.tasks": TableState(rows=2, checksum="7")},
    ).sealed_with(KEY if sealed else None)  # fmt: skip
    store.write(archive.path, b"abc")
    store.write(f"{service}/{backup_id}.manifest.json", manifest.model_dump_json().encode())
    return manifest


# ---- retention


def test_the_last_of_each_day_week_and_month_stays() -> None:
    daily = days(*range(400))
    staying = [f"{NOW - timedelta(days=int(one)):%m-%d}" for one in kept(daily, Keep(daily=7, weekly=4, monthly=12))]
    assert staying[:7] == ["11-26", "11-25", "11-24", "11-23", "11-22", "11-21", "11-20"]
    assert staying[7:9] == ["11-15", "11-08"]  # the Sundays before: of this week and the last one others stay anyway
    months = ["10-31", "09-30", "08-31", "07-31", "06-30", "05-31", "04-30", "03-31", "02-28", "01-31", "12-31"]
    assert staying[9:] == months


def test_the_latest_of_a_day_is_the_one_that_stays() -> None:
    three = [("morning", NOW), ("noon", NOW + timedelta(hours=6)), ("night", NOW + timedelta(hours=12))]
    assert kept(three, Keep(1, 0, 0)) == ["night"]


def test_the_latest_stays_whatever_the_rules_say() -> None:
    assert kept(days(3, 1, 2), Keep(0, 0, 0)) == ["1"]
    assert kept([], Keep(7, 4, 12)) == []


def test_days_without_a_backup_do_not_count() -> None:
    assert kept(days(0, 30, 60), Keep(3, 0, 0)) == ["0", "30", "60"]


def test_pruning_deletes_archives_with_their_manifests_and_what_never_was_complete(tmp_path: Path) -> None:
    store = folder(tmp_path)
    old, new = written(store, NOW - timedelta(days=1)), written(store, NOW)
    other = written(store, NOW - timedelta(days=9), service="market-ai")
    store.write("momentum/20261101T000000000000Z-aaaa.dump", b"interrupted")
    store.write("momentum/20261126T055900000000Z-bbbb.dump", b"being written")
    past = (NOW - timedelta(days=5)).timestamp()
    os.utime(tmp_path / "momentum/20261101T000000000000Z-aaaa.dump", (past, past))
    gone = prune(store, "momentum", Keep(1, 0, 0), now=datetime.now(UTC))
    assert gone == [old.id]
    left = {one.path for one in store.listing("")}
    assert left == {
        f"momentum/{new.id}.dump", f"momentum/{new.id}.manifest.json", "momentum/20261126T055900000000Z-bbbb.dump",
        f"market-ai/{other.id}.dump", f"market-ai/{other.id}.manifest.json",
    }  # fmt: skip


# ---- finding


def test_the_last_backup_is_told_by_service_or_of_all(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert last_backup(str(tmp_path)) is last_backup(str(nowhere)) is None
    assert not nowhere.exists()
    store = folder(tmp_path)
    written(store, NOW - timedelta(days=2))
    written(store, NOW - timedelta(hours=3), service="market-ai")
    store.write("momentum/20261126T055900000000Z-bbbb.dump", b"an archive without a manifest is no backup")
    assert last_backup(str(tmp_path)) == NOW - timedelta(hours=3)
    assert last_backup(str(tmp_path), "momentum") == NOW - timedelta(days=2)
    assert last_backup(str(tmp_path), "nothing") is None


def test_variables_of_the_store_that_are_left_empty_are_as_good_as_none(tmp_path: Path) -> None:
    left_empty = dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "HTTPS_PROXY": "http://127.0.0.1:1"}
    asked = tandem("backup", "list", "--from", "s3://kept/tandem", cwd=tmp_path, **left_empty | keys)
    assert asked.returncode == 1
    assert asked.stderr.startswith("tandem: s3://kept/tandem: "), asked.stderr
    assert "panicked" not in asked.stderr


def test_the_latest_is_found_or_the_one_that_is_named(tmp_path: Path) -> None:
    store = folder(tmp_path)
    with pytest.raises(BackupError, match="no backup of momentum"):
        find(store, "momentum", None)
    old, new = written(store, NOW - timedelta(days=1)), written(store, NOW)
    assert find(store, "momentum", None) == new
    assert find(store, "momentum", old.id) == old
    assert [one.id for one in manifests(store)] == [new.id, old.id]
    with pytest.raises(BackupError, match="tandem backup list"):
        find(store, "momentum", "20200101T000000000000Z-0000")


def test_a_manifest_that_cannot_be_read_or_is_anothers_is_said_to_be_so(tmp_path: Path) -> None:
    store = folder(tmp_path)
    one, other = written(store, NOW), written(store, NOW - timedelta(days=1))
    path = tmp_path / f"momentum/{one.id}.manifest.json"
    path.write_text(other.model_dump_json())
    with pytest.raises(BackupError, match="of another backup"):
        find(store, "momentum", one.id)
    path.write_text("{}")
    with pytest.raises(BackupError, match="no manifest"):
        find(store, "momentum", one.id)


# ---- the manifest


def test_a_sealed_manifest_needs_its_key_and_to_be_as_it_was(tmp_path: Path) -> None:
    manifest = written(folder(tmp_path), NOW)
    manifest.check_key(KEY)
    with pytest.raises(BackupError, match="set BACKUP_KEY"):
        manifest.check_key(None)
    with pytest.raises(BackupError, match="another BACKUP_KEY"):
        manifest.check_key(OTHER_KEY)
    for change in ({"tables": {}}, {"revision": "0001"}, {"signature": None}, {"signature": "ü"}):
        with pytest.raises(BackupError, match="not the one that was written"):
            manifest.model_copy(update=change).check_key(KEY)


class LaterManifest(Manifest):
    """As a version to come may know it."""

    region: str = "unknown"


def test_a_later_version_that_knows_more_still_believes_it(tmp_path: Path) -> None:
    manifest = written(folder(tmp_path), NOW)
    later = LaterManifest.model_validate_json(manifest.model_dump_json())
    later.check_key(KEY)
    with pytest.raises(BackupError, match="not the one that was written"):
        later.model_copy(update={"region": "elsewhere"}).check_key(KEY)


def test_a_backup_that_is_not_sealed_is_no_substitute_where_a_key_is_set(tmp_path: Path) -> None:
    manifest = written(folder(tmp_path), NOW, sealed=False)
    manifest.check_key(None)
    with pytest.raises(BackupError, match="unset BACKUP_KEY"):
        manifest.check_key(KEY)


def test_each_difference_is_named_with_its_table() -> None:
    def table(rows: int, checksum: str = "1") -> TableState:
        return TableState(rows=rows, checksum=checksum)

    before = {"same": table(1), "gone": table(1), "fewer": table(9), "other": table(4)}
    after = {"same": table(1), "new": table(0), "fewer": table(8), "other": table(4, "2")}
    assert list(differences(before, after)) == [
        "fewer has 8 rows, the backup 9",
        "gone is missing",
        "new is not in the backup",
        "other has the 4 rows it should have, but not the same",
    ]

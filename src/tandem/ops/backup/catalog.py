"""The backups that are there, and which of them go."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tandem.core.settings import Settings
from tandem.ops.backup.destination import Destination, Store
from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.manifest import MANIFEST, Manifest, read_manifest, time_of
from tandem.ops.services import Service

ABANDONED = timedelta(days=2)  # an archive without a manifest is older: its backup was interrupted


@dataclass(frozen=True)
class Keep:
    """The latest backup of each of the last so many days, weeks and months that have one. The latest of all stays."""

    daily: int
    weekly: int
    monthly: int


def last_backup(destination: Destination | str, service: str | None = None) -> datetime | None:
    """When the latest complete backup was begun, of one service or of any. Raises BackupError."""
    where = Destination(destination) if isinstance(destination, str) else destination
    found = _complete(where.open(), service) if where.is_there else []
    return max((at for _, at in found), default=None)


def last_of(service: Service, settings: Settings) -> datetime | None:
    """The same where the service's own settings say. Raises BackupError, and SettingsError when they do not."""
    return last_backup(Destination.of(settings), service.name)


def manifests(store: Store, service: str | None = None) -> list[Manifest]:
    """The latest first."""
    found = sorted(_complete(store, service), key=lambda one: one[1], reverse=True)
    return [read_manifest(store.read(path), path) for path, _ in found]


def find(store: Store, service: str, backup_id: str | None) -> Manifest:
    """The one with that id, else the latest; raises BackupError."""
    found = sorted(_complete(store, service), key=lambda one: one[1])
    if not found:
        raise BackupError(f"there is no backup of {service} here")
    if backup_id is None:
        path = found[-1][0]
    else:
        path = path_of(service, backup_id) + MANIFEST
        if path not in {one for one, _ in found}:
            raise BackupError(f"there is no backup {backup_id} of {service}: see `tandem backup list`")
    manifest = read_manifest(store.read(path), path)
    if path != path_of(service, manifest.id) + MANIFEST or manifest.service != service:
        raise BackupError(f"{path} is the manifest of another backup: {manifest.service} {manifest.id}")
    return manifest


def path_of(service: str, backup_id: str) -> str:
    return f"{service}/{backup_id}"


def prune(store: Store, service: str, keep: Keep, *, now: datetime | None = None) -> list[str]:
    """Delete what is not kept, and archives that never were complete; the ids that are gone."""
    stored = store.listing(service)
    times = dict(_named(one.path for one in stored if one.path.endswith(MANIFEST)))
    going = sorted(set(times) - set(kept(list(times.items()), keep)))
    oldest = (now or datetime.now(UTC)) - ABANDONED
    abandoned = {_id_of(one.path) for one in stored if one.modified < oldest} - set(times)
    for backup_id in [*going, *sorted(abandoned)]:
        paths = [one.path for one in stored if _id_of(one.path) == backup_id]
        for path in sorted(paths, key=lambda one: not one.endswith(MANIFEST)):  # without its manifest it is none
            store.delete(path)
    return going


def kept(backups: Sequence[tuple[str, datetime]], keep: Keep) -> list[str]:
    """The ids that stay, of (id, time)."""
    latest_first = sorted(backups, key=lambda one: one[1], reverse=True)
    staying = {latest_first[0][0]} if latest_first else set()
    for count, period in ((keep.daily, "%Y-%m-%d"), (keep.weekly, "%G-%V"), (keep.monthly, "%Y-%m")):
        of_period: dict[str, list[str]] = defaultdict(list)
        for backup_id, at in latest_first:
            of_period[at.astimezone(UTC).strftime(period)].append(backup_id)
        staying |= {ids[0] for ids in list(of_period.values())[:count]}
    return [backup_id for backup_id, _ in latest_first if backup_id in staying]


def _complete(store: Store, service: str | None) -> list[tuple[str, datetime]]:
    stored = store.listing(service or "")
    paths = [one.path for one in stored if one.path.endswith(MANIFEST)]
    return [(path, at) for path in paths if (at := time_of(_id_of(path))) is not None]


def _named(paths: Iterator[str]) -> Iterator[tuple[str, datetime]]:
    for path in paths:
        if (at := time_of(_id_of(path))) is not None:
            yield _id_of(path), at


def _id_of(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]

"""What the verbs `tandem backup` and `tandem restore` do, with the settings of the service and a bar to look at."""

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tandem.core.postgres_url import parse_database_url
from tandem.core.settings import Settings
from tandem.ops.backup import catalog, create, restore
from tandem.ops.backup.destination import Destination, Store
from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.manifest import Manifest
from tandem.ops.backup.sealing import BackupKey
from tandem.ops.database import database_settings, migration_target
from tandem.ops.services import Service
from tandem.ops.target import Progress as Steps

T = TypeVar("T")


@dataclass(frozen=True)
class Made:
    manifest: Manifest
    pruned: list[str]

    def as_json(self) -> dict[str, Any]:
        return self.manifest.model_dump(mode="json") | {"pruned": self.pruned}


def make(service: Service, to: str | None, *, keep_all: bool, console: Console, steps: Steps) -> Made:
    """A backup of the service's database; then those that are not kept any longer go."""
    settings = database_settings(service)
    store, key = Destination.of(settings, to).open(), _key(settings)
    if key is None:
        steps("BACKUP_KEY is not set: the backup is not encrypted")
    with migration_target(service, steps) as target, _bar(console) as meter:
        manifest = _run(create.create(create.Order(service, target.url, store, key), meter))
    keep = catalog.Keep(settings.backup_keep_daily, settings.backup_keep_weekly, settings.backup_keep_monthly)
    return Made(manifest, [] if keep_all else catalog.prune(store, service.name, keep))


@dataclass(frozen=True)
class Done:
    manifest: Manifest
    restored: restore.Restored

    def as_json(self) -> dict[str, Any]:
        one = self.manifest
        restored = {"database": self.restored.database, "replaced": self.restored.replaced}
        return restored | {"backup": one.id, "revision": one.revision, "tables": len(one.tables), "rows": one.rows}


def bring_back(
    service: Service, backup_id: str | None, into: str | None, *, at: str | None, replace: bool, console: Console,
    steps: Steps,
) -> Done:  # fmt: skip
    """`into` is a database's name on the service's server, or a whole URL; None is a new database."""
    settings = database_settings(service)
    source = _source(settings, service, backup_id, at)
    if into is not None and "://" in into:
        url, name = into, str(parse_database_url(into).url.database)
        with _bar(console) as meter:
            done = _run(restore.restore(source, url, name, replace=replace, meter=meter))
        return Done(source.manifest, done)
    with migration_target(service, steps) as target, _bar(console) as meter:
        done = _run(restore.restore(source, target.url, into, replace=replace, meter=meter))
    return Done(source.manifest, done)


def prove(service: Service, backup_id: str | None, *, at: str | None, console: Console, steps: Steps) -> Manifest:
    """Restore it, compare it, and drop what was restored; raises BackupError with what differs."""
    settings = database_settings(service)
    source = _source(settings, service, backup_id, at)
    with migration_target(service, steps) as target, _bar(console) as meter:
        _run(restore.verify(source, target.url, meter))
    return source.manifest


def listed(service: Service, *, at: str | None, only: bool) -> list[Manifest]:
    """`only` those of the service; else whatever is there."""
    return catalog.manifests(_store(database_settings(service), at), service.name if only else None)


def print_list(console: Console, manifests: list[Manifest]) -> None:
    table = Table(header_style="bold")
    for column in ("service", "id", "took", "size", "rows", "revision", "sealed"):
        table.add_column(column, no_wrap=column == "id")
    for one in manifests:
        took = f"{(one.finished_at - one.started_at).total_seconds():.1f} s"
        table.add_row(
            one.service, one.id, took, decimal(one.archive.size), f"{one.rows:,}", one.revision or "none",
            "yes" if one.archive.key_id else "no",
        )  # fmt: skip
    console.print(table)


def in_words(manifest: Manifest) -> str:
    size = decimal(manifest.archive.size)
    return f"{manifest.id}: {size}, {len(manifest.tables)} tables, {manifest.rows:,} rows"


def _source(settings: Settings, service: Service, backup_id: str | None, at: str | None) -> restore.Source:
    store = _store(settings, at)
    return restore.Source(catalog.find(store, service.name, backup_id), store, _key(settings))


def _store(settings: Settings, at: str | None) -> Store:
    destination = Destination.of(settings, at)
    if not destination.is_there:
        raise BackupError(f"there is no folder {destination.where}")
    return destination.open()


def _key(settings: Settings) -> BackupKey | None:
    return BackupKey(settings.backup_key.get_secret_value()) if settings.backup_key else None


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Until it is done; a platform's SIGTERM ends it like Ctrl-C, so that no program and no scratch database stays."""

    async def interruptible() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise BackupError("told to stop before it was done: nothing of it stays") from None


class _Bar:
    """A line that moves: what is done, bytes, tables and time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("connecting", total=None, moved="")

    def step(self, text: str) -> None:
        self._progress.update(self._task, description=text)
        if not self._progress.console.is_terminal:
            self._progress.console.print(f"· {text}", highlight=False, markup=False)

    def moved(self, size: int) -> None:
        self._progress.update(self._task, moved=decimal(size))

    def counted(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def _bar(console: Console) -> Iterator[_Bar]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[moved]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        yield _Bar(progress)

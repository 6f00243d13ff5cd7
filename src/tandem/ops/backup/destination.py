"""Where backups are kept: a folder, or a bucket of anything that speaks S3."""

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tandem.core.settings import Settings, SettingsError
from tandem.ops.backup.errors import BackupError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PART = 8 * 1024 * 1024  # bytes of one part of an upload, of which S3 takes 10,000: archives of up to 80 GB
_MODE = 0o077  # a backup is for its owner's eyes


@dataclass(frozen=True)
class Stored:
    path: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Destination:
    """`where` is a folder or `s3://bucket/prefix`; what the S3 options leave out is found in the environment."""

    where: str
    s3: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings, where: str | None = None) -> Self:
        """`where`, else what BACKUP_DESTINATION says; raises SettingsError for neither."""
        chosen = where or settings.backup_destination
        if not chosen:
            raise SettingsError(["BACKUP_DESTINATION is not set: a folder or s3://bucket/prefix"])
        named = {
            "endpoint": settings.aws_endpoint_url,
            "region": settings.aws_region,
            "access_key_id": settings.aws_access_key_id and settings.aws_access_key_id.get_secret_value(),
            "secret_access_key": settings.aws_secret_access_key and settings.aws_secret_access_key.get_secret_value(),
        }
        return cls(chosen, {name: value for name, value in named.items() if value})

    @property
    def is_folder(self) -> bool:
        return not self.where.startswith("s3://")

    @property
    def is_there(self) -> bool:
        """False for a folder that nobody has made yet; a bucket is not asked."""
        return not self.is_folder or Path(self.where).expanduser().is_dir()

    def open(self) -> "Store":
        """Raises BackupError for an address that is none."""
        from obstore.store import LocalStore, S3Store

        with _explained(self):
            if self.is_folder:
                if "://" in self.where:
                    raise BackupError(f"{self.where} is neither a folder nor s3://bucket/prefix")
                return Store(self, LocalStore(Path(self.where).expanduser().resolve(), mkdir=True))
            _forget_empty_variables()
            bucket, _, prefix = self.where.removeprefix("s3://").partition("/")
            plain = str(self.s3.get("endpoint", os.environ.get("AWS_ENDPOINT_URL", ""))).startswith("http://")
            return Store(
                self,
                S3Store(
                    bucket,
                    prefix=prefix.rstrip("/") or None,
                    client_options={"allow_http": plain, "timeout": "120s"},
                    retry_config={"max_retries": 5},
                    **self.s3,
                ),
            )


def _forget_empty_variables() -> None:
    """An empty variable counts as not set here; the store would take an empty AWS_ENDPOINT_URL for an address."""
    for name in [name for name, value in os.environ.items() if name.startswith("AWS_") and not value]:
        del os.environ[name]


class Store:
    """What is kept at a destination, by path. Every method raises BackupError."""

    def __init__(self, destination: Destination, store: "ObjectStore") -> None:
        self._destination, self._store = destination, store

    def listing(self, folder: str) -> list[Stored]:
        import obstore

        with _explained(self._destination):
            found = obstore.list(self._store, folder).collect()
        return [Stored(one["path"], one["size"], one["last_modified"]) for one in found]

    def read(self, path: str) -> bytes:
        import obstore

        with _explained(self._destination):
            return bytes(obstore.get(self._store, path).bytes())

    def write(self, path: str, content: bytes) -> None:
        import obstore

        with _explained(self._destination), _private():
            obstore.put(self._store, path, content)

    def delete(self, *paths: str) -> None:
        import obstore

        with _explained(self._destination):
            obstore.delete(self._store, list(paths))

    async def upload(self, path: str, parts: AsyncIterable[bytes]) -> None:
        """Nothing is there before all of it is, nor when `parts` raises."""
        import obstore

        with _explained(self._destination), _private():
            await obstore.put_async(self._store, path, parts, chunk_size=PART)

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """In parts, each asked for when it is needed: who restores is slower than any time-out of one long answer."""
        import obstore

        with _explained(self._destination):
            size = (await obstore.head_async(self._store, path))["size"]
        for start in range(0, size, PART):
            with _explained(self._destination):
                part = await obstore.get_range_async(self._store, path, start=start, end=min(start + PART, size))
            yield bytes(part)


@contextmanager
def _explained(destination: Destination) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        raise BackupError(f"{destination.where}: there is no {_first_line(error)}") from None
    except (BaseError, OSError) as error:
        raise BackupError(f"{destination.where}: {_first_line(error)}") from None


@contextmanager
def _private() -> Iterator[None]:
    before = os.umask(_MODE)
    try:
        yield
    finally:
        os.umask(before)


def _first_line(error: Exception) -> str:
    """Without the library's own account of the error below it."""
    return str(error).splitlines()[0][:500] if str(error) else type(error).__name__

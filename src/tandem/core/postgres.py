"""The embedded Postgres of development and tests: a real server, a child of this process, no installation.

`postgres_programs` finds, runs and ties the programs; this module looks after one cluster. Decisions (the
reasons are in docs/adr/0002-embedded-postgres.md):

* **One supervisor per cluster**: an flock on `<cluster>.lock`, released by the kernel when its holder dies. A
  postmaster.pid is a claim, not a proof: what counts is a Postgres process that runs on the directory. We
  signal nothing but our own child.
* **Place**: `data_dir`, with `<data_dir>.log` beside it. As root, where the server's user cannot reach that,
  the cluster lives in /var/lib/tandem/<hash of data_dir>/ and data_dir is a symbolic link to it. Deleting the
  link means beginning anew, as deleting the directory does; the old cluster is kept once, as `<cluster>.old`.
* **Access**: role `tandem`, `trust`, over a unix socket in the 0700 data directory, or in /tmp/tandem-<hash>
  (0700, ownership checked) when that path is too long or awkward in a URL. Root enters both. TCP only when
  asked for: 127.0.0.1 with a password.
* **Atomic initdb**: into a temporary sibling, then one rename.
"""

import contextlib
import fcntl
import functools
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tandem.core import postgres_programs as programs
from tandem.core.postgres_programs import (
    CLEAN_ENV,
    STATE_DIR,
    Account,
    Binaries,
    EmbeddedPostgresError,
    launch,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

ROLE = "tandem"
START_TIMEOUT = 60.0  # seconds; crash recovery happens inside it
STOP_TIMEOUT = 20.0  # seconds for a fast shutdown before SIGQUIT
PREVIOUS_TIMEOUT = 20.0  # seconds for a predecessor that is still shutting down
SOCKET_PORT = 5432  # part of the socket's file name; no TCP port is opened by it
# sun_path holds 108 bytes on Linux and 104 elsewhere, its final NUL included.
SOCKET_DIR_LIMIT = (107 if sys.platform == "linux" else 103) - len("/.s.PGSQL.65535")
LOG_LIMIT = 8_000_000  # bytes; a larger log becomes <log>.1 at the next start


class EmbeddedPostgres:
    """One cluster in `data_dir` and the server process on it.

    `durable=False` turns fsync, synchronous_commit and full_page_writes off: for tests, whose data may go.
    With `tcp_port` it listens on 127.0.0.1 as well, with a password, and `url()` gives the TCP form.
    Every method raises EmbeddedPostgresError. An instance is not for forked children to use.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        max_connections: int = 100,
        tcp_port: int | None = None,
    ) -> None:
        # The last component stays unresolved: as root it may be our link to a relocated cluster.
        self.data_dir = data_dir.parent.resolve() / data_dir.name
        self.log_file = _beside(self.data_dir, ".log")
        self._durable = durable
        self._max_connections = max_connections
        self._tcp_port = tcp_port
        self._port = tcp_port or SOCKET_PORT
        self._lock: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._reaped = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while this object runs it."""
        return self._server.pid if self._server is not None and self._server.poll() is None else None

    def start(self, on_progress: Callable[[str], None] | None = None) -> None:
        """Create the cluster when there is none, start the server and return once it answers.

        Does nothing when this object's server runs already. May be called from any thread. `on_progress` gets
        a short phrase before each slow step.
        """
        if self.pid is not None:
            return
        self.stop()  # a server that died on its own has left its lock with us
        progress = on_progress or _be_quiet
        try:
            with _os_errors_explained(f"could not start Postgres in {self.data_dir}"):
                self.data_dir.parent.mkdir(parents=True, exist_ok=True)
                cluster, account = self._locate(), programs.server_account(self.data_dir)
                self._check(cluster, account)
                self._take_lock(cluster, account)
                _wait_for_previous_server(cluster, progress)
                self._link(cluster)
                if (socket_dir := self._socket_dir()) != cluster:
                    programs.make_private_dir(socket_dir, account)
                binaries = programs.reachable_binaries(account, progress)
                if not (cluster / "PG_VERSION").exists():
                    progress("creating the database cluster")
                    self._create_cluster(cluster, account, binaries)
                progress("starting Postgres")
                self._launch_server(cluster, account, binaries)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down fast (open transactions roll back) and release the cluster; nothing when not running."""
        if self._server is not None:
            escalation = (signal.SIGINT, STOP_TIMEOUT), (signal.SIGQUIT, 5.0), (signal.SIGKILL, None)
            for how, patience in escalation:
                self._server.send_signal(how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._server.wait(patience)
                    break
            if self._server.stdin is not None:
                self._server.stdin.close()
            self._server = None
            self._reaped.set()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def destroy(self) -> None:
        """Stop, and delete the cluster with its log and every file kept for it, wherever they are."""
        self.stop()
        with _os_errors_explained(f"could not delete the cluster of {self.data_dir}"):
            if not self.data_dir.parent.is_dir():
                return
            cluster = self._locate()
            self._take_lock(cluster, programs.server_account(self.data_dir))
            try:
                _wait_for_previous_server(cluster, _be_quiet)
                self._delete(cluster)
            finally:
                self.stop()

    def create_database(self, name: str) -> None:
        """Create database `name` in UTF-8, owned by role `tandem`; no error when it exists."""
        if self.pid is None:
            raise EmbeddedPostgresError("cannot create a database: Postgres is not running; call start() first")
        statement = (
            "SELECT format('CREATE DATABASE %I', :'name')"
            " WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \\gexec\n"
        )
        command = [
            programs.find_binaries() / "psql",
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            f"name={name}",
        ]
        command += ["-h", str(self._socket_dir()), "-p", str(self._port), "-U", ROLE, "-d", "postgres"]
        done = subprocess.run(  # noqa: S603 - no shell, and the name travels as a psql variable
            command, input=statement, env=CLEAN_ENV, cwd="/", capture_output=True, text=True, check=False
        )
        # Two callers may both find it missing; the loser's wish is fulfilled all the same.
        lost_the_race = re.search(r"already exists|pg_database_datname_index", done.stderr)
        if done.returncode != 0 and not lost_the_race:
            raise EmbeddedPostgresError(f"could not create database {name!r}: {done.stderr.strip()}")

    def url(self, database: str) -> str:
        """The libpq URL of `database`: for asyncpg as it is, for SQLAlchemy with the driver in its scheme.

        `postgresql://tandem@/<database>?host=<socket directory>&port=5432`; the directory has nothing but
        A-Z a-z 0-9 / . _ - in it; the port is there because clients would obey PGPORT. With `tcp_port`:
        `postgresql://tandem:<hexadecimal password>@127.0.0.1:<tcp_port>/<database>`, once the cluster exists.
        """
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", database):
            raise EmbeddedPostgresError(f"database name {database!r}: use only letters, digits and _ . -")
        with _os_errors_explained("the URL is known once start() has created the cluster"):
            if self._tcp_port is None:
                return f"postgresql://{ROLE}@/{database}?host={self._socket_dir()}&port={self._port}"
            password = (self._locate() / "tandem.password").read_text().strip()
        return f"postgresql://{ROLE}:{password}@127.0.0.1:{self._tcp_port}/{database}"

    # ---- where the cluster lives

    def _locate(self) -> Path:
        """The cluster's real directory: data_dir, its link's target, or as root one Postgres reaches."""
        if self.data_dir.is_symlink():
            return self.data_dir.resolve()
        if os.geteuid() != 0 or _has_files(self.data_dir):
            return self.data_dir
        if programs.can_reach(programs.server_account(self.data_dir), self.data_dir.parent):
            return self.data_dir
        return STATE_DIR / programs.short_hash(self.data_dir) / self.data_dir.name

    def _socket_dir(self) -> Path:
        cluster = self._locate()
        awkward = re.search(r"[^A-Za-z0-9/._-]", str(cluster))
        if awkward or len(str(cluster)) > SOCKET_DIR_LIMIT:
            return Path("/tmp") / f"tandem-{programs.short_hash(cluster)}"  # noqa: S108 - see make_private_dir
        return cluster

    def _check(self, cluster: Path, account: Account) -> None:
        """Refuse what cannot work, before anything is touched."""
        if cluster.is_dir() and os.geteuid() not in {0, cluster.stat().st_uid}:
            raise EmbeddedPostgresError(
                f"{cluster} belongs to user id {cluster.stat().st_uid} (created as root?): "
                "start as that user or as root, or delete it to begin anew"
            )
        if _has_files(cluster) and not (cluster / "PG_VERSION").exists():
            raise EmbeddedPostgresError(
                f"{cluster} has files in it but no Postgres cluster: move them away or use another directory"
            )
        if os.geteuid() == 0 and not programs.can_reach(account, cluster.parent):
            raise EmbeddedPostgresError(
                f"user {account.name}, who runs Postgres in {cluster}, can no longer enter the directories "
                "above: let that user pass again, or move the cluster away"
            )

    def _take_lock(self, cluster: Path, account: Account) -> None:
        programs.make_passable_dir(cluster.parent)
        path = _beside(cluster, ".lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino != os.fstat(lock).st_ino:
                raise FileNotFoundError(f"{path} was deleted just now by another supervisor; try again")
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
            os.close(lock)
            raise EmbeddedPostgresError(
                f"the Postgres in {self.data_dir} is already run by process {holder or '(unknown)'}: "
                "use that one, stop it first, or choose another directory"
            ) from None
        except OSError:
            os.close(lock)
            raise
        self._lock = lock
        if os.geteuid() == 0:  # so that the cluster's owner can take it without root next time
            os.fchown(lock, account.uid, account.gid)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)

    def _link(self, cluster: Path) -> None:
        """Tie a relocated cluster to data_dir."""
        if cluster == self.data_dir or self.data_dir.is_symlink():
            return
        if cluster.exists():  # its link was deleted
            shutil.rmtree(_beside(cluster, ".old"), ignore_errors=True)
            cluster.rename(_beside(cluster, ".old"))
        if self.data_dir.is_dir():
            self.data_dir.rmdir()  # it is empty, else it would be the cluster
        self.data_dir.symlink_to(cluster)

    def _delete(self, cluster: Path) -> None:
        socket_dir = self._socket_dir()
        if self.data_dir.is_symlink():
            self.data_dir.unlink()
        for directory in (cluster, _beside(cluster, ".old")):
            if directory.exists():
                shutil.rmtree(directory)
        for file in (self.log_file, _beside(self.log_file, ".1"), _beside(cluster, ".lock")):
            file.unlink(missing_ok=True)
        if cluster.parent.parent == STATE_DIR:
            cluster.parent.rmdir()
        if socket_dir != cluster:
            shutil.rmtree(socket_dir, ignore_errors=True)

    # ---- running initdb and postgres

    def _create_cluster(self, cluster: Path, account: Account, binaries: Binaries) -> None:
        for leftover in cluster.parent.glob(f".{cluster.name}-init-*"):
            _remove_while_written(leftover)
        work = Path(tempfile.mkdtemp(prefix=f".{cluster.name}-init-", dir=cluster.parent))
        try:
            password = work / "password"
            password.touch(mode=0o600)
            password.write_text(f"{secrets.token_hex(16)}\n")
            if os.geteuid() == 0:
                os.chown(work, account.uid, account.gid)
                os.chown(password, account.uid, account.gid)
            with self._open_log(account) as log:
                begin = log.tell()
                if launch(self._initdb(work, binaries), account, log).wait() != 0:
                    raise self._failure("could not create the database cluster", begin)
            password.rename(work / "data" / "tandem.password")
            (work / "data").rename(cluster)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _initdb(self, work: Path, binaries: Binaries) -> list[str]:
        command = [
            binaries / "initdb",
            "-D",
            str(work / "data"),
            "-U",
            ROLE,
            "-E",
            "UTF8",
            "--no-instructions",
        ]
        command += ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={work / 'password'}"]
        command += ["--locale", "C.UTF-8" if sys.platform == "linux" else "C"]
        if binaries.major >= 17:  # the same sort order and case rules on every system
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return command if self._durable else [*command, "--no-sync"]

    def _launch_server(self, cluster: Path, account: Account, binaries: Binaries) -> None:
        command = [binaries / "postgres", "-D", str(cluster)]
        for setting in self._settings(binaries.major):
            command += ["-c", setting]
        forked = threading.Event()
        self._reaped = threading.Event()
        with self._open_log(account) as log:
            begin = log.tell()
            # The server dies with the thread that forked it: this one stays until the server is gone.
            fork = functools.partial(self._fork_and_stay, command, account, log, forked, self._reaped)
            threading.Thread(target=fork, name="embedded-postgres", daemon=True).start()
            forked.wait()
        if self._server is None:
            raise EmbeddedPostgresError(f"could not run {sys.executable}, which starts Postgres")
        self._wait_until_ready(self._server, cluster, begin)

    def _fork_and_stay(
        self,
        command: list[str],
        account: Account,
        log: IO[bytes],
        forked: threading.Event,
        reaped: threading.Event,
    ) -> None:
        try:
            self._server = launch(command, account, log)
        finally:
            forked.set()
        reaped.wait()

    def _settings(self, major: int) -> Iterator[str]:
        yield f"unix_socket_directories={self._socket_dir()}"
        yield "unix_socket_permissions=0700"
        yield f"listen_addresses={'127.0.0.1' if self._tcp_port else ''}"
        yield f"port={self._port}"
        yield f"max_connections={self._max_connections}"
        yield "shared_buffers=64MB"
        yield "timezone=UTC"
        yield "log_timezone=UTC"
        if major >= 18:
            yield "io_method=sync"  # no I/O worker processes for a development server
        if not self._durable:
            yield from ("fsync=off", "synchronous_commit=off", "full_page_writes=off")

    def _wait_until_ready(self, server: subprocess.Popen[bytes], cluster: Path, log_begin: int) -> None:
        """Line 8 of postmaster.pid says when connections are accepted; pg_ctl waits for the same."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise self._failure("Postgres did not start", log_begin)
            with contextlib.suppress(FileNotFoundError):
                lines = (cluster / "postmaster.pid").read_text(errors="replace").splitlines()
                if lines[:1] == [str(server.pid)] and lines[7:8] and lines[7].strip() == "ready":
                    return
            time.sleep(0.01)
        raise self._failure(f"Postgres was not ready after {START_TIMEOUT:.0f} s", log_begin)

    def _open_log(self, account: Account) -> IO[bytes]:
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_LIMIT:
            self.log_file.replace(_beside(self.log_file, ".1"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        log = os.fdopen(os.open(self.log_file, flags, 0o600), "ab")
        if os.geteuid() == 0:
            os.fchown(log.fileno(), account.uid, account.gid)
        log.seek(0, os.SEEK_END)
        return log

    def _failure(self, what: str, log_begin: int) -> EmbeddedPostgresError:
        with self.log_file.open("rb") as log:
            log.seek(log_begin)
            tail = log.read().decode(errors="replace").splitlines()[-20:]
        return EmbeddedPostgresError("\n  ".join([f"{what}; the end of {self.log_file}:", *tail]))


def _remove_while_written(directory: Path) -> None:
    """Delete what an initdb left behind whose supervisor was killed; for a moment it may still write there."""
    deadline = time.monotonic() + 5
    while directory.exists() and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.01)


def _wait_for_previous_server(cluster: Path, progress: Callable[[str], None]) -> None:
    """Let the server of a killed supervisor finish, then drop its postmaster.pid. The lock must be held."""
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    if pids := _postgres_processes(cluster):
        progress("waiting for the previous Postgres to stop")
    deadline = time.monotonic() + PREVIOUS_TIMEOUT
    while pids:
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"another Postgres (process {min(pids)}) runs on {cluster} and no supervisor holds it: "
                f"stop it with `kill -INT {min(pids)}` and try again"
            )
        time.sleep(0.02)
        pids = _postgres_processes(cluster)
    # Postgres refuses to start on a truncated file, and on one whose process id another program now has.
    # Should we ever miss a live server it refuses all the same: the old shared memory segment is in use.
    pid_file.unlink(missing_ok=True)


def _postgres_processes(cluster: Path) -> list[int]:
    """Ids of the Postgres processes that run on this cluster, whatever postmaster.pid says."""
    if sys.platform != "linux":
        command = ["ps", "-axo", "pid=,command="]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - fixed
        rows = (line.strip().partition(" ") for line in listing.splitlines())
        return [int(pid) for pid, _, command_line in rows if f"postgres -D {cluster} " in f"{command_line} "]
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended just now, or is another user's
                program = (entry / "exe").readlink().name
                if program.startswith("postgres") and (entry / "cwd").readlink() == cluster:
                    pids.append(int(entry.name))
    return pids


def _has_files(directory: Path) -> bool:
    return directory.is_dir() and any(directory.iterdir())


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _be_quiet(_step: str) -> None:
    """Progress that nobody wants to hear of."""


@contextlib.contextmanager
def _os_errors_explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(f"{what}: {error}; check that path and its permissions") from error

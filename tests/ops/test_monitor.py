"""`tandem monitor` against services, Slack, webhooks and a mail server on the loopback."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tandem.ops.monitor.channels import WrongChannel, channels
from tandem.ops.monitor.command import MonitorError, addresses, check, run_once
from tandem.ops.monitor.state import Policy, States, Watch
from tests.ops.test_cli import TANDEM, tandem
from tests.servers import clean_environment, free_port

ROOT = Path(__file__).parents[2]
SECRET = "T00-very-secret-path"


class Server(ThreadingHTTPServer):
    """Answers `status` at every address, `delay` seconds late, and keeps what was posted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.delay = 200, 0.0
        self.body: Any = {"status": "healthy", "database": "connected"}
        self.posted: list[Any] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        time.sleep(self.server.delay)
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(json.dumps(self.server.body).encode())

    def do_POST(self) -> None:
        self.server.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.do_GET()


@pytest.fixture
def service() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def slack() -> Iterator[Server]:
    with Server() as server:
        yield server


class Postman:
    """A mail server that wants a password."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.recipients: list[str] = []
        port = free_port()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=port,
            authenticator=self._let_in,
            auth_require_tls=False,
            auth_required=True,
        )
        self.url = f"smtp://ada:s3cr%40t@127.0.0.1:{port}"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.recipients += envelope.rcpt_tos
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    def _let_in(self, *arguments: Any) -> AuthResult:
        given = arguments[-1]
        return AuthResult(success=(given.login, given.password) == (b"ada", b"s3cr@t"), handled=False)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


class Rounds:
    """Checks of one service, so many seconds apart, remembered in a file."""

    def __init__(self, url: str, directory: Path, **environment: str) -> None:
        self.url, self.path, self.environment = url, directory / "state.json", environment
        self.now, self.told = 1_000_000.0, list[str]()

    def __call__(self, rounds: int = 1, *, apart: float = 60, **policy: Any) -> bool:
        well = False
        for _ in range(rounds):
            self.now += apart
            well = run_once(
                addresses([self.url]), policy=Policy(**{"after": 3, "remind": 0} | policy), timeout=5,
                states=States.read(self.path), say=self.told.append, now=lambda: self.now, environment=self.environment,
            )  # fmt: skip
        return well


def test_a_few_failures_are_no_alert_and_an_outage_is_one_alert_and_one_recovery(
    service: Server, slack: Server, tmp_path: Path
) -> None:
    rounds = Rounds(service.url, tmp_path, SLACK_WEBHOOK=f"{slack.url}/{SECRET}")
    assert rounds(2)
    service.status, service.body = 503, {"status": "unhealthy", "database": "disconnected"}
    assert not rounds(2)
    service.status = 200
    assert rounds(2)
    assert slack.posted == []
    service.status = 503
    assert not rounds(50)
    (alert,) = slack.posted
    assert "is down: it answers 503 (unhealthy, database disconnected) (3 checks in a row)" in alert["text"]
    service.status = 200
    assert rounds(5)
    assert [one["text"].split(": ")[0].split(" after")[0] for one in slack.posted[1:]] == [
        f"✅ 127.0.0.1:{service.server_port} works again"
    ]
    assert "after 50 min" in slack.posted[1]["text"]
    assert SECRET not in "".join(rounds.told) + rounds.path.read_text()


def test_a_long_outage_is_repeated_now_and_then(service: Server, slack: Server, tmp_path: Path) -> None:
    rounds = Rounds(service.url, tmp_path, MONITOR_WEBHOOK=slack.url)
    service.status = 500
    rounds(10, apart=600, after=1, remind=3600)
    assert [one["event"] for one in slack.posted] == ["down", "still_down"]
    assert slack.posted[1]["since"] == 1_000_600
    assert "after 1 h 0 min" in slack.posted[1]["text"]


def test_what_could_not_be_delivered_is_delivered_later_and_only_as_things_stand(
    service: Server, slack: Server, tmp_path: Path
) -> None:
    rounds = Rounds(service.url, tmp_path, SLACK_WEBHOOK=slack.url, MONITOR_WEBHOOK=f"{slack.url}/hook")
    service.status, slack.status = 500, 502
    rounds(2, after=1)
    assert any("Slack: it answered 502; tried again" in line for line in rounds.told)
    slack.status, slack.posted = 200, []
    rounds(3, after=1)
    assert len(slack.posted) == 2, "once to each channel"
    slack.posted, slack.status = [], 500
    service.status = 200
    rounds(1)
    service.status = 500
    rounds(1, after=1)
    slack.status, slack.posted = 200, []
    rounds(1, after=1)
    assert sorted("down" in str(one) for one in slack.posted) == [True, True]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_an_email_goes_out_with_a_password(service: Server, tmp_path: Path) -> None:
    service.status = 500
    with Postman() as postman:
        environment = {"MONITOR_EMAIL": "ada@example.com, bob@example.com", "SMTP_URL": f"{postman.url}?starttls=never"}
        Rounds(service.url, tmp_path, **environment)(1, after=1)
        mail, other = postman.mails
        assert postman.recipients == ["ada@example.com", "bob@example.com"]
        assert mail["To"] == other["To"] == "ada@example.com, bob@example.com"
        assert "is down: it answers 500" in mail["Subject"]
        assert service.url in mail.get_payload(decode=True).decode()  # type: ignore[union-attr]
        assert mail["Message-ID"]
        assert mail["Date"]
        # One address that is refused does not keep it from the others, nor repeat it to them.
        some = Rounds(service.url, tmp_path / "some", **environment | {"MONITOR_EMAIL": "no-address, ada@example.com"})
        some(2, after=1)
        assert (len(postman.mails), "".join(some.told).count("did not take it")) == (3, 0)
        # A password is not sent in the clear, and a wrong one is not taken.
        for wrong in (postman.url, postman.url.replace("s3cr", "guess") + "?starttls=never", "smtp://127.0.0.1:1"):
            rounds = Rounds(service.url, tmp_path / wrong[-8:], **environment | {"SMTP_URL": wrong})
            rounds(1, after=1)
            assert "the mail server did not take it" in "".join(rounds.told)
            assert "s3cr" not in "".join(rounds.told)
        assert len(postman.mails) == 3


def test_what_is_good_and_what_is_not(service: Server) -> None:
    assert check(service.url, 5).problem is None
    for status in (302, 404, 500):
        service.status = status
        assert f"answers {status}" in str(check(service.url, 5).problem)
    service.status, service.delay = 200, 1.0
    assert check(service.url, 0.2).problem == "no answer in 0.2 s"
    assert "cannot be reached" in str(check("http://127.0.0.1:1", 5).problem)


def test_addresses_get_health_and_nonsense_is_refused() -> None:
    assert addresses(["https://a.example", "https://a.example/"]) == ["https://a.example/health"] * 2
    assert addresses([], {"API_URL": "https://a.example/status https://b.example"}) == [
        "https://a.example/status",
        "https://b.example/health",
    ]
    for wrong in (["a.example"], ["ftp://a.example"], ["https://"], []):
        with pytest.raises(MonitorError):
            addresses(wrong, {})
    for environment in (
        {"SLACK_WEBHOOK": f"hooks.slack.com/{SECRET}"},
        {"MONITOR_EMAIL": "a@example.com"},
        {"MONITOR_EMAIL": "a@example.com", "SMTP_URL": f"mail.example.com:{SECRET}"},
    ):
        with pytest.raises(WrongChannel) as refused:
            channels(environment)
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 5}', '{"x": {"unknown": 1}}', "\x00"])
def test_a_broken_state_file_is_as_good_as_none(text: str, service: Server, tmp_path: Path) -> None:
    rounds = Rounds(service.url, tmp_path)
    rounds.path.write_text(text)
    assert rounds(1)
    assert list(States.read(rounds.path).watches) == [f"{service.url}/health"]


def test_a_check_is_told_though_it_cannot_be_remembered(service: Server, slack: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rounds = Rounds(service.url, tmp_path / "file", SLACK_WEBHOOK=slack.url)
    service.status = 500
    with pytest.raises(OSError, match="file"):
        States.read(rounds.path).write()
    assert not rounds(1, after=1)
    assert len(slack.posted) == 1
    assert "cannot remember this check" in rounds.told[-1]


def test_a_watch_begins_its_outage_at_the_first_failure() -> None:
    watch, policy = Watch(), Policy(after=2, remind=10)
    assert [watch.saw("no", at, policy) for at in (100, 101, 105, 111, 112)] == [
        None, "down", None, "still down", None,
    ]  # fmt: skip
    assert (watch.since, watch.saw(None, 120, policy), watch.saw(None, 121, policy)) == (100, "recovered", None)


# ---- the command and the script


def test_cron_mode_remembers_and_says_by_its_exit_status(service: Server, slack: Server, tmp_path: Path) -> None:
    once = ["monitor", service.url, "--once", "--after", "2"]
    assert tandem(*once, cwd=tmp_path, SLACK_WEBHOOK=slack.url).returncode == 0
    service.status = 500
    for _ in range(3):
        down = tandem(*once, cwd=tmp_path, SLACK_WEBHOOK=slack.url)
        assert down.returncode == 1
    assert len(slack.posted) == 1
    assert (tmp_path / ".tandem/monitor.json").is_file()
    service.status = 200
    assert tandem(*once, cwd=tmp_path, SLACK_WEBHOOK=slack.url).returncode == 0
    assert "works again" in slack.posted[1]["text"]
    assert tandem("monitor", "--once", cwd=tmp_path).returncode == 2
    assert tandem("monitor", "--test", cwd=tmp_path, SLACK_WEBHOOK=slack.url).returncode == 0
    slack.status = 404
    assert tandem("monitor", "--test", cwd=tmp_path, SLACK_WEBHOOK=slack.url).returncode == 1


def test_the_loop_watches_until_it_is_told_to_stop(service: Server, slack: Server, tmp_path: Path) -> None:
    service.status = 500
    command = [*TANDEM, "monitor", service.url, "--interval", "1", "--after", "2"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(SLACK_WEBHOOK=slack.url), stderr=subprocess.PIPE
    )
    for status, text in ((500, "is down"), (200, "works again")):
        service.status = status
        deadline = time.monotonic() + 60
        while not any(text in one["text"] for one in slack.posted):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert not (tmp_path / ".tandem").exists()


def test_the_script_of_the_guide_is_one_check(service: Server, slack: Server, tmp_path: Path) -> None:
    def run(*arguments: str, **environment: str) -> int:
        settings = clean_environment(MONITOR_STATE=str(tmp_path / "state.json"), SLACK_WEBHOOK=slack.url, **environment)
        settings["PATH"] = (
            f"{Path(TANDEM[0]).parent}:{os.environ['PATH']}"  # the tandem that is tested, where no .venv is
        )
        done = subprocess.run(
            [ROOT / "scripts/health_monitor.sh", *arguments], env=settings, cwd="/", capture_output=True, check=False
        )
        return done.returncode

    assert run(API_URL=service.url) == 0
    service.status = 500
    assert run(service.url, "--after", "1") == 1
    assert "is down" in slack.posted[0]["text"]
    assert run() == 2

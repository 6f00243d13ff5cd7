"""Secrets never reach the log, whoever logs them and wherever they hide."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import BaseModel, SecretStr

from tandem.core import log
from tandem.core.log import access_log, configure_logging, current_scope, mask
from tests.core.edge_service import settings

SECRET = "b7f1d3a9c5e8042667d9f0a1b2c3d4e5"
API_TOKEN = "tdm_4f8Kq2Lm9Zx7Rt5W"


class Output:
    """All that was written to stderr so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Output]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield Output(capsys)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    monkeypatch.setattr(log, "_known_secrets", None)


def _configure(**values: Any) -> None:
    configure_logging(settings(**({"environment": "production"} | values)))


def _lines(output: Output) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://ada:hunter22@db/app", "hunter22"),
        ("postgresql+asyncpg://ada:p@ss/w0rd:x@db:5432/app?sslmode=require", "p@ss"),
        ("redis://:hunter22@cache:6379/0", "hunter22"),
        ("https://ada:hunter22@files.internal/x", "hunter22"),
        ("Authorization: Bearer abc.def-ghi", "abc.def"),
        ("{'authorization': 'Bearer abcdefgh'}", "abcdefgh"),
        ('{"Authorization": "Basic YWRhOmh1bnRlcjIy"}', "YWRh"),
        ("(b'authorization', b'Bearer abcdefgh')", "abcdefgh"),
        ("(b'cookie', b'better-auth.session_token=abcdefgh.sig; theme=dark')", "abcdefgh"),
        ("Cookie: better-auth.session_token=abcdefgh.sig; other=hijklmno", "hijklmno"),
        ("set-cookie: session=abcdefgh; HttpOnly", "abcdefgh"),
        ("bearer  abcdefgh", "abcdefgh"),
        (f"no such token {API_TOKEN}", API_TOKEN),
        (f"/api/tokens/{API_TOKEN}", API_TOKEN),
        ("password=hunter22", "hunter22"),
        ("PASSWORD: hunter22", "hunter22"),
        ("{'newPassword': 'hunter22'}", "hunter22"),
        (r"{\"current_password\": \"hunter22\"}", "hunter22"),
        ("api_key=hunter22&x=1", "hunter22"),
        ("client-secret = 'hunter22'", "hunter22"),
        ("?token=hunter22", "hunter22"),
        ("SENTRY_DSN=hunter22", "hunter22"),
    ],
)
def test_mask_takes_the_secret_out_of_text(text: str, secret: str) -> None:
    masked = mask(text)
    assert secret not in masked
    assert "[masked]" in masked


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/tasks/0f8fad5b-d9cb-469f-a165-70867728950e 200",
        "Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
        "https://app.netlify.app/path?x=a@b.example",
        "the session of ada@mail.internal expired",
        "a basic fact",
        "line 7, in read_token",
    ],
)
def test_mask_leaves_ordinary_text_alone(text: str) -> None:
    assert mask(text) == text


def test_values_under_secret_names_are_masked_whatever_they_are(output: Output) -> None:
    _configure()
    structlog.get_logger().info(
        "signed_in", password="zzz", headers={"Cookie": "yyy", "accept": "json"}, session_token=["xxx"], user="ada"
    )
    line = _lines(output)[0]
    assert line["password"] == line["session_token"] == line["headers"]["Cookie"] == "[masked]"
    assert (line["user"], line["headers"]["accept"]) == ("ada", "json")


@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize("logger", ["structlog", "stdlib"])
def test_tracebacks_hold_no_secrets(output: Output, environment: str, logger: str) -> None:
    class SignIn(BaseModel):
        password: int

    _configure(environment=environment, database_url=SecretStr("postgresql://u:pool-password-1@h/db"))
    problems: list[Exception] = []
    for make in (
        lambda: SignIn.model_validate({"password": "hunter22"}),
        lambda: (_ for _ in ()).throw(ValueError(f"bad token {API_TOKEN} for postgresql://u:pool-password-1@h/db")),
        lambda: (_ for _ in ()).throw(RuntimeError(f"unexpected {SECRET} here, and pool-password-1 there")),
    ):
        try:
            list(make())
        except Exception as error:
            problems.append(error)
    for error in problems:
        if logger == "structlog":
            structlog.get_logger().error("failed", exc_info=error)
        else:
            logging.getLogger("uvicorn.error").error("failed", exc_info=error)
    text = output.getvalue()
    assert text.count("Traceback") == 3
    for secret in ("hunter22", API_TOKEN, "pool-password-1", SECRET):
        assert secret not in text


def test_the_values_of_secret_settings_are_masked_by_themselves(output: Output) -> None:
    _configure(redis_url=SecretStr('redis://:cache-pass/w"rd-9@h:1'), health_token=SecretStr("health-token-value"))
    structlog.get_logger().info(f'odd {SECRET} and health-token-value and cache-pass/w"rd-9')
    text = output.getvalue()
    assert SECRET not in text
    assert "health-token-value" not in text
    assert "cache-pass" not in text


def test_other_libraries_speak_through_the_same_pipeline(output: Output) -> None:
    _configure()
    logging.getLogger("alembic.runtime.migration").warning("upgrading %s", "postgresql://u:hunter22@h/db")
    line = _lines(output)[0]
    assert line["event"] == "upgrading postgresql://u:[masked]@h/db"
    assert (line["logger"], line["level"]) == ("alembic.runtime.migration", "warning")


def test_every_line_of_a_request_has_its_id(output: Output) -> None:
    _configure()
    token = current_scope.set({"tandem.request_id": "r-1", "tandem.user_id": "u-1"})
    structlog.get_logger().info("ours")
    logging.getLogger("library").warning("theirs")
    current_scope.reset(token)
    structlog.get_logger().info("afterwards")
    assert [(x.get("request_id"), x.get("user_id")) for x in _lines(output)] == [
        ("r-1", "u-1"),
        ("r-1", "u-1"),
        (None, None),
    ]


def test_a_level_silences_what_is_below_it(output: Output) -> None:
    _configure(log_level="WARNING")
    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")
    access_log(settings(environment="production", log_level="WARNING"))(path="/quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in _lines(output)] == ["loud"]


def _access(**values: Any) -> None:
    fields = {"method": "GET", "path": "/api/tasks", "status": 200, "duration_ms": 1.5, "client": "1.2.3.4"}
    access_log(settings(environment="production"))(**(fields | {"request_id": "r", "user_id": None} | values))


def test_the_access_line_is_json_whatever_the_path(output: Output) -> None:
    _configure()
    for path in ("/api/tasks", '/"quoted"\\', "/line\nbreak\r\x1b[31m", "/日本\ud800", "/" + "x" * 1000):
        _access(path=path)
    lines = _lines(output)
    assert [line["path"] for line in lines][:2] == ["/api/tasks", '/"quoted"\\']
    assert lines[0] | {"timestamp": ""} == {
        "event": "request", "level": "info", "timestamp": "", "method": "GET", "path": "/api/tasks", "status": 200,
        "duration_ms": 1.5, "client": "1.2.3.4", "request_id": "r", "user_id": None,
    }  # fmt: skip
    assert all(c >= " " for c in output.getvalue().replace("\n", ""))


def test_the_access_line_masks_tokens_in_paths(output: Output) -> None:
    _configure()
    for path in (f"/api/tokens/{API_TOKEN}", "/verify/token=abcdefgh", f"/x/{SECRET}"):
        _access(path=path)
    text = output.getvalue()
    assert not any(secret in text for secret in (API_TOKEN, "abcdefgh", SECRET))


def test_development_gets_lines_for_people(output: Output) -> None:
    _configure(environment="development")
    structlog.get_logger().info("started", port=8000)
    access_log(settings(environment="development"))(path="/api/tasks", status=200)
    first, second = output.getvalue().splitlines()
    assert "started" in first
    assert "port=8000" in first
    assert "path=/api/tasks" in second
    with pytest.raises(json.JSONDecodeError):
        json.loads(first)


def test_configuring_twice_writes_each_line_once(output: Output) -> None:
    _configure()
    _configure()
    logging.getLogger("library").warning("once")
    assert len(_lines(output)) == 1

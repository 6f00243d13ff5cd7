"""Logs: a console for people in development, one JSON object a line elsewhere; on stderr either way.

structlog's loggers and the standard library's (uvicorn, SQLAlchemy, Alembic) end in the same place. Every line passes
`mask` as text when it is complete, so a secret is caught wherever it hides: in a message, a value or a traceback.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor

from tandem.core.settings import DEVELOPMENT_SECRET, Settings

MASK = "[masked]"
MIN_KNOWN_SECRET = 8  # characters; a shorter value would mask ordinary words

# The ASGI scope of the request being answered. Its request id goes into every line logged meanwhile.
current_scope: ContextVar[MutableMapping[str, Any] | None] = ContextVar("current_scope", default=None)

_QUOTE = r"""(?:\\?["'])"""  # a line may hold JSON inside JSON
_TEXT_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Database URLs first and greedily: their passwords may hold @ and /.
    (re.compile(r"(?i)\b((?:postgres|redis|amqp|mysql)[a-z0-9+]*://[^\s:/@]*):[^\s\"'\\]*@"), rf"\1:{MASK}@"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@\"']*):[^\s/@\"'\\]+@"), rf"\1:{MASK}@"),
    (
        re.compile(rf"(?i)((?:authorization|cookie){_QUOTE}?\s*[:=,]\s*b?{_QUOTE}?)[^\"'\\\r\n]+"),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[\w.~+/=%-]{6,}"), rf"\1\2{MASK}"),
    (re.compile(r"\btdm_[\w-]{6,}"), f"tdm_{MASK}"),
    (
        re.compile(
            rf"(?i)((?:password|passwd|passphrase|secret|token|api_?key|dsn)[\w-]*{_QUOTE}?\s*[:=]\s*b?{_QUOTE}?)"
            rf"(?!{re.escape(MASK)})[^\s\"'\\,;&)}}\]]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(\binput_value=).*?(, input_type=)"), rf"\1{MASK}\2"),  # pydantic's messages quote their input
)
_SECRET_KEY = re.compile(r"(?i)password|passwd|passphrase|secret|token|authorization|cookie|api_?key|dsn|database_url")
_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "gunicorn", "gunicorn.error")
_SERVER_ACCESS = ("uvicorn.access", "gunicorn.access")  # ours says the same and the request id

_QUIET = ("httpx2", "httpcore2", "httpx", "httpcore")  # their INFO lines quote whole URLs

_HARMLESS_PATH = re.compile(r"[A-Za-z0-9/._-]*")  # no rule but that of our own tokens can match these characters
_quoted = json.encoder.encode_basestring_ascii

_known_secrets: re.Pattern[str] | None = None


def mask(text: str) -> str:
    """The text without passwords, tokens, cookies and the values of this process's secret settings."""
    if _known_secrets is not None:
        text = _known_secrets.sub(MASK, text)
    for pattern, replacement in _TEXT_RULES:
        text = pattern.sub(replacement, text)
    return text


def configure_logging(settings: Settings) -> None:
    """Send every logger of the process through one pipeline. May be called again; the last call wins."""
    global _known_secrets  # noqa: PLW0603 - there is one stderr, so one configuration a process
    _known_secrets = _pattern_of(_secrets_of(settings))
    level = getattr(logging, settings.log_level)
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_request,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _mask_values_of_secret_keys,
    ]
    ending: list[Processor] = [_renderer(settings), _mask_line]
    structlog.configure(
        processors=[*common, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=_STDERR),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_name_logger, *common],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        keep_exc_info=False,
    )
    _route_standard_library(formatter, level)


def access_log(settings: Settings) -> Callable[..., None]:
    """The function that logs one answered request; does nothing when LOG_LEVEL is above INFO.

    JSON lines are put together by hand: one is written for every request, and its text comes from us but for the path.
    """
    if getattr(logging, settings.log_level) > logging.INFO:
        return lambda **_fields: None
    if _for_people(settings):
        return lambda **fields: structlog.get_logger().info("request", **fields)
    return _write_access_line


def _write_access_line(
    *, method: str, path: str, status: int, duration_ms: float, client: str | None, request_id: str, user_id: str | None
) -> None:
    if not _HARMLESS_PATH.fullmatch(path) or "tdm_" in path or (_known_secrets and _known_secrets.search(path)):
        path = mask(path)
    sys.stderr.write(
        f'{{"event": "request", "level": "info", "timestamp": "{datetime.now(UTC).isoformat()}"'
        f', "method": {_quoted(method)}, "path": {_quoted(path)}, "status": {status}, "duration_ms": {duration_ms}'
        f', "client": {_quoted(client) if client else "null"}, "request_id": {_quoted(request_id)}'
        f', "user_id": {_quoted(user_id) if user_id else "null"}}}\n'
    )


class _Stderr:
    """Whatever `sys.stderr` is at the time of writing."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


_STDERR: Any = _Stderr()


class _TandemHandler(logging.StreamHandler[Any]):
    """Ours, recognisable among the root logger's handlers."""


def _route_standard_library(formatter: logging.Formatter, level: int) -> None:
    handler = _TandemHandler(_STDERR)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _TandemHandler)] + [handler]
    root.setLevel(level)
    for name in _SERVERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name in _SERVER_ACCESS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], False
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)


def _for_people(settings: Settings) -> bool:
    return settings.environment in {"development", "test"}


def _renderer(settings: Settings) -> Processor:
    if not _for_people(settings):
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _add_request(_logger: Any, _method: str, event: EventDict) -> EventDict:
    scope = current_scope.get()
    if scope is not None:
        event.setdefault("request_id", scope.get("tandem.request_id"))
        if (user_id := scope.get("tandem.user_id")) is not None:
            event.setdefault("user_id", user_id)
    return event


def _name_logger(_logger: Any, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    return event


def _mask_values_of_secret_keys(_logger: Any, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if _SECRET_KEY.search(key) and key not in {"event", "exception"} and value is not None:
            event[key] = MASK
        elif isinstance(value, dict):
            event[key] = _masked_copy(value)
    return event


def _masked_copy(values: dict[Any, Any]) -> dict[Any, Any]:
    return {
        k: MASK if _SECRET_KEY.search(str(k)) else _masked_copy(v) if isinstance(v, dict) else v
        for k, v in values.items()
    }


def _mask_line(_logger: Any, _method: str, line: Any) -> str:
    return mask(str(line))


def _secrets_of(settings: Settings) -> Iterable[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
    for url in (settings.database_url, settings.direct_database_url, settings.redis_url):
        if url is not None and (found := re.search(r"://[^:/]*:(.+)@", url.get_secret_value())):
            yield found[1]


def _pattern_of(secrets: Iterable[str]) -> re.Pattern[str] | None:
    known = {s for s in secrets if len(s) >= MIN_KNOWN_SECRET and s != DEVELOPMENT_SECRET}
    # As written, and as JSON would write it inside a line.
    known |= {json.dumps(s)[1:-1] for s in known}
    return re.compile("|".join(re.escape(s) for s in sorted(known, key=len, reverse=True))) if known else None

"""From any exception to the Problem that answers it, and from a Problem to its bytes."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, EmulatedDBAPIException
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tandem.core.errors import (
    MEDIA_TYPE,
    BadRequest,
    Conflict,
    ContentTooLarge,
    DatabaseUnavailable,
    Forbidden,
    InternalError,
    InvalidPayload,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    PoolExhausted,
    PreconditionFailed,
    Problem,
    StatementTimeout,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from tandem.core.requests import dotted

MAX_ERRORS = 50  # reported of one request
MAX_MESSAGE = 300  # characters
_LENGTHS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}

_BY_STATUS: dict[int, type[Problem]] = {
    cls.status: cls
    for cls in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        PreconditionFailed,
        ContentTooLarge,
        UnsupportedMediaType,
        InvalidPayload,
        TooManyRequests,
        Unavailable,
    )
}

# SQLSTATE codes and classes, https://www.postgresql.org/docs/current/errcodes-appendix.html
_STATEMENT_TIMEOUT = "57014"
_RETRY = {"40001", "40P01", "55P03", "25P03", "25P04"}  # serialization, deadlock, lock and transaction time-outs
_UNREACHABLE_CLASSES = {"08", "28", "53", "58"}  # connection, authorization, resources, the server's system
_UNREACHABLE = {
    "57P01",
    "57P02",
    "57P03",
    "57P04",
    "57P05",
    "3D000",
    "25006",
}  # shutting down, no such database, read-only


def problem_of(error: Exception) -> Problem:
    """What to answer; InternalError for all that nobody foresaw."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors())
    if isinstance(error, HTTPException):
        return _of_status(error)
    return _of_database(error) or InternalError()


def respond(problem: Problem, request_id: str | None) -> Response:
    """`application/problem+json`. ASCII only, so that no text a client sent can fail to encode."""
    body = json.dumps(problem.body(request_id), default=str).encode()
    headers = dict(problem.headers)
    if problem.status == 413:
        headers["Connection"] = "close"  # the rest of the body is not worth receiving
    return Response(body, problem.status, headers, MEDIA_TYPE)


def _of_status(error: HTTPException) -> Problem:
    fallback = InternalError if error.status_code >= 500 else BadRequest
    cls = _BY_STATUS.get(error.status_code, fallback)
    standard_phrase = isinstance(error.detail, str) and error.detail in {
        "Not Found",
        "Method Not Allowed",
        "Content Too Large",
    }
    detail = None if standard_phrase or cls is InternalError else str(error.detail)
    problem = cls(detail)
    problem.headers.update(error.headers or {})
    return problem


def _invalid(errors: Sequence[Any]) -> Problem:
    if any(e["type"] == "json_invalid" for e in errors):
        return MalformedJson()
    reported = [
        {"field": _field(e["loc"]), "message": _message(e["msg"]), "code": e["type"]}
        for e in map(_of_characters, errors[:MAX_ERRORS])
    ]
    if len(reported) == 1:
        detail = f"{reported[0]['field']}: {reported[0]['message']}"
    else:
        detail = f"{len(errors)} fields are not valid: {', '.join(_distinct(r['field'] for r in reported))}"
    return InvalidPayload(detail, errors=reported)


def _field(loc: Sequence[int | str]) -> str:
    """The dotted path without where it was (`body`, `query`, …), unless there is nothing else."""
    return dotted(tuple(loc[1:])) or dotted(tuple(loc))


def _of_characters(error: Any) -> Any:
    """A text's limit that stands behind another check: pydantic then calls its characters items."""
    if error["type"] not in _LENGTHS or not isinstance(error.get("input"), str):
        return error
    bound, limit = _LENGTHS[error["type"]]
    number = error["ctx"][limit]
    message = f"String should have {bound} {number} character{'' if number == 1 else 's'}"
    return {**error, "type": f"string_{error['type']}", "msg": message}


def _message(text: str) -> str:
    return text.removeprefix("Value error, ").removeprefix("Assertion failed, ")[:MAX_MESSAGE]


def _distinct(fields: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(fields))[:10]


def _of_database(error: Exception) -> Problem | None:
    if isinstance(error, PoolTimeoutError):
        return PoolExhausted(retry_after=1)
    # SQLAlchemy's class of the driver adapter's class of asyncpg's own, or any of them by itself.
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, EmulatedDBAPIException) and cause.__cause__ is not None:
        cause = cause.__cause__
    state = getattr(cause, "sqlstate", None)
    if isinstance(cause, asyncpg.PostgresError) and isinstance(state, str):
        return _of_sqlstate(state)
    if isinstance(cause, asyncpg.InterfaceError):
        # "connection is closed" is the server's doing; "another operation is in progress" is a bug of ours.
        return DatabaseUnavailable() if "clos" in str(cause) else None
    if isinstance(cause, OSError | EOFError) and _raised_by_the_driver(cause):  # TimeoutError is an OSError
        return DatabaseUnavailable()
    return None


def _of_sqlstate(state: str) -> Problem | None:
    if state == _STATEMENT_TIMEOUT:
        return StatementTimeout()
    if state in _RETRY:
        return Unavailable("Another change got in the way; try again", retry_after=1)
    if state in _UNREACHABLE or state[:2] in _UNREACHABLE_CLASSES:
        return DatabaseUnavailable()
    return None


def _raised_by_the_driver(error: BaseException) -> bool:
    """An OSError is the database's when asyncpg or SQLAlchemy was at work, and a bug otherwise."""
    frame = error.__traceback__
    while frame is not None:
        if str(frame.tb_frame.f_globals.get("__name__", "")).startswith(("asyncpg.", "sqlalchemy.")):
            return True
        frame = frame.tb_next
    return False

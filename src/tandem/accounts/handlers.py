"""How errors look under /api/auth: in better-auth's shape there, as Problems everywhere else."""

from collections.abc import Callable, Mapping

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse, Response

from tandem.accounts.errors import AuthError
from tandem.accounts.routes import PREFIX
from tandem.core.errors import (
    BadRequest,
    InvalidPayload,
    MalformedJson,
    Problem,
    TooManyRequests,
    Unauthorized,
)
from tandem.core.problems import problem_of, respond
from tandem.core.settings import Settings

Handler = Callable[[Request, Exception], Response]


def exception_handlers() -> Mapping[type[Exception], Handler]:
    """For create_app's `exception_handlers`."""
    return {AuthError: answer, Problem: answer, RequestValidationError: answer}


def answer(request: Request, error: Exception) -> Response:
    if isinstance(error, AuthError):
        return _answer(error)
    problem = problem_of(error)
    if problem.status >= 500 or not _is_ours(request):
        return respond(problem, request.scope.get("tandem.request_id"))
    if isinstance(error, RequestValidationError):
        return _answer(_validation_error(problem, error.errors()[0]["loc"][0]))
    return _answer(_translated(problem))


def _is_ours(request: Request) -> bool:
    settings: Settings = request.app.state.settings
    return settings.auth_builtin and request.scope["path"].startswith(f"{PREFIX}/")


def _answer(error: AuthError) -> Response:
    # ASCII only, so that no text a client sent can fail to encode.
    return JSONResponse({"message": error.message, "code": error.code}, error.status, error.headers)


def _translated(problem: Problem) -> AuthError:
    if isinstance(problem, MalformedJson | InvalidPayload):
        return AuthError(400, "VALIDATION_ERROR", f"[body] {problem.detail}")
    if isinstance(problem, TooManyRequests):
        wait = problem.headers["Retry-After"]
        message = "Too many requests. Please try again later."
        return AuthError(429, "TOO_MANY_REQUESTS", message, problem.headers | {"X-Retry-After": wait})
    if isinstance(problem, Unauthorized):
        return AuthError(401, "UNAUTHORIZED", "Unauthorized")
    code = "BAD_REQUEST" if isinstance(problem, BadRequest) else problem.code.upper()
    return AuthError(problem.status, code, problem.detail, problem.headers)


def _validation_error(problem: Problem, where: int | str) -> AuthError:
    faults = problem.extra.get("errors", [])
    parts = [
        f"[{where}.{f['field']}] {f['message']}" if f["field"] != where else f"[{where}] {f['message']}" for f in faults
    ]
    return AuthError(400, "VALIDATION_ERROR", "; ".join(parts) or f"[{where}] {problem.detail}")

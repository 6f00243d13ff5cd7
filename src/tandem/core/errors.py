"""The error tree, and its one shape on the wire (RFC 9457, `application/problem+json`).

    Problem
    ├── BadRequest 400          malformed_request, malformed_json, invalid_cursor …
    ├── Unauthorized 401        unauthorized
    ├── Forbidden 403           forbidden, insufficient_scope …
    ├── NotFound 404            not_found
    ├── MethodNotAllowed 405    method_not_allowed
    ├── Conflict 409            conflict …
    ├── PreconditionFailed 412  precondition_failed
    ├── ContentTooLarge 413     content_too_large
    ├── UnsupportedMediaType 415
    ├── InvalidPayload 422      invalid_payload: the shape of the input only, with `errors[{field,message,code}]`
    ├── TooManyRequests 429     rate_limited
    ├── InternalError 500       internal_error: always a bug
    └── Unavailable 503         unavailable, database_unavailable, pool_exhausted …

A feature that needs its own code subclasses one of these. `code` is stable and documented in docs/errors.md (a test
holds the two together); `detail` is for people and may change.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An error with a fixed status and code. `extra` members are added to the body, `headers` to the response."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self, request_id: str | None) -> dict[str, Any]:
        return {
            "type": f"urn:tandem:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **self.extra,
        }


class BadRequest(Problem):
    status, code, title = 400, "malformed_request", "The request could not be read"


class MalformedJson(BadRequest):
    code, title = "malformed_json", "The body is not valid JSON"


class CorsRefused(BadRequest):
    code, title = "cors_refused", "A browser may not send this request from that origin"


class Unauthorized(Problem):
    status, code, title = 401, "unauthorized", "Sign in first"

    def __init__(self, detail: str | None = None, **kwargs: Any) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"}, **kwargs)


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "You may not do this"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is nothing here"


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "This method is not supported here"


class Conflict(Problem):
    status, code, title = 409, "conflict", "The request conflicts with the current state"


class PreconditionFailed(Problem):
    status, code, title = 412, "precondition_failed", "The resource has changed since you read it"


class ContentTooLarge(Problem):
    status, code, title = 413, "content_too_large", "The request body is too large"


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "Send JSON with Content-Type: application/json"


class InvalidPayload(Problem):
    """`errors` is a list of {field, message, code}; `field` is a dotted path, as in `labels.0`."""

    status, code, title = 422, "invalid_payload", "Some fields are not valid"

    @classmethod
    def of(cls, field: str, message: str, code: str) -> "InvalidPayload":
        return cls(f"{field}: {message}", errors=[{"field": field, "message": message, "code": code}])


class IdempotencyKeyReused(InvalidPayload):
    code, title = "idempotency_key_reused", "This Idempotency-Key was used for another request"


class IdempotencyKeyInUse(Conflict):
    code, title = "idempotency_key_in_use", "A request with this Idempotency-Key has not been answered yet"


class TooManyRequests(Problem):
    status, code, title = 429, "rate_limited", "Too many requests"


class InternalError(Problem):
    pass


class Unavailable(Problem):
    status, code, title = 503, "unavailable", "The service cannot answer right now"

    def __init__(self, detail: str | None = None, *, retry_after: int = 2, **kwargs: Any) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)}, **kwargs)


class DatabaseUnavailable(Unavailable):
    code, title = "database_unavailable", "The database cannot be reached"


class PoolExhausted(Unavailable):
    code, title = "pool_exhausted", "All database connections are busy"


class StatementTimeout(Unavailable):
    code, title = "statement_timeout", "The database took too long"


def all_problems(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Every error class that is imported, root first; for the documentation test and the OpenAPI document."""
    yield root
    for sub in root.__subclasses__():
        yield from all_problems(sub)

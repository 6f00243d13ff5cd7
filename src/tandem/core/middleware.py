"""The edge of every request, in one pure-ASGI layer.

In order: who really called (trusted proxies), the request id, then CORS, the body limit and the application; on the
way out the headers every response carries, and when all is over one access log line. One layer because each further
one costs a call and a wrapped `send` per message, and because an error must leave with the same headers as the rest.
"""

import inspect
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from secrets import token_hex
from typing import Any, Final

import structlog
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tandem.core import metrics, sentry
from tandem.core.errors import ContentTooLarge, CorsRefused, Problem, Unavailable
from tandem.core.log import access_log, current_scope
from tandem.core.problems import problem_of, respond
from tandem.core.proxies import TrustedProxies
from tandem.core.requests import refuse_unreadable_address
from tandem.core.settings import Settings

ExceptionHandler = Callable[[Request, Any], Response | Awaitable[Response]]

CLIENT_CLOSED_REQUEST = 499  # nginx's number for a client that left before its answer
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID", "X-Request-ID",
)  # fmt: skip
RESPONSE_HEADERS = (
    "X-Total-Count", "X-Page-Number", "RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining",
    "X-RateLimit-Reset", "Retry-After", "ETag", "Location", "X-Request-ID", "Content-Disposition", "set-auth-token",
)  # fmt: skip

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_DOCS: Final = ("/docs", "/redoc", "/docs/oauth2-redirect")
_DOCS_CSP = (
    "default-src 'none'; connect-src 'self'; script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; "
    "style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    "font-src https://fonts.gstatic.com; img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly; "
    "worker-src blob:; frame-ancestors 'none'"
)
_log = structlog.get_logger("tandem.edge")


class Edge:
    """The outermost ASGI application.

    `body_limits` maps a path to the bytes it accepts where that is not `settings.max_body_bytes`; `handlers` render
    exceptions of a class and of its subclasses in their own way.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        handlers: Mapping[type[Exception], ExceptionHandler],
        body_limits: Mapping[str, int],
    ) -> None:
        self.app = app
        self.handlers = handlers
        self.body_limit = settings.max_body_bytes
        self.body_limits = body_limits
        self.log_access = access_log(settings)
        self.proxies = TrustedProxies(settings.forwarded_allow_ips)
        self.headers = _security_headers("default-src 'none'; frame-ancestors 'none'", settings)
        self.docs_headers = _security_headers(_DOCS_CSP, settings)
        self.cors = _Cors(
            self.answer,
            allow_origins=settings.origins,
            allow_credentials=True,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        metrics.began()
        path: str = scope["path"]
        if path[-1:] == "/" and len(path) > 1:  # the same resource, without a redirect that loses the body
            scope["path"] = path.rstrip("/") or "/"
        origin, streamed = self.read_headers(scope)
        exchange = Exchange(self, scope, send)
        scope["tandem.exchange"] = exchange
        token = current_scope.set(scope)
        if streamed:
            receive = _limited(receive, self.limit_for(scope))
        try:
            if origin:
                await self.cors(scope, receive, exchange.send)
            else:
                await self.answer(scope, receive, exchange.send)
        finally:
            self.finish(scope, exchange, time.perf_counter() - began)
            current_scope.reset(token)

    def read_headers(self, scope: Scope) -> tuple[bool, bool]:
        """One pass over the request's headers; says whether it has an Origin and a body of unannounced length."""
        request_id = None
        origin = streamed = False
        forwarded_for: list[bytes] | None = None
        forwarded_proto = b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                scope["tandem.content_length"] = value
            elif name == b"x-request-id":
                if _REQUEST_ID.fullmatch(value):
                    request_id = value
            elif name == b"origin":
                origin = True
            elif name == b"transfer-encoding":
                streamed = True
            elif name == b"x-forwarded-for":
                forwarded_for = [*(forwarded_for or ()), value]
            elif name == b"x-forwarded-proto":
                forwarded_proto = value
        if forwarded_for or forwarded_proto:
            self.proxies.resolve(scope, forwarded_for or [], forwarded_proto)
        scope["tandem.request_id"] = request_id.decode() if request_id else token_hex(16)
        return origin, streamed

    def limit_for(self, scope: Scope) -> int:
        return self.body_limits.get(scope["path"], self.body_limit) if self.body_limits else self.body_limit

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; whatever it raises becomes a response or, where one has begun, a closed connection."""
        try:
            length = scope.get("tandem.content_length")
            if length is not None and _as_int(length) > self.limit_for(scope):
                raise ContentTooLarge(_too_large(self.limit_for(scope)))
            refuse_unreadable_address(scope)
            await self.app(scope, receive, send)
        except ClientDisconnect:
            pass
        except Exception as error:
            await self.explain(error, scope, receive, send)

    async def explain(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["tandem.exchange"]
        if exchange.status:  # too late for another answer: the server closes the connection of an unfinished one
            _log.error("response_broken", path=scope["path"], exc_info=error)
            _report(error, scope)
            return
        answered: Exception = error
        handler = self.handler_of(error)
        if handler is None:
            answered = problem = problem_of(error)
            self.log_problem(problem, error, scope)
            handler = self.handler_of(problem) or _respond
        made = handler(Request(scope, receive), answered)
        response = await made if inspect.isawaitable(made) else made
        await response(scope, receive, send)
        error.__traceback__ = None  # frames of a request must not outlive it

    def handler_of(self, error: Exception) -> ExceptionHandler | None:
        return next((handler for cls in type(error).__mro__ if (handler := self.handlers.get(cls))), None)

    def log_problem(self, problem: Problem, error: Exception, scope: Scope) -> None:
        if problem.status == 500:
            _log.error("unhandled_exception", method=scope["method"], path=scope["path"], exc_info=error)
            _report(error, scope)
        elif isinstance(problem, Unavailable) and error is not problem:
            _log.warning(problem.code, path=scope["path"], reason=f"{type(error).__name__}: {error}"[:500])

    def finish(self, scope: Scope, exchange: "Exchange", seconds: float) -> None:
        status = exchange.status or CLIENT_CLOSED_REQUEST
        client = scope.get("client")
        self.log_access(
            method=scope["method"],
            path=scope["path"][:1000],
            status=status,
            duration_ms=round(seconds * 1000, 2),
            client=client[0] if client else None,
            request_id=scope["tandem.request_id"],
            user_id=scope.get("tandem.user_id"),
        )
        metrics.ended()
        metrics.observe(scope["method"], scope.get("tandem.template"), status, seconds)


class Exchange:
    """The response of one request on its way out. `status` is 0 until it begins."""

    __slots__ = ("downstream", "edge", "scope", "status")

    def __init__(self, edge: Edge, scope: Scope, downstream: Send) -> None:
        self.edge, self.scope, self.downstream = edge, scope, downstream
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self.with_ours(message.get("headers", ()))
        await self.downstream(message)

    def with_ours(self, theirs: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """A new list, because a response object that is sent twice must not collect headers."""
        scope, path = self.scope, self.scope["path"]
        headers = list(theirs)
        if path.startswith("/api") and not any(name == b"cache-control" for name, _ in headers):
            headers.append((b"cache-control", b"no-store"))
        headers.append((b"x-request-id", scope["tandem.request_id"].encode()))
        if not any(name == b"vary" for name, _ in headers):
            headers.append((b"vary", b"Origin"))
        ours = self.edge.docs_headers if path in _DOCS else self.edge.headers
        if any(name == b"content-security-policy" for name, _ in headers):  # a page says itself what it may load
            ours = [(name, value) for name, value in ours if name != b"content-security-policy"]
        headers += ours
        for name, value in scope.get("tandem.headers", {}).items():
            headers.append((name.lower().encode("latin-1"), str(value).encode("latin-1")))
        return headers


class _Cors(CORSMiddleware):
    """Starlette's, but a refused preflight is a Problem like every other refusal."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        scope = current_scope.get() or {}
        return respond(CorsRefused(bytes(response.body).decode(), headers=headers), scope.get("tandem.request_id"))


def _respond(request: Request, problem: Any) -> Response:
    return respond(problem, request.scope["tandem.request_id"])


def _limited(receive: Receive, limit: int) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > limit:
                raise ContentTooLarge(_too_large(limit))
        return message

    return counted


def _too_large(limit: int) -> str:
    return f"The body may be at most {limit} bytes"


def _as_int(digits: bytes) -> int:
    return int(digits) if digits.isdigit() and len(digits) < 20 else sys.maxsize


def _security_headers(policy: str, settings: Settings) -> list[tuple[bytes, bytes]]:
    headers = {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "content-security-policy": policy,
    }
    if settings.deployed:
        headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _report(error: Exception, scope: Scope) -> None:
    sentry.capture(
        error, request_id=scope["tandem.request_id"], method=scope["method"], route=scope.get("tandem.template")
    )

"""`create_app`: the frame around a service's routers.

    app = create_app(settings, title="Momentum", description="…", routers=[tasks.router, projects.router])

`app.state` holds `settings` and `leaving`, and while the application runs `database`, `limiter`, `health` and
`sampler`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from tandem.core import analytics, health, metrics, sentry, telemetry
from tandem.core.analytics import Events
from tandem.core.db import Database
from tandem.core.development_database import development_database
from tandem.core.dispatch import Dispatcher, Gate
from tandem.core.health import Health
from tandem.core.leaving import Leaving, on_leaving
from tandem.core.log import configure_logging
from tandem.core.metrics import Sampler
from tandem.core.middleware import Edge, ExceptionHandler
from tandem.core.openapi import build_openapi
from tandem.core.query_models import read_query_ourselves
from tandem.core.ratelimit import Limiter
from tandem.core.settings import Settings
from tandem.core.status.report import StatusReport
from tandem.core.status.routes import router as status_router
from tandem.core.status.sampling import StatusSampler

Running = Callable[[FastAPI], AbstractAsyncContextManager[None]]
"""Something a service keeps going between start and stop. Entered once `app.state` is complete."""


def create_app(
    settings: Settings,
    *,
    title: str,
    description: str,
    routers: Sequence[APIRouter],
    body_limits: Mapping[str, int] | None = None,
    exception_handlers: Mapping[type[Exception], ExceptionHandler] | None = None,
    running: Sequence[Running] = (),
    gate: Gate | None = None,
    events: Events | None = None,
) -> FastAPI:
    """The application of one service. Configures the logging of the process.

    `body_limits` gives paths their own number of bytes, and `gate` is asked before such a body is read;
    `exception_handlers` answer exceptions whose errors do not have the shape of a Problem; `events` are the product
    events of routes, where those are sent.
    """
    configure_logging(settings)
    app = _Application(
        settings,
        title=title,
        description=description,
        version=settings.app_version,
        lifespan=_lifespan(settings, running),
        docs_url="/docs" if settings.docs_enabled else None,
        redoc_url="/redoc" if settings.docs_enabled else None,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.body_limits, app.gate = dict(body_limits or {}), gate
    app.handlers, app.events = dict(exception_handlers or {}), dict(events or {})
    app.state.settings, app.state.leaving = settings, app.leaving
    status = [status_router] if settings.status_page else []
    for router in (health.router, metrics.router, *status, *routers):
        _include(app, router)
    return app


class _Application(FastAPI):
    """FastAPI with our middleware instead of its five layers, and our OpenAPI document."""

    def __init__(self, settings: Settings, **kwargs: Any) -> None:
        self.settings, self.leaving = settings, Leaving()
        self.body_limits: dict[str, int] = {}
        self.gate: Gate | None = None
        self.handlers: dict[type[Exception], ExceptionHandler] = {}
        self.events: Events = {}
        super().__init__(**kwargs)

    def build_middleware_stack(self) -> ASGIApp:
        dispatcher = Dispatcher(self.router, gate=self.gate, gated=self.body_limits)
        inner = AsyncExitStackMiddleware(dispatcher)  # FastAPI's routes insist on it
        return Edge(
            inner,
            self.settings,
            self.leaving,
            handlers=self.handlers,
            body_limits=self.body_limits,
            events=self.events,
        )

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = build_openapi(self)
        return self.openapi_schema


def _include(app: FastAPI, router: APIRouter) -> None:
    """Take over the routes themselves: an included router is searched twice for every request.

    Raises TypeError for a nested router, whose bodies and queries would not be read by our rules.
    """
    for route in router.routes:
        if not isinstance(route, APIRoute):
            raise TypeError(f"{route!r} is not a route; give create_app every router by itself")
        read_query_ourselves(route)
    app.router.routes.extend(router.routes)


def _lifespan(settings: Settings, running: Sequence[Running]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Nothing here waits for the database: without it the service starts, says so in /health and answers 503."""
        _warn(settings)
        sentry.start(settings)
        telemetry.start(settings)
        async with AsyncExitStack() as stack:
            for part_stop in (sentry.stop, telemetry.stop):
                stack.push_async_callback(asyncio.to_thread, part_stop)
            await stack.enter_async_context(analytics.running(settings))
            where = settings.database
            if where is None:
                where = await stack.enter_async_context(development_database(settings))
            app.state.database = database = Database(settings, where)
            stack.push_async_callback(database.close)
            app.state.limiter = limiter = Limiter(settings)
            app.state.health = health_checks = Health(settings, database, limiter, app.state.leaving)
            app.state.sampler = sampler = Sampler(settings, database)
            for part in (limiter, health_checks):
                await part.start()
                stack.push_async_callback(part.close)
            sampler.start()
            stack.push_async_callback(sampler.close)
            if settings.status_page:
                await stack.enter_async_context(_status(app))
            stack.enter_context(on_leaving(app.state.leaving.begin, delay=settings.shutdown_delay))
            for keep_going in running:
                await stack.enter_async_context(keep_going(app))
            yield

    return lifespan


@asynccontextmanager
async def _status(app: FastAPI) -> AsyncIterator[None]:
    database, health_checks, limiter = app.state.database, app.state.health, app.state.limiter
    streams = {route.path for route in app.routes if isinstance(route, APIRoute) and _streams(route)}
    sampler = StatusSampler(database, health_checks, limiter, streams)
    app.state.status = report = StatusReport(app.title, database, health_checks, limiter)
    sampler.start()
    try:
        yield
    finally:
        await sampler.close()
        await report.close()


def _streams(route: APIRoute) -> bool:
    return getattr(route.response_class, "media_type", None) == "text/event-stream"


def _warn(settings: Settings) -> None:
    if settings.deployed and "*" in settings.forwarded_allow_ips:
        structlog.get_logger(__name__).warning(
            "any_peer_is_a_proxy",
            remedy="FORWARDED_ALLOW_IPS=* believes the X-Forwarded-For of anyone: name your proxies' networks",
        )

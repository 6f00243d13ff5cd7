"""A worker's own little HTTP server: /health, /health/live and /metrics, for whoever restarts and watches it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import prometheus_client
import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from starlette.responses import JSONResponse

from tandem.core import metrics
from tandem.core.errors import Problem
from tandem.core.health_token import require_health_token
from tandem.core.jobs.worker import Worker
from tandem.core.settings import Settings

NO_STORE = {"Cache-Control": "no-store"}


@asynccontextmanager
async def health_server(worker: Worker, settings: Settings, *, host: str, port: int) -> AsyncIterator[None]:
    """Answers while the block lasts. Raises OSError when the port is taken."""
    config = uvicorn.Config(
        health_app(worker, settings), host=host, port=port, log_config=None, access_log=False, server_header=False,
        lifespan="off", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Server(config)
    serving = asyncio.create_task(server.serve(), name="worker-health")
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    if serving.done():
        raise OSError(f"could not listen on {host}:{port}")
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The worker's own: a signal drains the jobs first."""
        yield


def health_app(worker: Worker, settings: Settings) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings = settings

    @app.get("/health/live")
    @app.head("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/health")
    @app.head("/health")
    async def health() -> JSONResponse:
        return JSONResponse(report(worker, settings), 200 if worker.connected else 503, NO_STORE)

    @app.get("/metrics", dependencies=[Depends(require_health_token)])
    async def scrape() -> Response:
        text = await asyncio.to_thread(metrics.render)
        return Response(text, media_type=prometheus_client.CONTENT_TYPE_PLAIN_0_0_4, headers=NO_STORE)

    @app.exception_handler(Problem)
    async def problem(_request: Request, error: Problem) -> JSONResponse:
        return JSONResponse(error.body(None), error.status, dict(error.headers) | NO_STORE, "application/problem+json")

    return app


def report(worker: Worker, settings: Settings) -> dict[str, Any]:
    """The services' shape of a health answer, and what the worker is at."""
    depth = worker.upkeep.depth
    return {
        "status": "healthy" if worker.connected else "unhealthy",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "service": worker.service,
        "version": settings.app_version,
        "environment": settings.environment,
        "database": "connected" if worker.connected else "disconnected",
        "jobs": {
            "draining": worker.stop.is_set(),
            "running_here": len(worker.runs),
            "running": depth.total("running"),
            "due": depth.total("due"),
            "delayed": depth.total("delayed"),
            "oldest_due_seconds": round(depth.oldest, 1),
            "workers": depth.workers,
        },
    }

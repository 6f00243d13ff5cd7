"""`tandem serve`: uvicorn with this project's settings, logs and drain."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

from tandem.core.log import configure_logging
from tandem.core.metrics_directory import prepare_multiprocess
from tandem.core.settings import Settings, load_settings
from tandem.ops.database import database_url
from tandem.ops.ports import require_free
from tandem.ops.services import Service
from tandem.ops.target import Progress


def serve(
    service: Service,
    *,
    host: str,
    port: int | None,
    workers: int | None,
    reload: bool,
    with_worker: bool = False,
    on_progress: Progress,
) -> None:
    """Serve until SIGINT or SIGTERM, then for SHUTDOWN_DELAY more, and let what is in flight finish.

    Raises SettingsError, PortError and the errors of the embedded Postgres before anything listens.
    """
    if with_worker:
        os.environ["RUN_WORKER"] = "true"  # for the processes that uvicorn starts, too
    settings = load_settings(service.settings_class)
    chosen = port or settings.port
    processes = 1 if reload else workers or settings.web_concurrency
    require_free(host, chosen, "PORT")
    configure_logging(settings)
    with _terminating_is_leaving(), ready_database(service, settings, on_progress):
        if processes > 1:
            prepare_multiprocess()
        _run_uvicorn(service.app, settings, host=host, port=chosen, workers=processes, reload=reload)


@contextmanager
def ready_database(service: Service, settings: Settings, on_progress: Progress) -> Iterator[None]:
    """DATABASE_URL for this process and its children. The embedded database is migrated; a named one is its owner's."""
    embedded = settings.database_url is None
    with database_url(settings, on_progress) as url:
        if embedded:
            from tandem.ops.migrate import migrate  # with Alembic, 10 MB that a deployed server never needs

            migrate(service, url, on_progress=on_progress)
            os.environ["DATABASE_URL"] = url
        yield


def _run_uvicorn(app: str, settings: Settings, *, host: str, port: int, workers: int, reload: bool) -> None:
    import uvicorn

    from tandem.ops import graceful

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        workers=workers,
        reload=reload,
        reload_dirs=["src"] if reload else None,
        log_config=None,
        access_log=False,  # the frame's own line has the request id
        server_header=False,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )
    graceful.run(config)


@contextmanager
def _terminating_is_leaving() -> Iterator[None]:
    """After its drain uvicorn raises the signal anew; the blocks around it then end in order and the exit code is 0."""

    def leave(_number: int, _frame: FrameType | None) -> Never:
        raise SystemExit(0)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

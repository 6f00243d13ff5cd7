"""`tandem worker`: the jobs of one service. Any number of workers may run."""

import asyncio
import signal
from contextlib import AsyncExitStack

from tandem.core import analytics, sentry, telemetry
from tandem.core.jobs.health import health_server
from tandem.core.jobs.options import Options
from tandem.core.jobs.registry import Jobs
from tandem.core.jobs.worker import Worker, working
from tandem.core.log import configure_logging
from tandem.core.settings import Settings, load_settings
from tandem.ops.ports import require_free
from tandem.ops.serve import ready_database
from tandem.ops.services import Service
from tandem.ops.target import Progress


def run(service: Service, *, once: bool, health_host: str, health_port: int | None, on_progress: Progress) -> None:
    """The worker of one service until SIGINT or SIGTERM.

    Raises SettingsError, WorkerError, PortError and the errors of the embedded Postgres.
    """
    settings = load_settings(service.settings_class)
    configure_logging(settings)
    if health_port is not None:
        require_free(health_host, health_port, "--health-port")
    with ready_database(service, settings, on_progress):
        settings = load_settings(service.settings_class)
        health = None if health_port is None else (health_host, health_port)
        asyncio.run(work(settings, service.jobs, once=once, health=health))


async def work(
    settings: Settings,
    jobs: Jobs,
    *,
    once: bool = False,
    health: tuple[str, int] | None = None,
    options: Options | None = None,
) -> None:
    """Until a signal; a second one does not wait for the jobs that run. Drains before it returns."""
    stop, workers = asyncio.Event(), list[Worker]()

    def leave() -> None:
        if stop.is_set():
            for worker in workers:
                worker.runs.give_back()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leave)
    sentry.start(settings)
    telemetry.start(settings, service=jobs.service)
    async with AsyncExitStack() as stack:
        for part_stop in (sentry.stop, telemetry.stop):
            stack.push_async_callback(asyncio.to_thread, part_stop)
        await stack.enter_async_context(analytics.running(settings, service=jobs.service))
        worker = await stack.enter_async_context(working(settings, jobs, stop=stop, options=options, once=once))
        workers.append(worker)
        if health is not None:
            await stack.enter_async_context(health_server(worker, settings, host=health[0], port=health[1]))
        await stop.wait()

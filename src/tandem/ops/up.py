"""`tandem up`: everything a developer needs, as children of one process that is stopped with Ctrl-C."""

import asyncio
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from tandem.core.development_database import attach
from tandem.core.operator_error import OperatorError
from tandem.core.postgres import EmbeddedPostgres, EmbeddedPostgresError
from tandem.core.settings import Settings, load_settings
from tandem.ops.child import spawn
from tandem.ops.database import embedded_server
from tandem.ops.migrate import migrate
from tandem.ops.ports import chosen_port, require_free
from tandem.ops.services import Service
from tandem.ops.target import Progress

HOST = "127.0.0.1"
READY_DEADLINE = 60.0  # seconds from a server's start to its first healthy answer
AFTER_DRAIN = 5.0  # seconds on top of SHUTDOWN_DELAY and SHUTDOWN_TIMEOUT before a child is killed


class UpError(OperatorError):
    """Tandem could not start, or a part of it ended; the message says which."""


@dataclass
class Child:
    name: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    service: Service
    url: str
    environment: str
    mailbox: str | None = None  # the address of a page


class Stop:
    """Set by SIGINT, SIGTERM or SIGHUP; `now` once the signal came again."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.now = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.now = self.asked.is_set()
        self.asked.set()


@contextmanager
def running(wanted: Sequence[Service], on_progress: Progress) -> Iterator[tuple[list[Running], "Supervisor"]]:
    """Services up, migrated and answering; stopped when the block ends, the servers before their database."""
    supervisor = Supervisor()
    server = None
    try:
        settings = {service.name: load_settings(service.settings_class) for service in wanted}
        _refuse_deployment(settings)
        _refuse_one_database(settings)
        for service in wanted:
            require_free(HOST, chosen_port(service), service.port_variable)
        if any(one.database_url is None for one in settings.values()):
            server = embedded_server()
            _start(server, on_progress)
        services = []
        for service in wanted:
            ours, environment = settings[service.name], dict(os.environ)
            if ours.database_url is None and server is not None:
                server.create_database(ours.database_name)
                environment["DATABASE_URL"] = server.url(ours.database_name)
            on_progress(f"migrating {service.title}")
            _migrate(service, ours, environment.get("DATABASE_URL"), on_progress)
            port = chosen_port(service)
            environment["PORT"] = str(port)  # links in mails name it
            supervisor.start(service, port, environment, ours.shutdown_delay + ours.shutdown_timeout)
            url = f"http://{HOST}:{port}"
            reads_mail = service.mailbox and getattr(ours, "smtp_url", None) is None
            services.append(Running(service, url, ours.environment, f"{url}{service.mailbox}" if reads_mail else None))
        for one in services:
            on_progress(f"waiting for {one.service.title}")
            supervisor.wait_until_healthy(one)
        yield services, supervisor
    finally:
        supervisor.stop()
        if server is not None:
            server.stop()


class Supervisor:
    def __init__(self) -> None:
        self.stopping = Stop()
        self._children: list[Child] = []
        self._patience = AFTER_DRAIN
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.stopping)

    def start(self, service: Service, port: int, environment: dict[str, str], drain: float) -> None:
        """The server and the worker of one service."""
        self._patience = max(self._patience, drain + AFTER_DRAIN)
        serve = ["serve", service.name, "--host", HOST, "--port", str(port), "--workers", "1"]
        for name, arguments in (("server", serve), ("worker", ["worker", service.name])):
            self._children.append(Child(f"{service.title}'s {name}", spawn(arguments, environment)))

    def wait_until_healthy(self, one: Running) -> None:
        """Raises UpError when a child ends or the deadline passes; returns early when asked to stop."""
        deadline = time.monotonic() + READY_DEADLINE
        while not self.stopping.asked.wait(0.1):
            self._raise_for_ended_child()
            if _is_healthy(one.url):
                return
            if time.monotonic() > deadline:
                raise UpError(f"{one.service.title} did not answer at {one.url} in {READY_DEADLINE:.0f} s")

    def watch(self) -> None:
        """Until asked to stop; raises UpError when a child ends before that."""
        while not self.stopping.asked.wait(0.3):
            self._raise_for_ended_child()

    def stop(self) -> None:
        """SIGTERM, patience for the drain, then SIGKILL; a second Ctrl-C ends the patience."""
        for child in self._children:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._patience
        for child in self._children:
            while child.process.poll() is None:
                if self.stopping.now or time.monotonic() > deadline:
                    child.process.kill()
                    child.process.wait()
                time.sleep(0.02)
        self._children.clear()

    def _raise_for_ended_child(self) -> None:
        for child in self._children:
            if (code := child.process.poll()) is not None:
                raise UpError(f"{child.name} ended by itself (exit status {code}); its last lines are above")


def _start(server: EmbeddedPostgres, on_progress: Progress) -> None:
    try:
        server.start(on_progress)
    except EmbeddedPostgresError as error:
        if asyncio.run(attach(server.url("postgres"), "postgres")):
            raise UpError(f"Tandem runs here already: {error}") from None
        raise


def _migrate(service: Service, settings: Settings, url: str | None, on_progress: Progress) -> None:
    named, direct = settings.database_url, settings.direct_database_url
    where = named.get_secret_value() if named else url or ""
    migrate(service, where, direct_url=direct.get_secret_value() if named and direct else None, on_progress=on_progress)


def _refuse_deployment(settings: dict[str, Settings]) -> None:
    for name, one in settings.items():
        if one.deployed:
            raise UpError(
                f"ENVIRONMENT is {one.environment}, and `tandem up` is for development: run `tandem migrate {name}`, "
                f"`tandem serve {name}` and `tandem worker {name}`"
            )


def _refuse_one_database(settings: dict[str, Settings]) -> None:
    if len(settings) > 1 and any(one.database_url is not None for one in settings.values()):
        each = " or ".join(f"`tandem up {name}`" for name in settings)
        raise UpError(
            f"DATABASE_URL names one database, and every service has its own: unset it to use the embedded Postgres, "
            f"or start one service with {each}"
        )


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as response:  # noqa: S310 - our own http address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False

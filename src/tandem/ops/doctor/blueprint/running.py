"""How a Blueprint's services start, migrate, stop and share their databases."""

import re
from collections.abc import Iterator

from tandem.ops.doctor.blueprint.document import Blueprint, Node, count
from tandem.ops.doctor.blueprint.roles import command_of, role_of
from tandem.ops.doctor.blueprint.shape import label
from tandem.ops.doctor.capacity import CONNECTIONS, Processes, budget, room
from tandem.ops.doctor.result import Check, Result

PORT = Check(
    "render.port", "Render looks for the service at 0.0.0.0:$PORT and gives the deploy up when nothing is there."
)
MIGRATIONS = Check("render.migrations", "New code meets an old schema: requests fail until somebody migrates by hand.")
HEALTH = Check("render.health", "Without a health check Render switches to an instance that may not work.")
SHUTDOWN = Check("render.shutdown", "Whatever still runs when the platform loses patience is killed.")
PYTHON = Check("render.python", "Without it the version changes when Render's default does.")
SERVER = Check("render.server", "The worker class of old guides is deprecated in uvicorn and goes away.")
FREE = Check("render.free", "What the free plan cannot do.")

DEFAULT_GRACE = 30  # seconds from SIGTERM to SIGKILL
AFTER_DRAIN, AFTER_JOBS = 5, 15  # seconds around the drain: to close connections; and to give jobs back
_DEFAULT_DRAIN = 25
_MIGRATES = re.compile(r"\btandem\s+migrate\b|\balembic\b.*\bupgrade\b|--migrate\b")
_TESTS = re.compile(r"\b(?:pytest|make test|tox|unittest)\b")


def check_running(blueprint: Blueprint) -> Iterator[Result]:
    for service in blueprint.services:
        if service.get("type") == "cron":
            yield from _python(blueprint, service)
        elif service.get("type") in ("web", "pserv", "worker") and service.get("runtime") != "static":
            yield from _port(service)
            yield from _health(service)
            yield from _shutdown(blueprint, service)
            yield from _python(blueprint, service)
            yield from _free(service)
    yield from _migrations(blueprint)
    yield from _connections(blueprint)


def _port(service: Node) -> Iterator[Result]:
    command, name = command_of(service), label(service)
    if "uvicorn.workers" in command:
        yield SERVER.warning(f"{name}: {command}", "`tandem serve …`, or the class `uvicorn_worker.UvicornWorker`")
    if service["type"] != "web" or not command:
        return
    if re.search(r"\btandem\s+serve\b", command):
        if not re.search(r"--host[ =]0\.0\.0\.0\b", command) or re.search(r"--port[ =]\d", command):
            yield PORT.error(f"{name}: {command}", "`tandem serve … --host 0.0.0.0`; the port comes from PORT")
    elif "0.0.0.0" not in command or not re.search(r"\$\{?PORT\b", command):  # noqa: S104 - the text of a command
        yield PORT.error(f"{name}: {command}", "bind 0.0.0.0:$PORT, or use `tandem serve … --host 0.0.0.0`")


def _health(service: Node) -> Iterator[Result]:
    path, name = service.get("healthCheckPath"), label(service)
    if service["type"] == "web" and not str(path or "").startswith("/health"):
        yield HEALTH.error(f"{name}: healthCheckPath is {path!r}", "`healthCheckPath: /health`; it asks the database")


def _shutdown(blueprint: Blueprint, service: Node) -> Iterator[Result]:
    grace, name = service.get("maxShutdownDelaySeconds", DEFAULT_GRACE), label(service)
    if isinstance(grace, bool) or not isinstance(grace, int) or not 1 <= grace <= 300:
        yield SHUTDOWN.error(f"{name}: maxShutdownDelaySeconds is {grace!r}", "a number from 1 to 300")
        return
    if given := re.search(r"--(?:graceful-)?timeout[ =](\d+)", command_of(service)):
        if int(given[1]) > grace:
            yield SHUTDOWN.error(
                f"{name}: its command allows requests {given[1]} s, Render kills after {grace} s",
                f"`maxShutdownDelaySeconds: {min(300, int(given[1]) + AFTER_DRAIN)}`, or a shorter time-out",
            )
    elif (role := role_of(service)) is not None:
        works = role.works or blueprint.value(service, "RUN_WORKER") == "true"
        drain = blueprint.number(service, "SHUTDOWN_TIMEOUT", _DEFAULT_DRAIN)
        delay = blueprint.number(service, "SHUTDOWN_DELAY", 0) if role.serves else 0
        needed = time_to_stop(delay, drain, works=works)
        if needed > grace:
            yield SHUTDOWN.error(
                f"{name} needs up to {needed} s to stop, Render kills after {grace} s",
                f"{shorter(drain, needed - grace)}, or `maxShutdownDelaySeconds: {min(300, needed)}`",
            )


def time_to_stop(delay: int, drain: int, *, works: bool) -> int:
    """Seconds from SIGTERM to the end: SHUTDOWN_DELAY, SHUTDOWN_TIMEOUT and what they do not count."""
    return delay + drain + (AFTER_JOBS if works else AFTER_DRAIN)


def shorter(drain: int, by: int) -> str:
    """What to set, so that a stop takes `by` seconds less."""
    return f"SHUTDOWN_TIMEOUT={drain - by}" if drain > by else "a shorter SHUTDOWN_DELAY and SHUTDOWN_TIMEOUT"


def _python(blueprint: Blueprint, service: Node) -> Iterator[Result]:
    if service.get("runtime") != "python" and not str(service.get("runtime", "")).startswith("python"):
        return
    version = blueprint.value(service, "PYTHON_VERSION")
    if version is None:
        yield PYTHON.warning(f"{label(service)} has no PYTHON_VERSION", "PYTHON_VERSION: 3.13.9, in full")
    elif not re.fullmatch(r"3\.1[1-9]\.\d+", version):
        yield PYTHON.error(f"{label(service)}: PYTHON_VERSION is {version}", "in full and from 3.11 on, as in 3.13.9")


def _free(service: Node) -> Iterator[Result]:
    if service.get("plan") != "free" or service["type"] != "web":
        return
    yield FREE.info(f"{label(service)} sleeps after 15 minutes without a request; the next one waits while it starts")
    extras = [field for field in ("preDeployCommand", "maxShutdownDelaySeconds", "disk") if field in service]
    if extras:
        yield FREE.error(
            f"{label(service)}: the free plan has no {', '.join(extras)}",
            "migrate in the build (`./build.sh --migrate momentum`), keep SHUTDOWN_TIMEOUT below 20",
        )


def _migrations(blueprint: Blueprint) -> Iterator[Result]:
    migrated = set()
    ours = [(service, role) for service in blueprint.services if (role := role_of(service)) is not None]
    for service, role in ours:
        before = str(service.get("preDeployCommand") or "")
        if _TESTS.search(before):
            yield MIGRATIONS.error(
                f"{label(service)}: preDeployCommand runs tests", "tests belong into CI; migrate here"
            )
        build = str(service.get("buildCommand") or "") if service.get("plan") == "free" else ""
        if _MIGRATES.search(before) or _MIGRATES.search(build):
            migrated.add(role.service.name)
    for name in sorted({role.service.name for _, role in ours} - migrated):
        yield MIGRATIONS.error(
            f"nothing migrates {name}'s database",
            f"`preDeployCommand: tandem migrate {name}` at its API; on the free plan `./build.sh --migrate {name}`",
        )


def _connections(blueprint: Blueprint) -> Iterator[Result]:
    """Per database: what all its processes may open while a deploy doubles them."""
    users: dict[str, list[Processes]] = {}
    for service in blueprint.services:
        if (role := role_of(service)) is None:
            continue
        source, scaling = (
            blueprint.environment(service).get("DATABASE_URL", {}).get("fromDatabase"),
            service.get("scaling"),
        )
        named = source.get("name") if isinstance(source, dict) else None
        database = str(named or f"the one of {role.service.name}")
        most = scaling.get("maxInstances") if isinstance(scaling, dict) else service.get("numInstances")
        users.setdefault(database, []).append(
            Processes(
                name=label(service),
                pool=blueprint.number(service, "SQLALCHEMY_POOL_SIZE", 5)
                + blueprint.number(service, "SQLALCHEMY_POOL_OVERFLOW", 10),
                processes=_processes(blueprint, service),
                instances=count(most),
                serves=role.serves,
                works=role.works or blueprint.value(service, "RUN_WORKER") == "true",
            )
        )
    for database, processes in users.items():
        plan = (blueprint.database(database) or {}).get("plan")
        yield budget(CONNECTIONS, database, processes, room(str(plan or "")))


def _processes(blueprint: Blueprint, service: Node) -> int:
    given = re.search(r"--workers[ =](\d+)", command_of(service))
    return int(given[1]) if given else blueprint.number(service, "WEB_CONCURRENCY", 1)

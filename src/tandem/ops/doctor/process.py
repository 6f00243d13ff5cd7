"""The process as it would be started here: its port, its drain, its proxies, its memory, what its health check says."""

import http.client
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from starlette.types import Scope

from tandem.core.proxies import TrustedProxies
from tandem.core.settings import Settings
from tandem.ops.doctor.blueprint.document import Blueprint, BlueprintError, Node, count, read_blueprint
from tandem.ops.doctor.blueprint.roles import role_of
from tandem.ops.doctor.blueprint.running import DEFAULT_GRACE, shorter, time_to_stop
from tandem.ops.doctor.result import Check, Result, Status
from tandem.ops.doctor.subject import Subject
from tandem.ops.ports import PortError, require_free

HEALTH = Check("health.truthful", "A health check that says yes to everything keeps a broken instance in rotation.")
PORT = Check("process.port", "The platform looks for the service at PORT, on every interface.")
SHUTDOWN = Check("process.shutdown", "A drain longer than the platform's patience ends with a kill, and lost requests.")
PROXIES = Check(
    "process.proxies", "Who can choose the address he is counted under has no rate limit, and no name in the log."
)
MEMORY = Check("process.memory", "Above its limit the instance is killed, with all requests it was at.")

FORGED, CLIENT, RENDER_PEER = "198.51.100.66", "203.0.113.9", "10.16.0.1"
SHARE = 0.8  # of the memory may be used
PLAN_BYTES = {"free": 512 << 20, "starter": 512 << 20, "standard": 2 << 30, "pro": 4 << 30}
_MEASURE = """
import importlib, psutil
module, _, attribute = {app!r}.partition(":")
getattr(importlib.import_module(module), attribute)
print(psutil.Process().memory_info().rss)
"""


def check_process(subject: Subject, seen_database: Status | None) -> Iterator[Result]:
    settings = subject.settings
    if settings is None:
        for check in (HEALTH, PORT, SHUTDOWN, PROXIES, MEMORY):
            yield check.skipped("settings that can be read")
        return
    health = ask_health(settings.port)
    yield _port(settings, health)
    yield health_result(settings, health, seen_database)
    yield _shutdown(subject, settings)
    yield proxies_result(settings.forwarded_allow_ips, on_render="RENDER" in os.environ)
    yield _memory(subject, settings)


def ask_health(port: int) -> tuple[int, Any] | None:
    """Status and body of whoever listens on this machine's port; None when nobody does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        text = answer.read(65536)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, None


def _port(settings: Settings, health: tuple[int, Any] | None) -> Result:
    if health is not None:
        name = health[1].get("service") if isinstance(health[1], dict) else None
        if name == settings.service:
            return PORT.ok(f"{name} listens on {settings.port}")
        return PORT.error(f"another program answers on {settings.port}", "stop it, or choose another PORT")
    try:
        require_free("0.0.0.0", settings.port, "PORT")  # noqa: S104 - what a deployment binds
    except PortError as error:
        return PORT.error(
            f"{settings.port} cannot be listened on: {error}", "stop the other program, or choose another PORT"
        )
    return PORT.ok(f"{settings.port} is free; serve with `--host 0.0.0.0`")


def health_result(settings: Settings, health: tuple[int, Any] | None, seen_database: Status | None) -> Result:
    if health is None:
        return HEALTH.skipped(f"a server on port {settings.port}; `--live URL` asks a deployed one")
    status, body = health
    if not isinstance(body, dict) or "database" not in body:
        return HEALTH.error(f"/health answers {status} without a word about the database", "serve Tandem there")
    claims, truth = status == 200, seen_database is Status.OK
    if claims != truth and seen_database in (Status.OK, Status.ERROR):
        return HEALTH.error(
            f"/health answers {status} ({body['database']}), and the database does{'' if truth else ' not'} answer",
            "does the server have the same DATABASE_URL as this command? Else restart it",
        )
    return HEALTH.ok(f"{status}, database {body['database']}")


def _shutdown(subject: Subject, settings: Settings) -> Result:
    service = blueprint_service(subject)
    if service is None and "RENDER" not in os.environ:
        return SHUTDOWN.skipped("the platform's patience: a render.yaml beside the code, or Render itself")
    grace = count((service or {}).get("maxShutdownDelaySeconds"), DEFAULT_GRACE)
    needed = time_to_stop(math.ceil(settings.shutdown_delay), settings.shutdown_timeout, works=settings.run_worker)
    seen = f"needs up to {needed} s of the {grace} s that the platform gives"
    if needed > grace:
        fix = f"{shorter(settings.shutdown_timeout, needed - grace)}, or a longer maxShutdownDelaySeconds"
        return SHUTDOWN.error(seen, fix)
    return SHUTDOWN.ok(seen)


def blueprint_service(subject: Subject) -> Node | None:
    """The API of this service in the checkout's render.yaml."""
    blueprint = checkout_blueprint(subject.checkout)
    for service in blueprint.services if blueprint else []:
        role = role_of(service)
        if role is not None and role.serves and role.service == subject.service:
            return service
    return None


def checkout_blueprint(checkout: Path | None) -> Blueprint | None:
    try:
        return read_blueprint((checkout / "render.yaml").read_text()) if checkout else None
    except (OSError, BlueprintError):
        return None


def proxies_result(trusted: str, *, on_render: bool) -> Result:
    """Resolves real header chains the way the server does, with a forged address in front."""
    named = [part.strip() for part in trusted.split(",") if part.strip()]
    proxies = TrustedProxies(trusted)
    if len(proxies.networks) + proxies.everyone < len(named):
        return PROXIES.error(
            f"FORWARDED_ALLOW_IPS={trusted} has entries that are no address", "addresses and networks, with commas"
        )
    if proxies.everyone or resolved(proxies, CLIENT, FORGED) != CLIENT:
        return PROXIES.error(
            f"FORWARDED_ALLOW_IPS={trusted}: whoever connects may say that he is {FORGED}",
            "name your proxies' networks; Render's are in render.yaml",
        )
    if on_render and resolved(proxies, RENDER_PEER, f"{FORGED}, {CLIENT}") != CLIENT:
        return PROXIES.error(
            f"FORWARDED_ALLOW_IPS={trusted} leaves out Render's network: all clients count as one",
            "take the value in render.yaml",
        )
    return PROXIES.ok(f"a forged X-Forwarded-For changes nothing; trusted: {_short(named)}")


def resolved(proxies: TrustedProxies, peer: str, forwarded_for: str) -> str:
    scope: Scope = {"type": "http", "client": (peer, 1), "scheme": "http"}
    proxies.resolve(scope, [forwarded_for.encode()], b"")
    client: str = scope["client"][0]
    return client


def _short(named: Sequence[str]) -> str:
    return ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")


def _memory(subject: Subject, settings: Settings) -> Result:
    limit = memory_limit(subject)
    if limit is None:
        return MEMORY.skipped("a limit: a container's, or the plan in render.yaml")
    each = measured_rss(subject)
    if each is None:
        return MEMORY.skipped("an application that can be loaded with these settings")
    return memory_result(each, settings.web_concurrency, limit)


def memory_result(each: int, processes: int, limit: int) -> Result:
    """`each` and `limit` in bytes."""
    seen = f"{processes} x {each >> 20} MiB of {limit >> 20} MiB"
    if each * processes < SHARE * limit:
        return MEMORY.ok(seen)
    return MEMORY.warning(seen, f"WEB_CONCURRENCY={max(1, int(SHARE * limit // each))}, or a larger plan")


def memory_limit(subject: Subject) -> int | None:
    """Bytes: of this container, else of the plan in render.yaml."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        text = "max"
    if text.isdecimal():
        return int(text)
    service = blueprint_service(subject)
    return plan_memory(str(service.get("plan", "starter"))) if service else None


def plan_memory(plan: str) -> int | None:
    if plan in PLAN_BYTES:
        return PLAN_BYTES[plan]
    size = plan.rpartition("-")[2]
    unit = 1 << 20 if size.endswith("mb") else 1 << 30
    digits = size.rstrip("mbg")
    return int(digits) * unit if digits.isdecimal() else None


def measured_rss(subject: Subject) -> int | None:
    """What a process of this service takes once it has loaded its application."""
    code = _MEASURE.format(app=subject.service.app)
    try:
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    last = done.stdout.strip().splitlines()[-1:] or [""]
    return int(last[0]) if done.returncode == 0 and last[0].isdecimal() else None

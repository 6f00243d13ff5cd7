"""`tandem doctor` behind the command line: what was asked, asked of whom, and how it is told."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values
from rich.console import Console

from tandem.core.operator_error import OperatorError
from tandem.ops.doctor.blueprint.check import check_file
from tandem.ops.doctor.report import failed, print_result, print_summary
from tandem.ops.doctor.result import Result
from tandem.ops.services import SERVICES, Service

if TYPE_CHECKING:
    from tandem.ops.doctor.live.check import Visit
    from tandem.ops.doctor.subject import LastBackup

RENDER = "render"
OnResult = Callable[[Result], None]


class DoctorError(OperatorError):
    """What was asked for cannot be examined; the message says what can."""

    exit_status = 2


@dataclass(frozen=True)
class Asked:
    """`what` is a service, `render`, or nothing."""

    what: str | None
    files: tuple[Path, ...]
    live: str | None
    origin: str | None
    read_only: bool
    env_file: Path | None
    instances: int


def run(asked: Asked, *, as_json: bool, last_backup: "LastBackup | None" = None) -> int:
    """The exit status. Raises DoctorError, and BlueprintFileError for a file that cannot be read."""
    console = Console(stderr=False)
    tell: OnResult = (lambda _: None) if as_json else (lambda result: print_result(console, result))
    if asked.env_file is not None:
        _read_environment(asked.env_file)
    found = _found(asked, tell, last_backup)
    if as_json:
        console.out(
            json.dumps({"ok": not failed(found), "results": [r.as_json() for r in found]}, indent=2), highlight=False
        )
    else:
        print_summary(console, found)
    return 1 if failed(found) else 0


def _found(asked: Asked, tell: OnResult, last_backup: "LastBackup | None") -> list[Result]:
    if asked.what == RENDER:
        if asked.live is not None:
            raise DoctorError("--live belongs to a service: `tandem doctor momentum --live URL`")
        found = [result for file in asked.files or (Path("render.yaml"),) for result in check_file(file)]
        for result in found:
            tell(result)
        return found
    service = _service(asked.what)
    if asked.files:
        raise DoctorError("files belong to `tandem doctor render FILE`")
    if asked.live is not None:
        if service is None:
            raise DoctorError(
                "say what is there: `tandem doctor momentum --live URL` or `tandem doctor market-ai --live URL`"
            )
        from tandem.ops.doctor.live.check import examine_live

        return examine_live(_visit(service, asked.live, asked), tell)
    from tandem.ops.doctor.examine import examine  # with the servers' frameworks, which a file needs not

    services = [service] if service else _all_services()
    return examine(services, instances=asked.instances, last_backup=last_backup, on_result=tell)


def _service(name: str | None) -> Service | None:
    if name is not None and name not in SERVICES:
        raise DoctorError(f"{name!r} is neither `render` nor a service: {', '.join(SERVICES)}")
    return SERVICES[name] if name else None


def _visit(service: Service, url: str, asked: Asked) -> "Visit":
    from tandem.ops.doctor.live.check import Visit

    return Visit(
        service, url, asked.origin, os.environ.get("HEALTH_TOKEN") or None, os.environ.get("DOCTOR_TOKEN") or None,
        asked.read_only,
    )  # fmt: skip


def _read_environment(path: Path) -> None:
    """Variables from a file, as from a platform's dashboard; the process's own go first. Raises DoctorError."""
    if not path.is_file():
        raise DoctorError(f"{path} is no file")
    for name, value in dotenv_values(path).items():
        os.environ.setdefault(name, value or "")


def _all_services() -> list[Service]:
    """Raises DoctorError when one DATABASE_URL would stand for several services."""
    if os.environ.get("DATABASE_URL"):
        each = " or ".join(f"`tandem doctor {name}`" for name in SERVICES)
        raise DoctorError(f"DATABASE_URL names one database, and every service has its own: {each}")
    return list(SERVICES.values())

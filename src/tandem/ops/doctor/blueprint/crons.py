"""A Blueprint's cron services: whether Render runs them, and whether a backup can be made by one."""

import re
from collections.abc import Iterator

from croniter import croniter  # type: ignore[import-untyped]

from tandem.ops.doctor.blueprint.document import Blueprint, Node
from tandem.ops.doctor.blueprint.roles import backup_of, command_of
from tandem.ops.doctor.blueprint.shape import label
from tandem.ops.doctor.result import Check, Result

CRON = Check("render.cron", "A job that does not run at night is missed on the day its backup is needed.")

_NEEDED = ("DATABASE_URL", "BACKUP_DESTINATION")
_ENDLESS = re.compile(r"\btandem\s+(?:serve|worker|up)\b(?!.*--once)")


def check_crons(blueprint: Blueprint) -> Iterator[Result]:
    for service in blueprint.services:
        if service.get("type") == "cron":
            yield from _schedule(service)
            yield from _backup(blueprint, service)


def _schedule(service: Node) -> Iterator[Result]:
    name, schedule = label(service), service.get("schedule")
    if not isinstance(schedule, str) or len(schedule.split()) != 5 or not croniter.is_valid(schedule):
        yield CRON.error(f"{name}: schedule is {schedule!r}", 'five fields in UTC, quoted: `schedule: "15 3 * * *"`')
    if _ENDLESS.search(command_of(service)):
        yield CRON.error(f"{name}: {command_of(service)} does not end", "a cron ends: `tandem worker … --once`")


def _backup(blueprint: Blueprint, service: Node) -> Iterator[Result]:
    if backup_of(service) is None:
        return
    given = blueprint.environment(service)
    if missing := [name for name in _NEEDED if name not in given]:
        yield CRON.error(
            f"{label(service)} has no {', '.join(missing)}", "`fromDatabase` for the one, `sync: false` for the other"
        )
    build = str(service.get("buildCommand") or "")
    if "build.sh" in build and "--backup" not in build:
        yield CRON.error(f"{label(service)}: `{build}` brings no pg_dump", "`buildCommand: ./build.sh --backup`")

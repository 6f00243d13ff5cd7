"""Which part of Tandem a service of a Blueprint is: by its command, else by the name the guides give it."""

import re
from dataclasses import dataclass
from typing import Any

from tandem.ops.services import SERVICES, Service


@dataclass(frozen=True)
class Role:
    service: Service
    serves: bool
    works: bool


_NAMES = {
    "momentum-todo-api": Role(SERVICES["momentum"], True, False),
    "marketing-ai-api": Role(SERVICES["market-ai"], True, False),
    "marketing-ai-worker": Role(SERVICES["market-ai"], False, True),
}
_VERB = re.compile(r"\btandem\s+(serve|worker)\s+(momentum|market-ai)\b(.*)")
_BACKUP = re.compile(r"\btandem\s+backup\s+(?:create\s+)?(momentum|market-ai)\b")
_APP = re.compile(r"\btandem\.(momentum|market_ai)\.main:app\b")


def role_of(service: dict[str, Any]) -> Role | None:
    """None for what is not Tandem: a Key Value, a cron, somebody else's service."""
    command = command_of(service)
    if verb := _VERB.search(command):
        serves = verb[1] == "serve"
        return Role(SERVICES[verb[2]], serves, not serves or "--with-worker" in verb[3])
    if app := _APP.search(command):
        return Role(SERVICES[app[1].replace("_", "-")], True, False)
    return _NAMES.get(str(service.get("name"))) if service.get("type") in ("web", "worker", "pserv") else None


def backup_of(service: dict[str, Any]) -> Service | None:
    """The service whose database this cron backs up."""
    found = _BACKUP.search(command_of(service)) if service.get("type") == "cron" else None
    return SERVICES[found[1]] if found else None


def command_of(service: dict[str, Any]) -> str:
    return str(service.get("dockerCommand") or service.get("startCommand") or "")

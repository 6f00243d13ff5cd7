"""Whether what was deployed works, seen from outside.

`Verify` is what a deploy asks. `live` is `tandem doctor --live` without its accounts: it changes nothing, and may be
repeated until the new version is the one that answers.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import httpx2

from tandem.ops.doctor.live.check import Visit, examine_live
from tandem.ops.doctor.result import Status
from tandem.ops.services import SERVICES

TIMEOUT = 15.0  # seconds; a service that wakes up takes its time

Verify = Callable[[str], Sequence[str]]
"""What is wrong with the service at this URL, each in a sentence; nothing is fine. Does not raise."""


def healthy(url: str) -> list[str]:
    """Asks `/health`."""
    address = f"{url.rstrip('/')}/health"
    try:
        answer = httpx2.get(address, timeout=TIMEOUT, follow_redirects=False)
    except httpx2.HTTPError as error:
        return [f"{address} does not answer ({type(error).__name__})"]
    if answer.status_code != 200:
        return [f"{address} answers {answer.status_code}"]
    return []


def live(url: str) -> list[str]:
    """The doctor's live checks that change nothing, of the service that `/health` names."""
    visit = _visit(url)
    return _errors(visit) if visit else healthy(url) or [f"{url}/health names no service of Tandem"]


def with_accounts(url: str) -> list[str]:
    """Then all of them, once: two accounts are made, used and deleted, and passwords are guessed."""
    visit = _visit(url)
    return live(url) or (_errors(replace(visit, read_only=False)) if visit else [])


CHECKS: dict[str, Verify] = {"health": healthy, "live": live, "accounts": with_accounts}


def version_of(url: str) -> str | None:
    """What `/health` calls the version, or None without a readable answer."""
    return _said_by(url, "version")


def _visit(url: str) -> Visit | None:
    """With the tokens that `tandem doctor --live` takes."""
    name = _said_by(url, "service")
    health_token, token = (os.environ.get(variable) or None for variable in ("HEALTH_TOKEN", "DOCTOR_TOKEN"))
    service = next((one for one in SERVICES.values() if one.settings_class.service == name), None)
    return Visit(service, url, health_token=health_token, token=token, read_only=True) if service else None


def _errors(visit: Visit) -> list[str]:
    found = [one for one in examine_live(visit) if one.status is Status.ERROR]
    return [f"{one.check}: {one.seen}; {one.fix}" for one in found]


def _said_by(url: str, member: str) -> str | None:
    try:
        return str(httpx2.get(f"{url.rstrip('/')}/health", timeout=TIMEOUT).json()[member])
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError):
        return None

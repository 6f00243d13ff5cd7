"""`tandem monitor`: asks a deployed service whether it works, and tells somebody when it does not."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from tandem.core.operator_error import OperatorError
from tandem.ops.monitor.channels import Message, NotDelivered, Send, channels
from tandem.ops.monitor.state import Kind, Policy, States, Watch
from tandem.ops.target import Progress


class MonitorError(OperatorError):
    exit_status = 2


@dataclass(frozen=True)
class Checked:
    """`problem` is None for a good answer."""

    url: str
    problem: str | None
    seconds: float


def addresses(named: Sequence[str], environment: Mapping[str, str] = os.environ) -> list[str]:
    """What to ask: what is named, else API_URL; `/health` where no path is. Raises MonitorError."""
    wanted = list(named) or environment.get("API_URL", "").split()
    if not wanted:
        raise MonitorError("what to watch? Give https://your-api.onrender.com, or set API_URL")
    found = []
    for one in wanted:
        parts = urlsplit(one)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise MonitorError(f"{one!r} is no address: write it as https://your-api.onrender.com")
        found.append(f"{one.rstrip('/')}/health" if parts.path in {"", "/"} else one)
    return found


def check(url: str, timeout: float) -> Checked:
    """Good is a 2xx in time. A redirect is not: it would be somebody else who is well."""
    began, problem = time.monotonic(), None
    try:
        answer = httpx2.get(url, timeout=timeout, follow_redirects=False, headers={"User-Agent": "tandem-monitor"})
        if not answer.is_success:
            problem = f"it answers {answer.status_code}{_explained(answer)}"
    except httpx2.TimeoutException:
        problem = f"no answer in {timeout:g} s"
    except httpx2.HTTPError as error:
        problem = f"it cannot be reached ({type(error).__name__})"
    return Checked(url, problem, time.monotonic() - began)


def run_once(
    urls: Sequence[str], *, policy: Policy, timeout: float, states: States, say: Progress,
    now: Callable[[], float] = time.time, environment: Mapping[str, str] = os.environ,
) -> bool:  # fmt: skip
    """Whether everything is well. Checks each address, tells whoever is to be told, and remembers."""
    to = channels(environment)
    well = True
    for url in urls:
        seen = check(url, timeout)
        well = well and seen.problem is None
        say(f"{url}: {seen.problem or 'well'} ({seen.seconds * 1000:.0f} ms)")
        watch, at = states.of(url), now()
        kind = watch.saw(seen.problem, at, policy)
        if kind is not None:
            message = _message(kind, url, watch, at)
            say(message.text)
            if not to:
                say("nobody is told: set SLACK_WEBHOOK, MONITOR_WEBHOOK or MONITOR_EMAIL")
            watch.owed = {name: message.as_json() for name in to}
        _deliver(watch, to, say)
    try:
        states.write()
    except OSError as error:
        say(f"cannot remember this check ({error.strerror}): name a writable file with --state")
    return well


def run(urls: Sequence[str], *, interval: float, policy: Policy, timeout: float, states: States, say: Progress) -> None:
    """Until SIGINT or SIGTERM; each round begins `interval` seconds after the one before."""
    with _until_told() as stop:
        while not stop.is_set():
            began = time.monotonic()
            run_once(urls, policy=policy, timeout=timeout, states=states, say=say)
            stop.wait(max(0.0, interval - (time.monotonic() - began)))


def try_channels(say: Progress, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a test message got through everywhere."""
    to, well = channels(environment), True
    message = Message("test", "", "Test message of tandem monitor: alerts arrive here.", "", time.time())
    for name, send in to.items():
        try:
            send(message)
            say(f"{name}: delivered")
        except NotDelivered as error:
            well = False
            say(f"{name}: {error}")
    if not to:
        raise MonitorError("no channel: set SLACK_WEBHOOK, MONITOR_WEBHOOK or MONITOR_EMAIL")
    return well


def _message(kind: Kind, url: str, watch: Watch, now: float) -> Message:
    host, lasted = urlsplit(url).netloc.rpartition("@")[2], _duration(now - watch.since)
    texts = {
        "down": f"⚠️ {host} is down: {watch.reason} ({watch.failures} checks in a row)",
        "still down": f"⚠️ {host} is still down after {lasted}: {watch.reason}",
        "recovered": f"✅ {host} works again after {lasted}; it was: {watch.reason}",
    }
    return Message(kind.replace(" ", "_"), url, f"{texts[kind]}\n{url}", watch.reason, watch.since)


def _deliver(watch: Watch, to: Mapping[str, Send], say: Progress) -> None:
    """Also what an earlier round could not. Of a channel only the latest message is owed: it says how things stand."""
    for name in list(watch.owed):
        if name not in to:
            del watch.owed[name]
            continue
        try:
            to[name](Message(**watch.owed[name]))
        except NotDelivered as error:
            say(f"{name}: {error}; tried again at the next check")
        else:
            del watch.owed[name]
            say(f"{name}: told")


def _explained(answer: httpx2.Response) -> str:
    """What our own /health says of itself."""
    try:
        body = answer.json()
        return f" ({body['status']}, database {body['database']})"
    except (ValueError, KeyError, TypeError):
        return ""


def _duration(seconds: float) -> str:
    minutes = int(max(seconds, 0) // 60)
    hours = f"{minutes // 60} h " if minutes >= 60 else ""
    return f"{hours}{minutes % 60} min" if minutes else f"{int(max(seconds, 0))} s"


@contextmanager
def _until_told() -> Iterator[threading.Event]:
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def state_file(path: Path | None, *, once: bool) -> Path | None:
    """Between two runs of a cron something must be remembered; a loop remembers by itself, and may have a file too."""
    return path or (Path(os.environ.get("MONITOR_STATE", "") or ".tandem/monitor.json") if once else None)

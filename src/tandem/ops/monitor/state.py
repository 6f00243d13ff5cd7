"""When a failure becomes an alert, and what is remembered between two runs of a cron.

One failed check is a hiccup: only `after` of them in a row alert, once, and again every `remind` seconds. The first
good check after an alert is the recovery. A message that could not be delivered is kept until it is.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

Kind = Literal["down", "still down", "recovered"]


@dataclass(frozen=True)
class Policy:
    """`remind` is in seconds; 0 alerts once."""

    after: int = 3
    remind: float = 3600


@dataclass
class Watch:
    """One address. Times are Unix time; `owed` has, by channel, the message that did not get through."""

    failures: int = 0
    since: float = 0.0
    alerted: float = 0.0
    reason: str = ""
    owed: dict[str, dict[str, Any]] = field(default_factory=dict)

    def saw(self, problem: str | None, now: float, policy: Policy) -> Kind | None:
        """What there is to say after a check; `problem` is None when it was good."""
        if problem is None:
            was_alerted = self.alerted > 0
            self.failures, self.alerted = 0, 0.0
            return "recovered" if was_alerted else None
        if self.failures == 0:
            self.since = now
        self.failures += 1
        self.reason = problem
        if self.failures < policy.after:
            return None
        first, due = self.alerted == 0, policy.remind > 0 and now - self.alerted >= policy.remind
        if not first and not due:
            return None
        self.alerted = now
        return "down" if first else "still down"


class States:
    """By address, in a file when one is named. Written whole and renamed, so that a crash leaves the one before."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.watches: dict[str, Watch] = {}

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """A file that cannot be understood is as good as none: an alert too many, and no crash."""
        states = cls(path)
        if path is not None:
            with suppress(OSError, ValueError, TypeError, AttributeError):
                states.watches = {url: Watch(**one) for url, one in json.loads(path.read_text()).items()}
        return states

    def of(self, url: str) -> Watch:
        return self.watches.setdefault(url, Watch())

    def write(self) -> None:
        """Raises OSError."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_text(json.dumps({url: asdict(watch) for url, watch in self.watches.items()}, indent=1))
        new.replace(self._path)

"""What a check answers: what was seen, why it matters, and what to do."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Only an `error` fails `tandem doctor`. `skipped` says in `seen` what it would have needed."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """`service` is empty for what concerns the whole checkout."""

    check: str
    status: Status
    seen: str
    why: str = ""
    fix: str = ""
    service: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Check:
    """One line of the doctor's list; `why` is why it matters, whatever was seen."""

    id: str
    why: str

    def ok(self, seen: str) -> Result:
        return Result(self.id, Status.OK, seen)

    def skipped(self, needs: str) -> Result:
        return Result(self.id, Status.SKIPPED, needs)

    def info(self, seen: str, fix: str = "") -> Result:
        return Result(self.id, Status.INFO, seen, self.why, fix)

    def warning(self, seen: str, fix: str) -> Result:
        return Result(self.id, Status.WARNING, seen, self.why, fix)

    def error(self, seen: str, fix: str) -> Result:
        return Result(self.id, Status.ERROR, seen, self.why, fix)

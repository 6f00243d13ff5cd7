"""The values that Momentum's schemas share. Lax conversions are refused: a wrong type is a 422, never a guess."""

import re
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

EXAMPLE_ID = "01980b14-7f2e-7c3a-9d55-3f1f0a6b2c11"  # in the documentation
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2999, 12, 31)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def _zone(name: str) -> str:
    if name not in _zones():
        raise PydanticCustomError("unknown_timezone", "is not an IANA time zone, as in Europe/Berlin")
    return name


def _written(pattern: str, form: str) -> BeforeValidator:
    """Only a string of this form: pydantic alone would also take numbers, and date-times at midnight."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any) -> Any:
        if value is None or (isinstance(value, str) and compiled.fullmatch(value)):
            return value
        raise PydanticCustomError("invalid_format", "must be a string of the form {form}", {"form": form})

    return BeforeValidator(check)


def _within_calendar(day: date) -> date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise PydanticCustomError("out_of_range", "must be between 1900-01-01 and 2999-12-31")
    return day


def _instant_or_day(value: Any) -> Any:
    """A day, or an instant with its offset. A naive date-time is refused: it would mean the server's zone."""
    if isinstance(value, str):
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            return _within_calendar(_parsed(date, value))
        moment = (
            _parsed(datetime, value.replace(" ", "+")) if re.match(r"\d{4}-\d{2}-\d{2}T", value, re.ASCII) else None
        )
        if moment is not None and moment.tzinfo is not None:
            _within_calendar(moment.date())
            return moment
    raise PydanticCustomError(
        "invalid_format", "must be a day (2026-11-22) or an instant with an offset (2026-11-22T09:00:00Z)"
    )


def _parsed(kind: Any, value: str) -> Any:
    try:
        return kind.fromisoformat(value)
    except ValueError:
        raise PydanticCustomError("invalid_format", "is not a real date") from None


def _unique(ids: list[UUID]) -> list[UUID]:
    return list(dict.fromkeys(ids))


Bool = Annotated[bool, Field(strict=True)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Description = Annotated[str, StringConstraints(max_length=10_000)]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
Day = Annotated[
    date,
    AfterValidator(_within_calendar),
    _written(r"\d{4}-\d{2}-\d{2}", "2026-11-22"),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-22"]}),
]
# JSON Schema's format `time` demands an offset (RFC 3339), which a wall time must not have.
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
WallTime = Annotated[
    time,
    _written(r"\d{2}:\d{2}(:\d{2})?", "09:30"),
    WithJsonSchema({"type": "string", "pattern": f"^{_CLOCK}(:[0-5][0-9])?$", "examples": ["09:30"]}),
]
WallTimeOut = Annotated[
    time, WithJsonSchema({"type": "string", "pattern": f"^{_CLOCK}:[0-5][0-9]$", "examples": ["09:30:00"]})
]
InstantOrDay = Annotated[
    date | datetime,
    BeforeValidator(_instant_or_day),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}),
]
Ids = Annotated[list[UUID], AfterValidator(_unique)]


def instant(day: date, at: time, zone: str) -> datetime:
    """The moment when the clocks of `zone` show this wall time.

    A time that a clock change skips moves on by the gap, one that happens twice means the first (`fold=0`, PEP 495).
    """
    return datetime.combine(day, at, ZoneInfo(zone)).astimezone(UTC)

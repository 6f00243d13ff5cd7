"""The values that Market AI's schemas share. Lax conversions are refused: a wrong type is a 422, never a guess."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic import WithJsonSchema as _JsonSchema
from pydantic_core import PydanticCustomError

EXAMPLE_ID = "01980b14-7f2e-7c3a-9d55-3f1f0a6b2c11"  # in the documentation
MICROS = 1_000_000  # of a currency unit
MAX_MONEY = Decimal(10**12)
FIRST_INSTANT, LAST_INSTANT = datetime(1900, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
_MONEY = r"\d{1,12}(\.\d{1,6})?"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def micros(amount: Decimal) -> int:
    """Whole micro-units of an amount that has at most six places."""
    return int(amount * MICROS)


def decimal_string(value: int) -> str:
    """An amount of micro-units as the API writes it, with six places."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    return f"{sign}{value // MICROS}.{value % MICROS:06d}"


def _exact(value: Any) -> Any:
    """Money travels as text: a JSON number has been through floating point before we see it."""
    if isinstance(value, Decimal) or (isinstance(value, str) and re.fullmatch(_MONEY, value, re.ASCII)):
        return value
    raise PydanticCustomError("invalid_amount", 'must be a decimal string with at most six places, as in "12.50"')


def _instant(value: Any) -> Any:
    if isinstance(value, str):
        if not re.match(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}", value, re.ASCII):
            raise PydanticCustomError("invalid_format", "must be a date-time, as in 2026-11-24T09:00:00Z")
        return value.replace(" ", "+") if "T" in value else value
    if isinstance(value, datetime):
        return value
    raise PydanticCustomError("invalid_format", "must be a date-time, as in 2026-11-24T09:00:00Z")


def _in_calendar(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise PydanticCustomError("timezone_missing", "needs a time zone, as the Z in 2026-11-24T09:00:00Z")
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("out_of_range", "must be between the years 1900 and 2999") from None
    if not FIRST_INSTANT <= value < LAST_INSTANT:
        raise PydanticCustomError("out_of_range", "must be between the years 1900 and 2999")
    return value


def _printable(value: str) -> str:
    if _CONTROL.search(value):
        raise PydanticCustomError("control_character", "must not contain control characters")
    return value


def _one_line(value: str) -> str:
    if any(character in value for character in "\r\n\t\u2028\u2029"):
        raise PydanticCustomError("line_break", "must be one line")
    return _printable(value)


Money = Annotated[
    Decimal, BeforeValidator(_exact), Field(strict=False), _JsonSchema({"type": "string", "pattern": f"^{_MONEY}$"})
]
"""A decimal string in, an exact Decimal inside; never negative."""

Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    AfterValidator(_in_calendar),
    _JsonSchema({"type": "string", "format": "date-time"}),
]
"""RFC 3339 with its offset; UTC inside."""

Line = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1), AfterValidator(_one_line)]
"""One line of text, trimmed, not empty. Give it a `max_length` with Field."""

Text = Annotated[str, StringConstraints(strict=True), AfterValidator(_printable)]
"""Any text without control characters but line breaks and tabs. Give it a `max_length` with Field."""

"""How a rate is written in settings and in code: `100/minute`, `5/10 seconds`, `20 per hour`."""

import re
from dataclasses import dataclass

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"([1-9][0-9]{0,8})\s*(?:/|\s+per\s+)\s*(?:([1-9][0-9]{0,5})\s*)?(second|minute|hour|day)s?")


class RateError(ValueError):
    """The text is not a rate."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` requests in a window of `seconds`."""

    amount: int
    seconds: int


def parse_rate(text: str) -> Rate:
    """Raises RateError."""
    match = _RATE.fullmatch(text.strip().lower())
    if match is None:
        raise RateError(f"{text!r} is not a rate; expected something like 100/minute, 5/10 seconds or 2000/hour")
    amount, multiple, unit = match.groups()
    return Rate(int(amount), int(multiple or 1) * _SECONDS[unit])

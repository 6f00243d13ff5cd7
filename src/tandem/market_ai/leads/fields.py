"""The values that a lead is made of, in the API and in imports alike."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from tandem.market_ai.fields import Instant, Line, Text
from tandem.market_ai.leads.filter_syntax import MAX_LENGTH, FilterError, parse_filter

MAX_NAME, MAX_TAG, MAX_TAGS, MAX_ATTRIBUTES, MAX_VALUE = 200, 50, 50, 50, 1000
MAX_SOURCE, MAX_PROOF = 200, 2000
MAX_NUMBER = 10**15
ATTRIBUTE_NAME = r"^[a-z][a-z0-9_]{0,39}$"
LOCALE = r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"
_FUTURE = timedelta(minutes=5)  # by which another clock may be ahead

ConsentStatus = Literal["none", "granted", "withdrawn"]
Decision = Literal["granted", "withdrawn"]


@lru_cache(maxsize=1)
def timezones() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def _timezone(name: str) -> str:
    if name not in timezones():
        raise PydanticCustomError("unknown_timezone", "is not in the IANA time zone database, as Europe/Berlin is")
    return name


def _tag(text: str) -> str:
    if re.search(r"[,;|]", text):
        raise PydanticCustomError("invalid_tag", "must not contain , ; or |")
    return text.lower()


def ordered(tags: list[str]) -> list[str]:
    """As they are stored, so that equal sets are equal rows."""
    return sorted(set(tags))


def _past(at: datetime) -> datetime:
    if at > datetime.now(UTC) + _FUTURE:
        raise PydanticCustomError("in_the_future", "must not be in the future")
    return at


def _readable(text: str) -> str:
    try:
        parse_filter(text)
    except FilterError as error:
        raise PydanticCustomError("invalid_filter", "{problem}", {"problem": str(error)}) from None
    return text


Name = Annotated[Line, Field(max_length=MAX_NAME)]
Tag = Annotated[Line, Field(max_length=MAX_TAG), AfterValidator(_tag)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(ordered)]
AttributeName = Annotated[str, StringConstraints(pattern=ATTRIBUTE_NAME)]
AttributeValue = (
    Annotated[Text, Field(max_length=MAX_VALUE)]
    | Annotated[bool, Field(strict=True)]
    | Annotated[int, Field(strict=True, ge=-MAX_NUMBER, le=MAX_NUMBER)]
    | Annotated[float, Field(strict=True, ge=-MAX_NUMBER, le=MAX_NUMBER)]
)
Timezone = Annotated[str, StringConstraints(strict=True, max_length=100), AfterValidator(_timezone)]
Locale = Annotated[str, StringConstraints(strict=True, pattern=LOCALE)]
PastInstant = Annotated[Instant, AfterValidator(_past)]
Source = Annotated[Line, Field(max_length=MAX_SOURCE)]
Proof = Annotated[Text, Field(min_length=1, max_length=MAX_PROOF)]
FilterText = Annotated[str, StringConstraints(strict=True, max_length=MAX_LENGTH), AfterValidator(_readable)]
"""In the language of docs/leads.md."""

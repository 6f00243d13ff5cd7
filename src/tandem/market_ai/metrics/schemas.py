"""Shapes of metrics: the rows that come in, what is asked for, and what is computed of them."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tandem.core.paging import PageQuery
from tandem.core.payloads import Payload
from tandem.market_ai.campaigns.schemas import Channel
from tandem.market_ai.fields import FIRST_INSTANT, LAST_INSTANT, Money
from tandem.market_ai.figures import METRICS, Metric, Value, exact, shown
from tandem.market_ai.statistics.kpi import Totals

MAX_ROWS, MAX_DAYS, MAX_GROUPS, MAX_LINES = 5000, 1100, 1000, 6
MAX_COUNT, MAX_AMOUNT = 10**12, 10**9

Key = tuple[date, str, str]
Grouping = Literal["day", "channel", "variant"]
Interval = Literal["day", "week", "month"]


def _written_day(value: Any) -> Any:
    """pydantic alone would also take numbers, and date-times at midnight."""
    if isinstance(value, date) or (isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII)):
        return value
    raise PydanticCustomError("invalid_format", "must be a day, as in 2026-11-24")


def _in_calendar(value: date) -> date:
    if not FIRST_INSTANT.date() <= value < LAST_INSTANT.date():
        raise PydanticCustomError("out_of_range", "must be between the years 1900 and 2999")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("control_character", "must be one line without control characters")
    return value


Day = Annotated[
    date,
    AfterValidator(_in_calendar),
    BeforeValidator(_written_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-24"]}),
]
Variant = Annotated[
    str, StringConstraints(strict=True, strip_whitespace=True, max_length=60), AfterValidator(_one_line)
]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)]
DailyAmount = Annotated[Money, Field(le=MAX_AMOUNT)]


class MetricRow(Payload):
    """One day of one variant in one channel."""

    date: Day
    channel: Channel
    variant: Variant = Field("", description="Empty where there is none.")
    impressions: Count = 0
    clicks: Count = 0
    conversions: Count = 0
    cost: DailyAmount = Decimal(0)
    revenue: DailyAmount = Decimal(0)

    @property
    def key(self) -> Key:
        return self.date, self.channel, self.variant


class MetricsPut(Payload):
    """Each row replaces the one of its date, channel and variant; all other rows stay."""

    rows: list[MetricRow] = Field(min_length=1, max_length=MAX_ROWS)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "rows": [
                        {
                            "date": "2026-12-01",
                            "channel": "newsletter",
                            "variant": "A",
                            "impressions": 125000,
                            "clicks": 3200,
                            "conversions": 145,
                            "cost": "2500.00",
                            "revenue": "8250.00",
                        }
                    ]
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        seen: dict[Key, int] = {}
        for index, row in enumerate(self.rows):
            if (first := seen.setdefault(row.key, index)) != index:
                raise PydanticCustomError(
                    "duplicate_row",
                    "rows {first} and {second} have the same date, channel and variant",
                    {"first": first, "second": index},
                )
        return self


class Stored(BaseModel):
    """What a PUT did. Sending the same again changes nothing."""

    created: int
    updated: int
    unchanged: int


class Deleted(BaseModel):
    deleted: int


class Slice(BaseModel):
    """Which rows; both ends are part of it."""

    model_config = ConfigDict(extra="forbid")
    date_from: Day | None = Field(None, description="The first day.")
    date_to: Day | None = Field(None, description="The last day.")
    channel: list[Channel] = Field([], max_length=20, description="Any of these.")
    variant: list[Variant] = Field([], max_length=20, description="Any of these; empty for rows without one.")

    @classmethod
    def days(cls, first: date, last: date) -> Self:
        """Of computed days, which may be before those that one can ask for."""
        return cls().model_copy(update={"date_from": first, "date_to": last})

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.date_from is not None and self.date_to is not None and self.date_to < self.date_from:
            raise PydanticCustomError("ends_before_it_starts", "date_to must not be before date_from")
        return self


class MetricsFilter(Slice, PageQuery):
    pass


class Erasure(Slice):
    """What is deleted; the days must be said."""

    date_from: Day = Field(description="The first day.")
    date_to: Day = Field(description="The last day.")


class KpiQuery(Slice):
    by: Grouping | None = Field(None, description="Also in groups.")


class SeriesQuery(Slice):
    metric: Metric = "clicks"
    interval: Interval = Field("day", description="Weeks begin on Monday.")
    by: Literal["channel", "variant"] | None = Field(
        None, description=f"A line for each, of the {MAX_LINES} with the most impressions; none for no variant."
    )


class AnomalyQuery(Slice):
    metric: Metric = "clicks"


class MetricOut(BaseModel):
    date: date
    channel: str
    variant: str
    impressions: int
    clicks: int
    conversions: int
    cost: str = Field(description="With six places, in the campaign's currency.", examples=["2500.000000"])
    revenue: str = Field(examples=["8250.000000"])
    updated_at: datetime


class MetricPage(BaseModel):
    items: list[MetricOut]
    total: int
    page: int
    limit: int
    pages: int


class KpisOut(BaseModel):
    """Sums, and what follows from them; null where the denominator is 0."""

    impressions: int
    clicks: int
    conversions: int
    cost: str = Field(examples=["2500.000000"])
    revenue: str = Field(examples=["8250.000000"])
    ctr: float | None = Field(description="Clicks of impressions.", examples=[0.0256])
    cvr: float | None = Field(description="Conversions of clicks.", examples=[0.0453125])
    cpc: str | None = Field(description="Cost of a click.", examples=["0.781250"])
    cpm: str | None = Field(description="Cost of a thousand impressions.", examples=["20.000000"])
    cpa: str | None = Field(description="Cost of a conversion.", examples=["17.241379"])
    roas: float | None = Field(description="Revenue for each unit of cost.", examples=[3.3])
    roi: float | None = Field(description="What remains of it after the cost: (revenue - cost) / cost.", examples=[2.3])

    @classmethod
    def of(cls, totals: Totals) -> Self:
        return cls.model_validate({metric: shown(metric, exact(totals, metric)) for metric in METRICS})


class KpiGroup(BaseModel):
    key: str = Field(description="A day, a channel or a variant.")
    kpis: KpisOut


class KpiReport(BaseModel):
    currency: str | None = Field(description="The campaign's; null for one without a budget.")
    date_from: date | None = Field(description="The first day with data; null without any.")
    date_to: date | None
    total: KpisOut
    groups: list[KpiGroup]


class Point(BaseModel):
    date: date
    value: Value = Field(description="Null for no data.")


class Line(BaseModel):
    key: str = Field(description="The channel or variant; empty for the sum of all.")
    points: list[Point]


class Series(BaseModel):
    """Every interval from the first to the last, also those without data."""

    metric: Metric
    interval: Interval
    by: Literal["channel", "variant"] | None
    currency: str | None
    lines: list[Line]
    left_out: int = Field(description="Lines that would have been too many.")


class AnomalyOut(BaseModel):
    date: date
    value: Value
    expected: Value
    score: float = Field(description="Robust standard deviations above, or below, what was expected.")


class AnomalyReport(BaseModel):
    metric: Metric
    days: int = Field(description="With data.")
    method: Literal["none", "median", "weekdays"] = Field(description="`none` for fewer than ten days with data.")
    threshold: float
    anomalies: list[AnomalyOut]

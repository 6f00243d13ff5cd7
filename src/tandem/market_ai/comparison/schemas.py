"""Shapes of comparisons: of variants, of periods, and how large a sample has to be."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tandem.market_ai.figures import Counted, Value
from tandem.market_ai.metrics.schemas import Day, KpisOut, Slice

MAX_VARIANTS = 10
Rate = Literal["ctr", "cvr"]
Decision = Literal["winner", "undecided", "sample_ratio_mismatch", "too_few_variants"]
COUNTS: dict[Rate, tuple[Counted, Counted]] = {"ctr": ("clicks", "impressions"), "cvr": ("conversions", "clicks")}
"""Successes and trials of a rate."""

Alpha = Annotated[float, Field(ge=0.0001, le=0.5, description="How often one accepts to be wrong.")]
Effect = Annotated[
    float,
    Field(
        ge=0.00001,
        le=0.5,
        description="The absolute difference of two rates that matters to you. Decide it before the test begins: "
        "trying several until one suits makes its error rate meaningless.",
    ),
]
Weight = Annotated[float, Field(gt=0, le=1_000_000)]


class VariantsQuery(Slice):
    """The days begin with the test: what is left out at the beginning is left out of the evidence."""

    metric: Rate = Field("ctr", description="`ctr`: clicks of impressions; `cvr`: conversions of clicks.")
    alpha: Alpha = 0.05
    effect: Effect = 0.005
    weight: list[Weight] = Field(
        [],
        max_length=MAX_VARIANTS,
        description="How traffic was to be split, one for each variant in the order of their names. Default: evenly.",
    )


class PeriodsQuery(BaseModel):
    """Two periods, both ends included. By default the last seven days with data, and as many days before."""

    model_config = ConfigDict(extra="forbid")
    date_from: Day | None = None
    date_to: Day | None = None
    before_from: Day | None = Field(None, description="Default: as many days, right before `date_from`.")
    before_to: Day | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for first, last in (("date_from", "date_to"), ("before_from", "before_to")):
            a, b = getattr(self, first), getattr(self, last)
            if (a is None) != (b is None):
                raise PydanticCustomError("period_incomplete", "a period has a first and a last day: give both")
            if a is not None and b is not None and b < a:
                raise PydanticCustomError("ends_before_it_starts", "a period must not end before it begins")
        if self.before_from is not None and self.date_from is None:
            raise PydanticCustomError("period_incomplete", "give the period that is compared, too")
        return self

    @property
    def period(self) -> tuple[date, date] | None:
        return None if self.date_from is None or self.date_to is None else (self.date_from, self.date_to)

    @property
    def before(self) -> tuple[date, date] | None:
        return None if self.before_from is None or self.before_to is None else (self.before_from, self.before_to)


class SampleSizeQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    metric: Rate = "ctr"
    baseline: float | None = Field(None, gt=0, lt=1, description="The rate as it is. Default: the campaign's own.")
    effect: Effect = 0.005
    alpha: Alpha = 0.05
    power: float = Field(0.8, ge=0.5, le=0.999, description="How often an effect that is there is to be found.")


class IntervalOut(BaseModel):
    low: float
    high: float


class VariantOut(BaseModel):
    name: str
    trials: int
    successes: int
    rate: float | None = Field(description="Null without trials.")
    interval: IntervalOut | None = Field(description="95 %, by Wilson's score; null where there is no proportion.")
    probability_best: float | None = Field(description="Bayesian, from uniform priors.")


class PairOut(BaseModel):
    """Two variants. `z` and `p` hold for one look at a size decided beforehand, `always_valid_p` at any time."""

    a: str
    b: str
    difference: float = Field(description="Of the rates, b - a.")
    interval: IntervalOut = Field(description="Of the difference, 95 %, by Newcombe's hybrid score.")
    z: float | None = Field(description="Positive where a is larger; null without any variance.")
    p: float | None
    statistic: float = Field(description="Of the mSPRT at the last day.")
    always_valid_p: float
    adjusted_p: float = Field(description="For the number of pairs; decides when it is at most alpha.")


class SampleRatioOut(BaseModel):
    weights: list[float] = Field(description="In the order of the variants; they sum to 1.")
    chi2: float
    p: float
    mismatch: bool


class VariantComparison(BaseModel):
    """`winner` is named only when the sequential test allows it, with every other variant, at this alpha."""

    metric: Rate
    alpha: float
    effect: float
    date_from: date | None
    date_to: date | None
    variants: list[VariantOut]
    pairs: list[PairOut]
    sample_ratio: SampleRatioOut | None = Field(
        description="Of the impressions; null without two variants, or without any."
    )
    required_sample_size: int | None = Field(
        description="Trials of each variant to find `effect` on the rate of all, with a power of 80 %, in a test that "
        "is looked at once."
    )
    winner: str | None
    decision: Decision
    left_out: int = Field(description=f"Variants beyond the {MAX_VARIANTS} with the most trials.")


class Change(BaseModel):
    absolute: Value
    relative: float | None = Field(description="0.25 is a quarter more; null where the earlier value is 0 or missing.")


class Changes(BaseModel):
    impressions: Change
    clicks: Change
    conversions: Change
    cost: Change
    revenue: Change
    ctr: Change
    cvr: Change
    cpc: Change
    cpm: Change
    cpa: Change
    roas: Change
    roi: Change


class PeriodOut(BaseModel):
    date_from: date
    date_to: date
    days: int = Field(description="Of the calendar.")
    kpis: KpisOut


class RateTest(BaseModel):
    """Whether a rate differs between the periods; the interval is of the later one minus the earlier."""

    metric: Rate
    z: float | None = Field(description="Positive where the later rate is larger.")
    p: float | None
    interval: IntervalOut


class PeriodComparison(BaseModel):
    """Without any data, and without days in the query, there are no periods."""

    currency: str | None
    period: PeriodOut | None
    before: PeriodOut | None
    change: Changes | None
    tests: list[RateTest] = Field(description="Of the rates that are proportions in both periods.")


class SampleSize(BaseModel):
    metric: Rate
    baseline: float
    effect: float
    alpha: float
    power: float
    per_variant: int = Field(description="Trials of each of two variants: impressions for ctr, clicks for cvr.")

"""Comparing a campaign's variants with each other, and a period with another one."""

import asyncio
from datetime import date, timedelta
from uuid import UUID

from tandem.core.db import Connection
from tandem.core.errors import InvalidPayload
from tandem.market_ai.comparison.schemas import (
    COUNTS,
    MAX_VARIANTS,
    Change,
    Changes,
    PeriodComparison,
    PeriodOut,
    PeriodsQuery,
    RateTest,
    SampleSize,
    SampleSizeQuery,
    VariantComparison,
    VariantsQuery,
)
from tandem.market_ai.comparison.variants import Days, compared, count_of, interval_out, is_proportion
from tandem.market_ai.figures import METRICS, Metric, exact, number, shown
from tandem.market_ai.metrics.schemas import KpisOut, Slice
from tandem.market_ai.metrics.service import covered, currency, daily_by_variant, largest_variants, span, totals
from tandem.market_ai.statistics.kpi import Totals
from tandem.market_ai.statistics.proportions import newcombe, required_sample_size, two_proportion_z

LATELY = 7  # days


async def compare_variants(
    connection: Connection, org_id: str, campaign_id: UUID, query: VariantsQuery
) -> VariantComparison:
    """Raises NotFound, and InvalidPayload for too many days or weights that do not fit."""
    await currency(connection, org_id, campaign_id)
    part = Slice(**query.model_dump(include=set(Slice.model_fields)))
    column = COUNTS[query.metric][1]
    names, left_out = await largest_variants(connection, org_id, campaign_id, part, column=column, limit=MAX_VARIANTS)
    if query.weight and len(query.weight) != len(names):
        raise InvalidPayload.of("weight", f"there must be {len(names)}, one for each variant", "wrong_number")
    days: Days = {}
    if names:
        part = part.model_copy(update={"variant": names})
        await covered(connection, org_id, campaign_id, part)
        days = await daily_by_variant(connection, org_id, campaign_id, part)
    return await asyncio.to_thread(compared, query, names, days, left_out)


async def compare_periods(
    connection: Connection, org_id: str, campaign_id: UUID, query: PeriodsQuery
) -> PeriodComparison:
    """Raises NotFound."""
    money = await currency(connection, org_id, campaign_id)
    now = query.period
    if now is None:
        last = (await span(connection, org_id, campaign_id, Slice())).last
        if last is None:
            return PeriodComparison(currency=money, period=None, before=None, change=None, tests=[])
        now = last - timedelta(days=LATELY - 1), last
    before = query.before or _right_before(*now)
    sums = [await totals(connection, org_id, campaign_id, Slice.days(first, last)) for first, last in (now, before)]
    return PeriodComparison(
        currency=money,
        period=_period(*now, sums[0]),
        before=_period(*before, sums[1]),
        change=Changes(**{metric: _change(metric, *sums) for metric in METRICS}),
        tests=_tests(*sums),
    )


async def sample_size(connection: Connection, org_id: str, campaign_id: UUID, query: SampleSizeQuery) -> SampleSize:
    """Raises NotFound, and InvalidPayload when the rates are none or there is no baseline."""
    await currency(connection, org_id, campaign_id)
    baseline = query.baseline
    if baseline is None:
        count = count_of(query.metric, await totals(connection, org_id, campaign_id, Slice()))
        if not is_proportion(count) or not 0 < count.rate < 1:
            raise InvalidPayload.of("baseline", "the campaign has no such rate yet: give one", "missing")
        baseline = number(count.rate)
    if baseline + query.effect >= 1:
        raise InvalidPayload.of("effect", "together with the baseline it must be below 1", "out_of_range")
    return SampleSize(
        metric=query.metric,
        baseline=baseline,
        effect=query.effect,
        alpha=query.alpha,
        power=query.power,
        per_variant=required_sample_size(baseline, query.effect, query.alpha, query.power),
    )


def _right_before(first: date, last: date) -> tuple[date, date]:
    """As many days."""
    return first - (last - first) - timedelta(days=1), first - timedelta(days=1)


def _period(first: date, last: date, sums: Totals) -> PeriodOut:
    return PeriodOut(date_from=first, date_to=last, days=(last - first).days + 1, kpis=KpisOut.of(sums))


def _change(metric: Metric, now: Totals, before: Totals) -> Change:
    later, earlier = exact(now, metric), exact(before, metric)
    if later is None or earlier is None:
        return Change(absolute=None, relative=None)
    difference = later - earlier
    return Change(
        absolute=shown(metric, difference),
        relative=number(difference / abs(earlier)) if earlier else None,
    )


def _tests(now: Totals, before: Totals) -> list[RateTest]:
    tests = []
    for metric in COUNTS:
        later, earlier = count_of(metric, now), count_of(metric, before)
        if is_proportion(later) and is_proportion(earlier):
            z, p = two_proportion_z(later, earlier)
            interval = interval_out(newcombe(earlier, later))
            z, p = (None if one is None else number(one) for one in (z, p))
            tests.append(RateTest(metric=metric, z=z, p=p, interval=interval))
    return tests

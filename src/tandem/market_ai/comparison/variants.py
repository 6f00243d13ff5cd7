"""From a campaign's daily sums to what can be said of its variants."""

from collections.abc import Mapping, Sequence
from datetime import date

from tandem.market_ai.comparison.schemas import (
    COUNTS,
    Decision,
    IntervalOut,
    PairOut,
    Rate,
    SampleRatioOut,
    VariantComparison,
    VariantOut,
    VariantsQuery,
)
from tandem.market_ai.figures import number
from tandem.market_ai.statistics.bayes import probability_best
from tandem.market_ai.statistics.kpi import Totals
from tandem.market_ai.statistics.proportions import (
    Count,
    Interval,
    newcombe,
    required_sample_size,
    two_proportion_z,
    wilson,
)
from tandem.market_ai.statistics.sample_ratio import sample_ratio
from tandem.market_ai.statistics.sequential import Sequential, adjusted, pairwise, winner

Days = Mapping[date, Mapping[str, Totals]]


def compared(query: VariantsQuery, names: Sequence[str], days: Days, left_out: int) -> VariantComparison:
    """`days` has the sums of each day, the earliest first; `names` are in order. Takes up to half a second."""
    looks = _looks(query.metric, names, days)
    counts = looks[-1] if looks else {}
    proper = {name: count for name, count in counts.items() if is_proportion(count)}
    tests = pairwise([{name: look[name] for name in proper} for look in looks], query.effect**2)
    best = probability_best(proper) if proper else {}
    shown = [sum(sums[name].impressions for sums in days.values() if name in sums) for name in names]
    ratio = _ratio(query.weight, shown)
    decision, won = _decide(query.alpha, proper, tests, ratio)
    return VariantComparison(
        metric=query.metric,
        alpha=query.alpha,
        effect=query.effect,
        date_from=min(days, default=None),
        date_to=max(days, default=None),
        variants=[_variant(name, count, best.get(name)) for name, count in counts.items()],
        pairs=[_pair((a, b), proper, test, len(tests)) for (a, b), test in tests.items()],
        sample_ratio=ratio,
        required_sample_size=_required(query, proper),
        winner=won,
        decision=decision,
        left_out=left_out,
    )


def interval_out(interval: Interval) -> IntervalOut:
    return IntervalOut(low=number(interval.low), high=number(interval.high))


def count_of(metric: Rate, of: Totals) -> Count:
    successes, trials = COUNTS[metric]
    return Count(getattr(of, successes), getattr(of, trials))


def _looks(metric: Rate, names: Sequence[str], days: Days) -> list[dict[str, Count]]:
    """Cumulative, one a day."""
    so_far = dict.fromkeys(names, Count(0, 0))
    looks = []
    for sums in days.values():
        today = {name: count_of(metric, sums.get(name, Totals())) for name in names}
        so_far = {
            name: Count(so_far[name].successes + one.successes, so_far[name].trials + one.trials)
            for name, one in today.items()
        }
        looks.append(so_far)
    return looks


def is_proportion(count: Count) -> bool:
    """Someone may convert twice, or without a click that was counted: then a rate is no proportion."""
    return 0 < count.trials >= count.successes


def _decide(
    alpha: float, counts: Mapping[str, Count], tests: Mapping[tuple[str, str], Sequential], ratio: SampleRatioOut | None
) -> tuple[Decision, str | None]:
    if len(counts) < 2:
        return "too_few_variants", None
    if ratio is not None and ratio.mismatch:
        return "sample_ratio_mismatch", None
    won = winner(tests, {name: count.rate for name, count in counts.items()}, alpha)
    return ("undecided", None) if won is None else ("winner", won)


def _variant(name: str, count: Count, best: float | None) -> VariantOut:
    return VariantOut(
        name=name,
        trials=count.trials,
        successes=count.successes,
        rate=number(count.rate) if count.trials else None,
        interval=interval_out(wilson(count)) if is_proportion(count) else None,
        probability_best=None if best is None else round(best, 6),
    )


def _pair(names: tuple[str, str], counts: Mapping[str, Count], test: Sequential, pairs: int) -> PairOut:
    a, b = (counts[name] for name in names)
    fixed = two_proportion_z(a, b)
    return PairOut(
        a=names[0],
        b=names[1],
        difference=number(b.rate - a.rate),
        interval=interval_out(newcombe(a, b)),
        z=None if fixed.z is None else number(fixed.z),
        p=None if fixed.p is None else number(fixed.p),
        statistic=number(test.statistic),
        always_valid_p=number(test.p),
        adjusted_p=number(adjusted(test.p, pairs)),
    )


def _ratio(weights: Sequence[float], impressions: Sequence[int]) -> SampleRatioOut | None:
    """Of what was split, whatever the rate: how many clicks there are is up to the variants themselves."""
    if len(impressions) < 2 or not sum(impressions):
        return None
    weights = weights or [1.0] * len(impressions)
    found = sample_ratio(impressions, weights)
    return SampleRatioOut(
        weights=[number(weight / sum(weights)) for weight in weights],
        chi2=number(found.chi2),
        p=number(found.p),
        mismatch=found.mismatch,
    )


def _required(query: VariantsQuery, counts: Mapping[str, Count]) -> int | None:
    trials = sum(count.trials for count in counts.values())
    rate = sum(count.successes for count in counts.values()) / trials if trials else 0.0
    return required_sample_size(rate, query.effect, query.alpha) if 0 < rate < 1 - query.effect else None

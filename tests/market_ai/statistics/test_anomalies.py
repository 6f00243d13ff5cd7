"""Which days are found odd, and which are not."""

import random
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.market_ai.statistics.anomalies import MIN_DAYS, SEASONAL_DAYS, anomalies

FIRST = date(2026, 9, 1)


def days_of(values: list[float]) -> dict[date, float]:
    return {FIRST + timedelta(days=at): value for at, value in enumerate(values)}


def weekly(days: int, dice: random.Random, trend: float = 0) -> list[float]:
    """Half as much at weekends, some noise, and a trend."""
    first = FIRST.weekday()
    return [(500.0 if (first + at) % 7 >= 5 else 1000.0) + trend * at + dice.gauss(0, 20) for at in range(days)]


def test_a_spike_and_a_hole_are_found_in_few_days() -> None:
    values = [100.0, 104, 98, 101, 99, 350, 103, 97, 100, 5, 102, 98]
    found = anomalies(days_of(values))
    assert [(one.value, one.expected, one.score > 0) for one in found] == [(350, 100, True), (5, 100, False)]


def test_a_weekly_rhythm_and_a_trend_are_not_odd_but_a_busy_sunday_is() -> None:
    values = weekly(70, random.Random(1), trend=15)  # noqa: S311
    assert anomalies(days_of(values)) == []
    sunday = next(at for at in range(30, 70) if (FIRST + timedelta(days=at)).weekday() == 6)
    values[sunday] += 500  # as much as on a weekday
    found = anomalies(days_of(values))
    assert [one.day for one in found] == [FIRST + timedelta(days=sunday)]
    assert abs(found[0].expected - (500 + 15 * sunday)) < 150


def test_missing_days_are_not_judged_and_do_not_shift_weekdays() -> None:
    values = days_of(weekly(84, random.Random(4)))  # noqa: S311
    for at in (3, 17, 18, 40, 66):
        del values[FIRST + timedelta(days=at)]
    assert anomalies(values) == []


def test_too_few_days_and_days_without_any_spread_say_nothing() -> None:
    assert anomalies(days_of([1.0] * (MIN_DAYS - 2) + [1000.0])) == []
    assert anomalies(days_of([7.0] * 60)) == []
    assert anomalies(days_of([0.1 + 0.2] * 40)) == []
    assert anomalies({}) == []


def test_where_most_days_are_equal_the_odd_one_is_still_found() -> None:
    values = [0.0] * 40
    values[20] = 50
    assert [one.value for one in anomalies(days_of(values))] == [50]


def test_ordinary_noise_is_seldom_odd() -> None:
    dice, flagged, judged = random.Random(9), 0, 0  # noqa: S311
    for _ in range(50):
        values = weekly(56, dice)
        flagged, judged = flagged + len(anomalies(days_of(values))), judged + len(values)
    assert flagged / judged < 0.01


@settings(deadline=None)
@given(st.lists(st.floats(-1e12, 1e12), max_size=SEASONAL_DAYS + 20))
def test_whatever_the_numbers_a_score_is_one(values: list[float]) -> None:
    for one in anomalies(days_of(values)):
        assert abs(one.score) > 3.5
        assert (one.score > 0) == (one.value > one.expected)

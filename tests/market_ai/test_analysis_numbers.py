"""Which numbers of a text are those of the facts."""

import json
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.market_ai.analysis.findings import figures, findings, money, percent, said
from tandem.market_ai.analysis.numbers import Computed, uncomputed
from tandem.market_ai.analysis.schemas import Summary
from tandem.market_ai.analysis.telling import faults
from tandem.market_ai.figures import METRICS, exact, shown
from tandem.market_ai.llm.offline_summary import write_summary
from tandem.market_ai.metrics.schemas import KpisOut
from tandem.market_ai.statistics.kpi import Totals

FACTS: dict[str, Any] = {
    "campaign": {
        "name": "Spring 2026",
        "objective": "500 orders",
        "channels": ["web2"],
        "budget": {"amount": "5000.000000", "currency": "EUR"},
        "starts_at": "2026-08-31T22:00:00Z",
    },
    "total": {
        "impressions": 125000, "clicks": 3200, "conversions": 145, "cost": "2500.000000", "ctr": 0.0256,
        "cvr": 0.0453125, "cpa": "17.241379", "roas": 3.3, "roi": -0.5,
    },
    "change": {"clicks": {"absolute": -70, "relative": -0.3333333333}},
    "variants": [{"name": "7"}, {"name": "B4", "rate": 0}],
    "date_from": "2026-09-01",
    "days": 7,
    "confidence": 0.95,
    "id": "01980b14-7f2e-7c3a-9d55-3f1f0a6b2c11",
}  # fmt: skip
COMPUTED = Computed.of(FACTS)

TRUE = [
    "125,000 impressions", "125.000 Impressionen", "125 000 impressions", "125\u202f000", "1,25,000", "125'000", "125000",
    "125k", "125 thousand", "0.125 million", "0,125 Mio", "3,200 clicks", "3.2k", "2.56 %", "2.6%", "2,56 Prozent",
    "4.53 percent", "4.5 %", "0.0256", "0.026", "EUR 2,500.00", "2.500,00 EUR", "€2500", "2.5k", "17.24", "17", "3.3", "330 %",
    "ROI of -0.5", "\u221250 %", "-50.0 %", "fell by 33 %", "-33.3 %", "70 fewer", "lost 33.33 percentage points",
    "since 2026-09-01", "from 2026-08-31", "Spring 2026", "SPRING 2026 did well", "variant 7", "“7” leads", "B4 follows",
    "web2", "seven days", "7 days", "95 % sure", "\u0661\u0664\u0665 conversions", "\uff11\uff14\uff15", "145, 7 and 3200",
    "145 7 apples", "0 %", "1\u200b45", "in 7-day steps", "budget of 5,000", "no number at all", "one of them",
]  # fmt: skip
FALSE = [
    "500 orders", "the 20th", "2.57 %", "3 %", "ROI of 50 %", "ROI of 0.5", "+33 %", "33.4 %", "45 %", "2026", "2027-01-01",
    "1 September", "B5", "7.5", "variant 7.5", "variant 77", "eight", "doubled", "Twice", "half of it", "a dozen", "125,001",
    "126k", "1.25 million", "1e5", "½", "250", "0.3", "two", "12 7", "Spring 20265", "Spring 2027", "-3200", "125,00", "7 %",
    "5 %", "3200 %", "17.25", "17.2414 million", "0." + "3" * 60, "9" * 5000, "1e999999", "7/24", "10:30", "#1", "x3", "3x",
    "125,000,000", "14.5", "\u2155", "two thousand", "3,2,0,0", "0.95.1", "1st", "145 8", "7 000", "7 000,99", ".7", "7.000,99",
]  # fmt: skip


@pytest.mark.parametrize("text", TRUE)
def test_a_computed_number_is_one_however_it_is_written(text: str) -> None:
    assert uncomputed([text], COMPUTED) == []


@pytest.mark.parametrize("text", FALSE)
def test_a_number_that_nobody_computed_is_found(text: str) -> None:
    assert uncomputed([text], COMPUTED) != []


def test_each_is_named_once_as_it_is_written_in_all_texts() -> None:
    texts = ["It made 9,999 euros, not 145.", "9,999 again", "and 4.2 % more"]
    assert uncomputed(texts, COMPUTED) == ["9,999", "4.2 %"]


def test_all_is_a_hundred_percent() -> None:
    assert uncomputed(["100 % of one"], Computed.of({"rate": 1, "clicks": 3})) == []
    assert uncomputed(["300 %"], Computed.of({"rate": 1, "clicks": 3})) == ["300 %"]


def test_numbers_beyond_all_bounds_are_read_too() -> None:
    enormous = Computed.of({"statistic": 1.0142320547350045e304, "p": 1e-304, "clicks": 10**30})
    assert uncomputed(["12.3456789012 and 1.2e304"], enormous) == ["12.3456789012", "1.2e304"]
    assert uncomputed([f"{10**30:,} clicks"], enormous) == []


def test_words_are_read_in_english_only() -> None:
    """`ten` is a preposition in Dutch."""
    assert uncomputed(["ten opzichte van"], COMPUTED, english=False) == []
    assert faults(Summary(summary="Ten of them", recommendations=[]), FACTS, "English") == ["Ten"]
    assert faults(Summary(summary="Ten opzichte van 9", recommendations=[]), FACTS, "Dutch") == ["9"]


@settings(deadline=None, max_examples=400)
@given(st.text(alphabet="0123456789.,%-+ eEkM'\u2212ab\u00bd\u0665\u200b", max_size=40))
def test_whatever_the_text_it_is_read_and_no_digit_escapes(text: str) -> None:
    """With nothing computed, a text with any digit in it has an uncomputed number."""
    found = uncomputed([text], Computed())
    assert bool(found) == any(c.isdecimal() or c == "\u00bd" for c in text)


COUNTS = st.integers(0, 10**12)


@settings(deadline=None)
@given(st.builds(Totals, COUNTS, COUNTS, COUNTS, *[st.integers(0, 10**18)] * 2))
def test_every_figure_is_found_again_as_people_write_it(totals: Totals) -> None:
    facts = json.loads(KpisOut.of(totals).model_dump_json())
    computed = Computed.of(facts)
    for metric in METRICS:
        value = shown(metric, exact(totals, metric))
        if value is not None:
            assert uncomputed([said(metric, value, "EUR")], computed) == [], (metric, value)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6))
def test_rounded_numbers_are_found_again(number: float) -> None:
    facts = {"relative": float(f"{number:.10g}")}
    if abs(number) > 1e-6:
        assert uncomputed([f"by {percent(abs(facts['relative']))}", figures(number)], Computed.of(facts)) == []


def test_numbers_are_written_to_three_digits_and_money_to_cents_unless_it_is_less_than_one() -> None:
    assert [figures(one) for one in (0, 0.000123456, 2.5, 33.333, 1234.5, -0.5)] == [
        "0", "0.000123", "2.50", "33.3", "1,234", "-0.500",
    ]  # fmt: skip
    assert [money(one) for one in ("2500.000000", "0.125000", "1234567.891234", "0.500000")] == [
        "2,500.00", "0.125000", "1,234,567.89", "0.50",
    ]  # fmt: skip
    assert said("ctr", 0.0256) == "2.56 %"
    assert said("cost", "12.500000", "CHF") == "CHF 12.50"


def test_what_is_said_without_a_model_is_computed_in_every_case() -> None:
    """Winners, undecided and broken tests, falls and rises, with numbers in every name."""
    for decision in ("winner", "undecided", "sample_ratio_mismatch"):
        for relative in (None, 0, -0.123456, 2.5):
            metrics = some_metrics(decision, relative)
            facts = {
                **FACTS,
                "metrics": metrics,
                "findings": findings(metrics),
                "content": {"total": 0, "by_status": {}},
            }
            said_ = Summary.model_validate(write_summary(facts))
            assert faults(said_, facts, "English") == [], said_
            assert len(facts["findings"]) == (5 if relative is None else 6)


def some_metrics(decision: str, relative: float | None) -> dict[str, Any]:
    totals = Totals(125000, 3200, 145, 2500 * 10**6, 8250 * 10**6)
    kpis = json.loads(KpisOut.of(totals).model_dump_json())
    period = {"date_from": "2026-09-08", "date_to": "2026-09-14", "days": 7, "kpis": kpis}
    change = {"clicks": {"absolute": 5, "relative": relative}, "conversions": {"absolute": 0, "relative": None}}
    odd = {"metric": "cost", "date": "2026-09-09", "value": "99.120000", "expected": "12.345678", "score": 9.87}
    variants = [{"name": "2", "rate": 0.02}, {"name": "B-3000", "rate": 0.0312345}]
    comparison = {"metric": "ctr", "decision": decision, "winner": None, "leading": "B-3000", "variants": variants}
    return {
        "currency": "EUR",
        "date_from": str(date(2026, 9, 1)),
        "date_to": "2026-09-14",
        "total": kpis,
        "trend": {"period": period, "before": period, "change": change},
        "anomalies": [odd],
        "comparisons": [comparison],
        "half": float(Fraction(1, 2)),
    }

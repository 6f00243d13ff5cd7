"""The reference numbers, to six digits."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tandem.market_ai.statistics.bayes import probability_best
from tandem.market_ai.statistics.kpi import Kpis, Totals, kpis
from tandem.market_ai.statistics.proportions import Count, newcombe, two_proportion_z
from tandem.market_ai.statistics.sample_ratio import sample_ratio
from tandem.market_ai.statistics.sequential import msprt

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data" / "statistics.json").read_text())


def same(expected: float) -> Any:
    """To six digits, or to those that the vectors have."""
    digits = len(str(expected).replace("-", "").replace(".", "").lstrip("0").partition("e")[0])
    return pytest.approx(expected, rel=max(5 * 10.0**-digits, 1e-6))


@pytest.mark.parametrize("vector", VECTORS["two_proportion"])
def test_the_test_of_two_proportions_and_its_interval(vector: dict[str, Any]) -> None:
    a, b = Count(*vector["a"]), Count(*vector["b"])
    z, p = two_proportion_z(a, b)
    assert (z, p) == (same(vector["z"]), same(vector["p"]))
    if "newcombe_95_b_minus_a" in vector:
        low, high = vector["newcombe_95_b_minus_a"]
        assert newcombe(a, b) == (same(low), same(high))


def test_the_key_figures() -> None:
    given = VECTORS["kpi"]["in"]
    cost, revenue = (int(Decimal(given[name]) * 1_000_000) for name in ("cost", "revenue"))
    found = kpis(Totals(given["impressions"], given["clicks"], given["conversions"], cost, revenue))
    assert set(VECTORS["kpi"]["out"]) == set(Kpis._fields)
    for name, expected in VECTORS["kpi"]["out"].items():
        assert float(getattr(found, name)) == same(expected), name


@pytest.mark.parametrize("vector", VECTORS["bayes_beta_1_1"])
def test_the_probability_to_be_better(vector: dict[str, Any]) -> None:
    best = probability_best({"a": Count(*vector["a"]), "b": Count(*vector["b"])})
    assert best["b"] == same(vector["p_b_better"])


@pytest.mark.parametrize("vector", VECTORS["sample_ratio"])
def test_the_sample_ratio(vector: dict[str, Any]) -> None:
    found = sample_ratio(vector["counts"], vector["expected"])
    assert found == (same(vector["chi2"]), same(vector["p"]))


@pytest.mark.parametrize("vector", VECTORS["msprt"])
def test_the_sequential_test(vector: dict[str, Any]) -> None:
    found = msprt([(Count(*vector["a"]), Count(*vector["b"]))], vector["tau2"])
    assert (found.statistic, found.p) == (same(vector["lambda"]), same(vector["always_valid_p"]))

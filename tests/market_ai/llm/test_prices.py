"""Prices, worst cases and what they rest on, without a server."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.market_ai.llm import UnknownModel, Usage, bounds
from tandem.market_ai.llm.endpoint import OPENAI
from tandem.market_ai.llm.prices import FixedPrices, dialect_of, listed, micros
from tests.market_ai.llm.asking import Asking

GATEWAY = "http://127.0.0.1:9/v1"
TEXT = st.text(st.characters(codec="utf-8"), max_size=300)


def test_micro_dollars_are_rounded_up_once() -> None:
    assert [micros(Decimal(n)) for n in ("0", "0.0000001", "0.000001", "1.0000011")] == [0, 1, 1, 1_000_002]
    prices = listed("gpt-4o-mini", OPENAI)
    assert prices.actual(Usage(input_tokens=1, output_tokens=1)) == 1  # 0.15 and 0.6
    assert prices.actual(Usage(input_tokens=1000, output_tokens=1000)) == 750
    assert prices.actual(Usage(input_tokens=1000, cached_tokens=1000, output_tokens=0)) == 75
    assert prices.actual(Usage(input_tokens=1000, output_tokens=0, searches=2)) == 5150


def test_an_answer_of_another_tier_costs_what_that_tier_costs() -> None:
    usage = Usage(input_tokens=1000, output_tokens=1000)
    prices = listed("gpt-4o-mini", OPENAI)
    assert prices.actual(usage, "priority") > prices.actual(usage, "default") == prices.actual(usage)


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("no-such-model", OPENAI),
        ("no-such-model", GATEWAY),
        ("gpt-4o-mini", "https://api.githubcopilot.com"),  # listed, but by no price
    ],
)
def test_a_model_without_a_price_is_refused(model: str, base_url: str) -> None:
    with pytest.raises(UnknownModel):
        listed(model, base_url)


def test_a_search_without_a_fee_is_refused() -> None:
    prices = listed("gpt-4.1-nano", OPENAI)
    assert prices.worst(1000, 1000, 0) > 0
    with pytest.raises(UnknownModel):
        prices.worst(1000, 1000, 1)


def test_contradicting_counts_have_no_price() -> None:
    with pytest.raises(ValueError, match="cannot exceed"):
        listed("gpt-4o-mini", OPENAI).actual(Usage(input_tokens=1, cached_tokens=2))


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-5-mini", "gpt-5.4", "gpt-6-luna", "o3"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(model: str, data: st.DataObject) -> None:
    most_in, most_out = data.draw(st.integers(1, 600_000)), data.draw(st.integers(0, 50_000))
    given_in = data.draw(st.integers(0, most_in))
    cached = data.draw(st.integers(0, given_in))
    usage = Usage(given_in, cached, data.draw(st.integers(0, given_in - cached)), data.draw(st.integers(0, most_out)))
    prices = listed(model, OPENAI)
    assert prices.actual(usage, "default") <= prices.worst(most_in, most_out, 0)


def test_prices_of_the_settings_hold_for_any_model() -> None:
    prices = FixedPrices(Decimal("0.5"), Decimal(2))
    assert prices.worst(1000, 100, 1) == 500 + 200 + 2500
    assert prices.actual(Usage(input_tokens=1000, cached_tokens=900, output_tokens=100)) == 700
    assert FixedPrices(Decimal(0), Decimal(0)).worst(10**6, 10**6, 0) == 0


def test_who_speaks_which_dialect() -> None:
    assert dialect_of("gpt-4o-mini", OPENAI) == dialect_of("whatever", "https://eu.api.openai.com/v1") == "openai"
    assert dialect_of("gpt-4o-mini", GATEWAY) == "openai"
    assert dialect_of("gpt-4o-mini", "https://us.openai.azure.com/openai/v1") == "azure"
    assert dialect_of("llama", GATEWAY) == dialect_of("openai/gpt-4o", "https://openrouter.ai/api/v1") == "compatible"


@settings(max_examples=30, deadline=None)
@given(text=TEXT, instructions=TEXT)
def test_the_bound_covers_the_text_as_it_is_sent(text: str, instructions: str) -> None:
    prompt = Asking.prompt(text=text, instructions=instructions)
    sent = json.dumps([instructions, text, prompt.schema], ensure_ascii=False, separators=(",", ":"))
    assert len(sent.encode()) + 1000 < bounds.body_limit(prompt) <= bounds.input_tokens(prompt, 0, None)


def test_a_search_reads_the_prompt_again_but_never_more_than_the_window() -> None:
    prompt = Asking.prompt(text="x" * 1000)
    once, twice = bounds.input_tokens(prompt, 0, None), bounds.input_tokens(prompt, 1, None)
    assert twice > 2 * once + bounds.MAX_RESULTS * 4096
    assert bounds.input_tokens(prompt, 1, 1600) == 2 * 1700

"""What each thing that a provider can do means for the bill."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tandem.market_ai.llm import (
    Answer,
    Citation,
    NotBilled,
    OutcomeUnknown,
    UnusableAnswer,
)
from tandem.market_ai.llm.endpoint import Endpoint
from tandem.market_ai.llm.openai_adapter import OpenAIModel
from tests.market_ai.llm.asking import KEY, Asking
from tests.openai_server import OpenAIServer
from tests.servers import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("behave", ["ok", "cached", "greedy", "usage_everywhere", "late_cut"])
async def test_an_answer_costs_what_was_billed_and_less_than_the_worst_case(asking: Asking, behave: str) -> None:
    answer = await asking(behave)
    assert isinstance(answer, Answer), answer
    assert answer.output.variants[0].headline == "A headline from the loopback model"
    assert answer.micros == asking.billed <= asking.model.worst_case(asking.prompt(behave))
    bill = asking.server.ledger.lines[-1]
    assert vars(answer.usage) == {"cache_write_tokens": 0} | {
        name: bill[name] for name in vars(answer.usage) if name in bill
    }
    assert answer.model == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("behave", "reason", "retryable", "retry_after"),
    [
        ("status:400", "bad_request", False, None),
        ("status:401", "unauthorized", False, None),
        ("status:403", "forbidden", False, None),
        ("status:404", "not_found", False, None),
        ("status:409", "refused", True, None),
        ("status:422", "bad_request", False, None),
        ("status:429", "rate_limited", True, 7.0),
        ("quota", "quota_exceeded", False, None),
        ("status:500", "server_error", True, None),
        ("status:503", "unavailable", True, 7.0),
        ("status:302", "refused", False, None),
    ],
)
async def test_a_refusal_is_not_billed(
    asking: Asking, behave: str, reason: str, retryable: bool, retry_after: float | None
) -> None:
    error = await asking(behave)
    assert isinstance(error, NotBilled), error
    assert (error.reason, error.retryable, error.retry_after) == (reason, retryable, retry_after)
    assert asking.billed == 0


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        ("status:408", "gateway_error"),
        ("status:502", "gateway_error"),
        ("status:504", "gateway_error"),
        ("status:524", "gateway_error"),
        ("cut", "cut_off"),
        ("cut_at_once", "cut_off"),
        ("quiet_end", "cut_off"),
        ("no_usage", "missing_usage"),
        ("garbage", "malformed_answer"),
        ("error_in_stream", "failed_in_stream"),
    ],
)
async def test_what_nobody_can_know_is_unknown(asking: Asking, behave: str, reason: str) -> None:
    error = await asking(behave)
    assert isinstance(error, OutcomeUnknown), error
    assert error.reason == reason


@pytest.mark.parametrize(
    ("behave", "reason", "retryable"),
    [("not_json", "invalid_answer", True), ("wrong_json", "invalid_answer", True), ("refuse", "refused", False)],
)
async def test_an_answer_of_no_use_is_paid_for(asking: Asking, behave: str, reason: str, retryable: bool) -> None:
    error = await asking(behave)
    assert isinstance(error, UnusableAnswer), error
    assert (error.reason, error.retryable, error.micros) == (reason, retryable, asking.billed)
    assert error.micros > 0


async def test_an_answer_that_was_cut_short_is_paid_for(asking: Asking) -> None:
    error = await asking(max_output_tokens=16)
    assert isinstance(error, UnusableAnswer), error
    assert (error.reason, error.usage.output_tokens, error.micros) == ("cut_short", 16, asking.billed)


async def test_a_response_that_failed_with_its_usage_is_paid_for(asking: Asking) -> None:
    if asking.model.searches_files:  # chat completions know no such end
        error = await asking("failed")
        assert isinstance(error, UnusableAnswer), error
        assert (error.reason, error.detail, error.micros) == ("failed", "boom", asking.billed)


async def test_a_stream_of_another_shape_is_an_error_of_ours_or_an_answer(asking: Asking) -> None:
    result = await asking("wrong_shape")
    assert isinstance(result, OutcomeUnknown) or result.micros == asking.billed  # type: ignore[union-attr]


async def test_an_answer_that_stops_coming_is_given_up(asking: Asking, endpoint: Endpoint) -> None:
    model = OpenAIModel(replace(endpoint, stall=0.1, vector_store="vs_1" if asking.model.searches_files else None))
    error = await Asking(asking.server, model)("stall")
    await model.close()
    assert isinstance(error, OutcomeUnknown)
    assert error.reason == "stalled"


async def test_silence_ends_with_the_time_of_the_call(openai: OpenAIServer, endpoint: Endpoint) -> None:
    model = OpenAIModel(replace(endpoint, timeout=0.3))
    error = await Asking(openai, model)("silent")
    assert isinstance(error, OutcomeUnknown)
    assert error.reason == "timeout"
    await model.close()


async def test_until_it_begins_an_answer_may_take_longer_than_silence_in_its_middle(
    openai: OpenAIServer, endpoint: Endpoint
) -> None:
    model = OpenAIModel(replace(endpoint, stall=0.001))
    error = await Asking(openai, model)("slow:0.3")
    await model.close()
    assert openai.ledger.lines[-1]["behaviour"] == "slow"
    assert isinstance(error, Answer) or error.reason == "stalled"  # in its middle, on a busy machine


async def test_an_address_where_nobody_listens_is_not_billed(endpoint: Endpoint, openai: OpenAIServer) -> None:
    model = OpenAIModel(replace(endpoint, base_url=f"http://127.0.0.1:{free_port()}/v1"))
    error = await Asking(openai, model)()
    assert isinstance(error, NotBilled)
    assert (error.reason, error.retryable) == ("unreachable", True)
    await model.close()


async def test_a_cancelled_call_ends_as_cancelled(asking: Asking) -> None:
    with pytest.raises(TimeoutError):  # which is what wait_for makes of its cancellation
        await asyncio.wait_for(asking("silent"), 0.3)


async def test_no_request_is_made_twice(asking: Asking) -> None:
    for behave in ("status:500", "status:429", "cut_at_once"):
        before = len(asking.server.ledger.lines)
        await asking(behave)
        assert len(asking.server.ledger.lines) == before + 1


async def test_the_key_is_in_no_error(asking: Asking) -> None:
    error = await asking("status:401")
    assert str(error) == "unauthorized: status 401 for key ***"
    assert KEY not in repr(error)


async def test_partial_answers_are_shown_and_grow(asking: Asking) -> None:
    seen = []

    async def show(partial: dict[str, Any]) -> None:
        seen.append(partial["variants"][0].get("headline", ""))

    answer = await asking("drip:0.02", on_partial=show)
    assert isinstance(answer, Answer)
    headline = answer.output.variants[0].headline
    assert seen
    assert seen == sorted(seen, key=len)
    assert all(headline.startswith(shown) for shown in seen)


async def test_an_answer_survives_whoever_cannot_show_it(asking: Asking) -> None:
    async def show(partial: dict[str, object]) -> None:
        raise RuntimeError("the screen is gone")

    assert isinstance(await asking(on_partial=show), Answer)


async def test_the_files_an_answer_rests_on_are_named(asking: Asking) -> None:
    marked, found = await asking("ok"), await asking("greedy")  # the second marks nothing in its text
    expected = (Citation("file-1", "prices.md"),) if asking.model.searches_files else ()
    assert isinstance(marked, Answer)
    assert isinstance(found, Answer)
    assert marked.citations == found.citations == expected


async def test_calls_at_the_same_time_do_not_mix(asking: Asking) -> None:
    asked = ["ok", "wrong_json", "status:429", "no_usage", "ok", "cut"]
    results = await asyncio.gather(*(asking(behave) for behave in asked))
    kinds = [Answer, UnusableAnswer, NotBilled, OutcomeUnknown, Answer, OutcomeUnknown]
    assert [type(result) for result in results] == kinds

"""What is sent, and that the worst case holds for it."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import BaseModel

from tandem.market_ai.llm import Answer, NotBilled, UnusableAnswer, bounds
from tandem.market_ai.llm.endpoint import Endpoint
from tandem.market_ai.llm.openai_adapter import OpenAIModel
from tandem.market_ai.llm.prices import FixedPrices
from tests.market_ai.llm.asking import Asking, Copies
from tests.openai_server import OpenAIServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_request_asks_for_what_the_price_relies_on(asking: Asking) -> None:
    await asking(temperature=0.5)
    body = asking.body
    assert (body["service_tier"], body["store"], body["temperature"]) == ("default", False, 0.5)
    if asking.model.searches_files:
        assert (body["max_output_tokens"], body["max_tool_calls"]) == (200, bounds.MAX_SEARCHES)
        tool = {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": bounds.MAX_RESULTS}
        assert body["tools"] == [tool]
    else:
        assert (body["max_completion_tokens"], body["stream_options"]) == (200, {"include_usage": True})
        assert body["response_format"]["json_schema"]["strict"] is True
        assert "max_tokens" not in body


async def test_files_are_searched_only_when_the_prompt_says_so(asking: Asking) -> None:
    quiet = asking.prompt(use_file_search=False)
    answer = await asking(use_file_search=False)
    assert isinstance(answer, Answer)
    assert "tools" not in asking.body
    assert answer.usage.searches == 0
    searching = asking.model.worst_case(asking.prompt())
    assert (searching > asking.model.worst_case(quiet)) == asking.model.searches_files


async def test_a_model_that_is_nobodys_gets_the_plainest_request(openai: OpenAIServer, endpoint: Endpoint) -> None:
    prices = FixedPrices(Decimal(1), Decimal(4))
    model = OpenAIModel(replace(endpoint, model="llama-at-home"), prices)
    asking = Asking(openai, model)
    answer = await asking()
    assert isinstance(answer, Answer)
    assert answer.micros == asking.billed
    assert asking.body["max_tokens"] == 200
    assert {"service_tier", "store", "max_completion_tokens"} & asking.body.keys() == set()
    await model.close()


async def test_a_reasoning_model_is_sent_no_temperature(openai: OpenAIServer, endpoint: Endpoint) -> None:
    model = OpenAIModel(replace(endpoint, model="gpt-5-mini"))
    assert isinstance(await Asking(openai, model)(temperature=0.5), Answer)
    assert "temperature" not in openai.bodies[-1]
    await model.close()


async def test_a_model_without_schemas_is_asked_in_words(openai: OpenAIServer, endpoint: Endpoint) -> None:
    model = OpenAIModel(replace(endpoint, model="deepseek/deepseek-chat"), FixedPrices(Decimal(1), Decimal(4)))
    openai.control["answer"] = {"variants": [{"headline": "a", "body": "b"}]}
    answer = await Asking(openai, model)()
    openai.control["answer"] = None
    await model.close()
    assert isinstance(answer, Answer), answer
    assert "json_schema" not in str(openai.bodies[-1])
    assert "variants" in json.dumps(openai.bodies[-1]["messages"])


async def test_the_dearest_answer_stays_within_the_worst_case(asking: Asking) -> None:
    for text in ("", "x" * 20_000, "日本語😀" * 2_000, '"\\\n' * 3_000, "<|im_end|>" * 1_000):
        prompt = asking.prompt(text=f"{text}[[behave:greedy]]")
        answer = await asking.model.write(prompt)
        assert 0 < answer.micros == asking.billed <= asking.model.worst_case(prompt)


async def test_chat_markers_that_get_broken_up_stay_within_the_bound(openai: OpenAIServer, endpoint: Endpoint) -> None:
    model = OpenAIModel(replace(endpoint, model="llama-at-home"), FixedPrices(Decimal(1), Decimal(4)))
    assert isinstance(await Asking(openai, model)(text="<|im_end|>[INST]" * 2_000), Answer)
    await model.close()


async def test_a_longer_body_than_the_worst_case_is_not_sent(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(asking.server.bodies)
    monkeypatch.setattr("tandem.market_ai.llm.bounds.FRAMING", -100_000)
    error = await asking()
    assert isinstance(error, NotBilled)
    assert (error.reason, error.retryable) == ("larger_than_bound", False)
    assert len(asking.server.bodies) == before


class Wide(BaseModel):
    """A type with everything that makes schemas grow."""

    channel: dict[str, str]
    maybe: Copies | None = None
    texts: list[str] = []


async def test_a_schema_that_cannot_be_strict_is_sent_all_the_same(asking: Asking) -> None:
    prompt = asking.prompt(output=Wide)
    answer = await asking.model.write(prompt)
    assert answer.micros <= asking.model.worst_case(prompt)


async def test_output_beyond_the_limit_is_cut_and_not_charged(asking: Asking) -> None:
    prompt = asking.prompt("greedy", max_output_tokens=20)
    answer = await asking.model.write(prompt)
    assert answer.usage.output_tokens == 20
    error = await asking(max_output_tokens=20)
    assert isinstance(error, UnusableAnswer)
    assert error.micros <= asking.model.worst_case(prompt)

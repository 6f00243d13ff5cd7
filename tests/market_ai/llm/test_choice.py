"""Which model the settings choose, what its prompts are known by, and that choosing stays light."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, TypeAdapter

from tandem.core.settings import SettingsError
from tandem.market_ai.llm import Answer, Citation, Prompt, UnknownModel, Usage, model_from
from tandem.market_ai.llm.offline import OfflineModel
from tandem.market_ai.llm.openai_adapter import OpenAIModel
from tandem.market_ai.llm.partials import Partials
from tandem.market_ai.settings import MarketAiSettings
from tests.market_ai.llm.asking import Asking, Copies

HEAVY = {"pydantic_ai", "openai", "genai_prices", "httpx2"}


def settings(**given: Any) -> MarketAiSettings:
    return MarketAiSettings(_env_file=None, environment="test", **given)


def with_key(**given: Any) -> MarketAiSettings:
    return settings(openai_api_key=SecretStr("sk-1"), **given)


def test_without_a_key_copy_is_written_offline() -> None:
    assert isinstance(model_from(settings()), OfflineModel)


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_without_a_key_production_does_not_start(environment: str) -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY is not set"):
        model_from(settings().model_copy(update={"environment": environment}))


def test_with_a_key_the_named_model_writes() -> None:
    model = model_from(with_key(default_model="gpt-4o", openai_vector_store_id="vs_1"))
    assert isinstance(model, OpenAIModel)
    assert (model.name, model.searches_files) == ("gpt-4o", True)
    assert model.worst_case(Asking.prompt()) > model_from(with_key()).worst_case(Asking.prompt()) > 0
    assert "sk-1" not in repr(vars(model))


async def test_a_model_of_unknown_price_says_what_to_set() -> None:
    unknown = {"default_model": "llama-at-home", "openai_base_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(UnknownModel, match="MODEL_INPUT_PRICE"):
        model_from(with_key(**unknown)).worst_case(Asking.prompt())
    with pytest.raises(UnknownModel):
        await model_from(with_key(**unknown)).prepare()
    await model_from(settings()).prepare()
    priced = with_key(**unknown, model_input_price=Decimal(0), model_output_price=Decimal(1))
    assert model_from(priced).worst_case(Asking.prompt()) == 200
    with pytest.raises(SettingsError, match="both or neither"):
        model_from(with_key(model_input_price=Decimal(1)))


def test_importing_the_package_loads_no_model_library() -> None:
    program = (
        "import sys, tandem.market_ai.llm as llm, tandem.market_ai.llm.openai_adapter, tandem.market_ai.llm.offline\n"
        "from tandem.market_ai.settings import MarketAiSettings\n"
        "llm.model_from(MarketAiSettings(_env_file=None, openai_api_key='sk-1'))\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_prompts_that_differ_have_different_hashes() -> None:
    prompt = Asking.prompt(facts={"a": 1, "b": 2})
    others = [
        replace(prompt, text="other"),
        replace(prompt, instructions="other"),
        replace(prompt, facts={"a": 1}),
        replace(prompt, max_output_tokens=201),
        replace(prompt, temperature=0.1),
        replace(prompt, use_file_search=False),
        Asking.prompt(output=Prices, facts=prompt.facts),
    ]
    hashes = {one.prompt_hash("m") for one in others} | {prompt.prompt_hash("m"), prompt.prompt_hash("n")}
    assert len(hashes) == len(others) + 2
    assert prompt.prompt_hash("m") == replace(prompt, facts={"b": 2, "a": 1}).prompt_hash("m")


class Prices(BaseModel):
    price: int


def test_a_prompt_bounds_its_output() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Prompt(task="t", instructions="", text="", output=Copies, max_output_tokens=0)


def test_an_answer_survives_being_kept_as_json() -> None:
    answer = Answer(Prices(price=3), Usage(1, 2, 3, 4, 5), 678, "gpt-4o-mini", (Citation("f", "n"),))
    keep = TypeAdapter(Answer[Prices])
    assert keep.validate_json(keep.dump_json(answer)) == answer


async def test_partial_answers_are_shown_only_when_they_changed() -> None:
    seen = []

    async def show(value: dict[str, Any]) -> None:
        seen.append(value)

    partials = Partials(show)
    assert partials.due
    for text in ("", "{", '{"a": "b', '{"a": "b', "[1]", "no", '{"a": "bc"}'):
        await partials.text(text)
    assert seen == [{"a": "b"}, {"a": "bc"}]
    assert not partials.due
    assert not Partials(None).due

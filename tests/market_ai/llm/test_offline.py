"""Copy from templates: complete, the same each time, and within the brand's rules."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tandem.market_ai.llm import NotBilled, Prompt, Usage
from tandem.market_ai.llm.offline import OfflineModel
from tandem.market_ai.llm.offline_copy import clip


class Field(BaseModel):
    name: str
    value: str


class Variant(BaseModel):
    headline: str
    body: str
    call_to_action: str
    channel: list[Field]
    citations: list[str]


class Variants(BaseModel):
    variants: list[Variant]


class Summary(BaseModel):
    summary: str
    recommendations: list[str]


BRAND = {
    "name": "Ada's Bakery",
    "voice": {
        "tone": "warm",
        "banned_words": ["cheap", "Reserve yours", "story"],
        "required_disclaimer": "Offer valid while stocks last.",
    },
}
KNOWLEDGE = [
    {"id": "k1", "text": "Every stollen rests for two weeks. It keeps until Easter."},
    {"id": "k2", "text": "Cheap butter is never used. We use butter from two farms."},
    {"id": "k3", "text": ""},
]
FACTS: dict[str, Any] = {
    "brief": "The stollen is back. Orders are open until the 20th. It is cheap!",
    "tone": "urgent",
    "variants": 3,
    "campaign": {"name": "Christmas stollen", "audience": "customers of last year"},
    "brand": BRAND,
    "knowledge": KNOWLEDGE,
    "limits": {"headline": 150, "body": 600, "call_to_action": 80},
    "channel": {"subject": 60, "preheader": 90, "hashtags": 150, "headline_short": 30, "hook": 100, "meta_title": 60},
}


def asked(facts: dict[str, Any], task: str = "generate_content", output: type[BaseModel] = Variants) -> Prompt[Any]:
    return Prompt(task=task, instructions="", text="", output=output, max_output_tokens=1000, facts=facts)


async def write(facts: dict[str, Any]) -> list[Variant]:
    variants: list[Variant] = (await OfflineModel().write(asked(facts))).output.variants
    return variants


async def test_copy_is_complete_free_and_marked() -> None:
    model = OfflineModel()
    answer = await model.write(asked(FACTS))
    assert (answer.model, model.name, answer.micros, answer.usage) == ("offline", "offline", 0, Usage())
    assert model.worst_case(asked(FACTS)) == 0
    assert len(answer.output.variants) == 3
    for variant in answer.output.variants:
        assert variant.headline
        assert variant.call_to_action
        assert "Orders are open until the 20th." in variant.body
        assert variant.body.endswith("Offer valid while stocks last.")
    assert len({variant.headline for variant in answer.output.variants}) == 3


async def test_the_same_facts_give_the_same_copy() -> None:
    assert await write(FACTS) == await write(dict(reversed(FACTS.items())))
    assert await write(FACTS) != await write(FACTS | {"brief": "Another one."})


async def test_banned_words_are_in_no_field() -> None:
    facts = FACTS | {"campaign": {"name": "The cheap stollen", "audience": "friends of CHEAP cake"}, "variants": 5}
    for variant in await write(facts):
        assert not re.search(r"\bcheap\b|reserve yours|\bstory\b", variant.model_dump_json(), re.IGNORECASE)


async def test_only_the_knowledge_that_is_used_is_cited() -> None:
    for variant in await write(FACTS):
        assert set(variant.citations) == {"k1", "k2"}
        assert "Every stollen rests for two weeks." in variant.body
        assert "We use butter from two farms." in variant.body
    for variant in await write(FACTS | {"knowledge": []}):
        assert variant.citations == []


async def test_the_fields_are_those_asked_for_within_their_lengths() -> None:
    for variant in await write(FACTS):
        assert [field.name for field in variant.channel] == list(FACTS["channel"])
        assert all(0 < len(field.value) <= FACTS["channel"][field.name] for field in variant.channel)


@pytest.mark.parametrize("most", [90, 180, 600, 5000])
async def test_copy_is_no_longer_than_asked_for(most: int) -> None:
    limits = {"headline": 40, "body": most, "call_to_action": 10}
    brief = "Bread is good for everybody. " * (most // 20)
    for variant in await write(FACTS | {"limits": limits, "brief": brief}):
        assert len(variant.body) <= most
        assert len(variant.body) > most * 0.5
        assert variant.body.endswith("Offer valid while stocks last.")
        assert len(variant.headline) <= 40
        assert len(variant.call_to_action) <= 10


@settings(max_examples=60, deadline=None)
@given(
    facts=st.fixed_dictionaries(
        {},
        optional={
            "brief": st.text(max_size=60),
            "variants": st.integers(1, 5),
            "campaign": st.none()
            | st.fixed_dictionaries({"name": st.text(max_size=20), "audience": st.text(max_size=90)}),
            "brand": st.none() | st.fixed_dictionaries({"name": st.text(max_size=20)}),
            "knowledge": st.lists(
                st.fixed_dictionaries({"id": st.text(max_size=3), "text": st.text(max_size=40)}), max_size=4
            ),
        },
    )
)
async def test_whatever_is_missing_there_is_copy(facts: dict[str, Any]) -> None:
    for variant in await write(facts):
        assert variant.headline
        assert variant.body


@given(text=st.text(max_size=50), most=st.integers(2, 20))
def test_clipping_keeps_to_the_length(text: str, most: int) -> None:
    assert len(clip(text, most)) <= most


async def test_partial_copy_grows_variant_by_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    async def show(partial: dict[str, Any]) -> None:
        seen.append(len(partial["variants"]))

    await OfflineModel().write(asked(FACTS), show)
    assert seen == [1, 2, 3]


async def test_a_summary_has_no_number_that_is_not_in_the_facts() -> None:
    facts = {
        "campaign": {"name": "Stollen 24", "status": "draft"},
        "content": {"total": 7, "by_status": {"draft": 4, "in_review": 3}},
        "ai_budget": {"calls": 12, "spent": "0.031400", "reserved": "0.000000", "unknown": "0.000100"},
        "kpis": {"ctr": "0.0213", "cost_per_click": "0.41", "roas": None, "clicks": 1200},
        "findings": ["Variant B leads by 0.004."],
    }
    answer = await OfflineModel().write(asked(facts, "analyze_campaign", Summary))
    summary = answer.output.summary
    for told in ("Stollen 24 is draft.", "3 in review", "0.031400 US dollars", "CTR 0.0213", "cost per click 0.41"):
        assert told in summary
    assert "ROAS" not in summary
    said = " ".join([summary, *answer.output.recommendations])
    assert set(re.findall(r"\d[\d.]*\d|\d", said)) <= set(re.findall(r"\d[\d.]*\d|\d", str(facts)))
    assert len(answer.output.recommendations) == 4


async def test_a_summary_of_nothing_says_so() -> None:
    answer = await OfflineModel().write(asked({}, "analyze_campaign", Summary))
    assert "no content yet" in answer.output.summary
    assert answer.output.recommendations


async def test_an_unknown_task_is_refused_and_free() -> None:
    with pytest.raises(NotBilled) as error:
        await OfflineModel().write(asked({}, "paint_a_picture"))
    assert not error.value.retryable
    with pytest.raises(NotBilled):
        await OfflineModel().write(asked(FACTS, output=Summary))

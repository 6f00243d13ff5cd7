"""What a variant must hold to before it becomes an asset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.market_ai.generation.checks import cleaned, faults
from tandem.market_ai.generation.limits import FORMS, output_tokens
from tandem.market_ai.generation.schemas import ChannelField, Variant


def variant(**fields: object) -> Variant:
    given = {
        "headline": "Tulips",
        "body": "They flower in April.",
        "call_to_action": "Order",
        "channel": {"subject": "Tulips", "preheader": "In April"},
        "citations": [],
    }
    return Variant.model_validate(given | fields)


def test_a_variant_that_holds_has_no_faults() -> None:
    assert list(faults(variant(), "email", "short", banned_words=["cheap"], disclaimer="")) == []


def test_every_fault_is_named_with_its_field() -> None:
    wrong = variant(
        headline="", body="Cheap   as\nchips. " * 50, call_to_action="x" * 81, channel={"subject": "s" * 121}
    )
    assert list(faults(wrong, "email", "short", banned_words=["cheap as chips"], disclaimer="While stocks last.")) == [
        "headline is missing",
        "preheader is missing",
        f"body has {len(wrong.body)} characters, 600 are allowed",
        "call_to_action has 81 characters, 80 are allowed",
        "subject has 121 characters, 120 are allowed",
        "body: the words 'cheap as chips' are banned",
        "body does not contain the disclaimer 'While stocks last.'",
    ]


@pytest.mark.parametrize(
    ("text", "banned"),
    [
        ("Not CHEAP at all", True),
        ("a cheapskate", False),
        ("cheap!", True),
        ("dirt-cheap", True),
        ("ultracheap", False),
        ("STRASSE", False),
    ],
)
def test_a_banned_word_is_found_as_a_word_whatever_its_case(text: str, banned: bool) -> None:
    found = list(faults(variant(body=text), "email", "short", banned_words=["Cheap"]))
    assert bool(found) is banned


def test_a_banned_phrase_of_signs_is_found_too() -> None:
    assert list(faults(variant(body="Only today!!!"), "email", "short", banned_words=["!!!"]))


def test_a_disclaimer_may_be_broken_into_lines_and_spelt_in_capitals() -> None:
    held = variant(body="Tulips.\n\nWHILE stocks\nlast.")
    assert list(faults(held, "email", "short", disclaimer="While  stocks last.")) == []


def test_what_a_model_adds_unasked_is_removed() -> None:
    raw = variant(
        headline=" Tulips\x00 ",
        channel=[ChannelField(name="subject", value="a"), ChannelField(name="bcc", value="b"),
                 ChannelField(name="subject", value="c"), ChannelField(name="preheader", value="p")],
        citations=["1", "made up", "1", "2"],
    )  # fmt: skip
    kept = cleaned(raw, "email", ["1", "2"])
    assert kept.headline == "Tulips"
    assert [(one.name, one.value) for one in kept.channel] == [("subject", "c"), ("preheader", "p")]
    assert kept.citations == ["1", "2"]


@given(st.text(), st.text(min_size=1, max_size=20), st.sampled_from(sorted(FORMS)))
def test_no_text_breaks_the_checks(text: str, word: str, kind: str) -> None:
    one = cleaned(variant(headline=text, body=text + word), kind, [])  # type: ignore[arg-type]
    list(faults(one, kind, "long", banned_words=[word, " ", text], disclaimer=text))  # type: ignore[arg-type]
    assert "\x00" not in one.body


def test_there_is_room_for_every_variant_asked_for() -> None:
    assert output_tokens("email", "short", 5) == 5 * output_tokens("email", "short", 1)
    assert max(output_tokens(kind, "long", 5) for kind in FORMS) < 128_000

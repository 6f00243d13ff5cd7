"""What a variant must hold to before it becomes an asset: lengths, banned words, the required disclaimer."""

import re
from collections.abc import Iterator, Sequence

from tandem.market_ai.content.schemas import Kind
from tandem.market_ai.generation.limits import CALL_TO_ACTION, FORMS, HEADLINE
from tandem.market_ai.generation.schemas import ChannelField, Length, Variant

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def cleaned(variant: Variant, kind: Kind, known: Sequence[str]) -> Variant:
    """Without what a model adds unasked: foreign channel fields and citations, control characters, outer blanks."""
    fields = {one.name: _plain(one.value) for one in variant.channel if one.name in FORMS[kind].channel}
    return variant.model_copy(
        update={
            "headline": _plain(variant.headline),
            "body": _plain(variant.body),
            "call_to_action": _plain(variant.call_to_action),
            "channel": [ChannelField(name=name, value=value) for name, value in fields.items()],
            "citations": [one for one in dict.fromkeys(variant.citations) if one in known],
        }
    )


def faults(
    variant: Variant, kind: Kind, length: Length, *, banned_words: Sequence[str] = (), disclaimer: str = ""
) -> Iterator[str]:
    """What is wrong with a cleaned variant, each in words that a writer, or a model, can act on."""
    form = FORMS[kind]
    written = {one.name: one.value for one in variant.channel}
    texts = {"headline": variant.headline, "body": variant.body, "call_to_action": variant.call_to_action} | written
    longest = {"headline": HEADLINE, "body": form.body[length], "call_to_action": CALL_TO_ACTION} | form.channel
    for name in ("headline", "body", *form.channel):
        if not texts.get(name):
            yield f"{name} is missing"
    for name, text in texts.items():
        if len(text) > longest[name]:
            yield f"{name} has {len(text)} characters, {longest[name]} are allowed"
    for word in banned_words:
        if used := [name for name, text in texts.items() if _uses(text, word)]:
            yield f"{', '.join(used)}: the words {word!r} are banned"
    if disclaimer and _folded(disclaimer) not in _folded(variant.body):
        yield f"body does not contain the disclaimer {disclaimer!r}"


def _uses(text: str, word: str) -> bool:
    """As words of their own and whatever the case; `cheap` is not in `cheapskate`."""
    inside = r"\s+".join(re.escape(part) for part in word.casefold().split())
    before = r"(?<!\w)" if word[:1].isalnum() else ""
    after = r"(?!\w)" if word[-1:].isalnum() else ""
    return re.search(before + inside + after, text.casefold()) is not None


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _plain(text: str) -> str:
    return _UNPRINTABLE.sub("", text).strip()

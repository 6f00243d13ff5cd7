"""The offline writer of `generate_content`.

It reads of the facts: `brief`, `tone`, `variants`, `campaign` {name, audience}, `brand` {name, voice {tone,
banned_words, required_disclaimer}}, `knowledge` [{id, text}], and the longest lengths in characters: `limits`
{headline, body, call_to_action} and `channel` {field: length}, which also says what fields there are. It gives
{"variants": [{headline, body, call_to_action, channel: [{name, value}], citations}]}.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEADLINE, BODY, CALL, EXCERPTS = 80, 1500, 60, 3  # characters; and sentences of knowledge in one variant

_HEADLINES = (
    "{subject}: made for {audience}",
    "Meet {subject}",
    "{subject}, from {brand}",
    "Say hello to {subject}",
    "The story behind {subject}",
)
_OPENINGS = (
    "{brand} has something for {audience}: {subject}.",
    "There is news from {brand}: {subject}.",
    "A few words about {subject}, for {audience}.",
    "You asked {brand} for it: {subject}.",
    "Here is what {subject} means for {audience}.",
)
_BRIDGES = ("What is good to know about it:", "Some facts first:", "What stands behind it:")
_CLOSINGS = (
    "Come and see for yourself.",
    "We look forward to hearing from you.",
    "Tell us what you think of it.",
    "There is more where this comes from.",
)
_CALLS = ("Find out more", "Take a look", "See how it works", "Discover it now")
_URGENT_CALLS = ("Reserve yours today", "Do not miss it", "Be there in time")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")


@dataclass(frozen=True)
class _Brief:
    facts: Mapping[str, Any]
    subject: str
    audience: str
    brand: str
    banned: re.Pattern[str] | None
    disclaimer: str
    urgent: bool

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "_Brief":
        campaign, brand = facts.get("campaign") or {}, facts.get("brand") or {}
        voice = brand.get("voice") or {}
        banned = _pattern(voice.get("banned_words") or ())
        return cls(
            facts=facts,
            subject=clip(_clean(campaign.get("name"), banned), HEADLINE) or "our latest offer",
            audience=clip(_clean(campaign.get("audience"), banned), 60) or "you",
            brand=_clean(brand.get("name"), banned) or "our team",
            banned=banned,
            disclaimer=str(voice.get("required_disclaimer") or "").strip(),
            urgent="urgent" in f"{facts.get('tone')} {voice.get('tone')}".casefold(),
        )

    def choose(self, templates: Sequence[str], turn: int) -> str:
        """The template whose turn it is, of those that break no rule of the brand."""
        filled = [t.format(subject=self.subject, audience=self.audience, brand=self.brand) for t in templates]
        allowed = [text for text in filled if self.banned is None or not self.banned.search(text)]
        return allowed[turn % len(allowed)] if allowed else _clean(filled[turn % len(filled)], self.banned)

    def sentences(self, text: object) -> list[str]:
        whole = [_line(sentence) for sentence in _SENTENCE.split(str(text or ""))]
        return [s for s in whole if s and (self.banned is None or not self.banned.search(s))]

    def most(self, name: str, otherwise: int) -> int:
        return int((self.facts.get("limits") or {}).get(name) or otherwise)


def write_variants(facts: Mapping[str, Any]) -> dict[str, Any]:
    brief = _Brief.of(facts)
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).digest()
    first = int.from_bytes(digest[:4], "big")
    return {"variants": [_variant(brief, first + number) for number in range(int(facts.get("variants") or 1))]}


def _variant(brief: _Brief, turn: int) -> dict[str, Any]:
    paragraphs, citations = _body(brief, turn)
    headline = clip(brief.choose(_HEADLINES, turn), min(HEADLINE, brief.most("headline", HEADLINE)))
    call = clip(brief.choose(_URGENT_CALLS if brief.urgent else _CALLS, turn), brief.most("call_to_action", CALL))
    return {
        "headline": headline,
        "body": "\n\n".join([*paragraphs, brief.disclaimer] if brief.disclaimer else paragraphs),
        "call_to_action": call,
        "channel": _channel(brief, headline, paragraphs, turn),
        "citations": citations,
    }


def _body(brief: _Brief, turn: int) -> tuple[list[str], list[str]]:
    """Paragraphs that leave room for the disclaimer, and the ids of the knowledge in them."""
    room = brief.most("body", BODY) - (len(brief.disclaimer) + 2 if brief.disclaimer else 0)
    opening, closing = clip(brief.choose(_OPENINGS, turn), room), brief.choose(_CLOSINGS, turn)
    room -= len(opening)
    told = _fitting([(s, "") for s in brief.sentences(brief.facts.get("brief"))], room)
    room -= _length(told)
    bridge = brief.choose(_BRIDGES, turn)
    known = _fitting(_excerpts(brief, turn), room - len(bridge) - 2)
    paragraphs = [" ".join([opening, *(sentence for sentence, _ in told)])] if opening else []
    if known:
        room -= len(bridge) + 2 + _length(known)
        paragraphs.append(" ".join([bridge, *(sentence for sentence, _ in known)]))
    if len(closing) + 2 <= room:
        paragraphs.append(closing)
    return paragraphs, list(dict.fromkeys(source for _, source in known))


def _excerpts(brief: _Brief, turn: int) -> list[tuple[str, str]]:
    """The first sentence of each piece of knowledge, beginning with another one in each variant."""
    pieces = [
        (brief.sentences(piece.get("text")), str(piece.get("id"))) for piece in brief.facts.get("knowledge") or ()
    ]
    firsts = [(sentences[0], source) for sentences, source in pieces if sentences]
    start = turn % len(firsts) if firsts else 0
    return (firsts[start:] + firsts[:start])[:EXCERPTS]


def _fitting(sentences: Iterable[tuple[str, str]], room: int) -> list[tuple[str, str]]:
    """Those of the sentences, with their sources, that there is room for, each after a blank."""
    fit: list[tuple[str, str]] = []
    for sentence in sentences:
        if _length([*fit, sentence]) <= room:
            fit.append(sentence)
    return fit


def _length(sentences: Iterable[tuple[str, str]]) -> int:
    return sum(len(sentence) + 1 for sentence, _ in sentences)


def _channel(brief: _Brief, headline: str, paragraphs: Sequence[str], turn: int) -> list[dict[str, str]]:
    start = paragraphs[0] if paragraphs else headline
    tags = [f"#{tag}" for name in (brief.subject, brief.brand) if (tag := _tag(name))]
    texts = {
        "preheader": start,
        "meta_description": start,
        "headline_short": brief.subject,
        "hashtags": " ".join(tags),
        "hook": brief.choose(_OPENINGS, turn + 1),
    }
    lengths: Mapping[str, int] = brief.facts.get("channel") or {}
    fields = {name: clip(_clean(texts.get(name, headline), brief.banned), most) for name, most in lengths.items()}
    return [{"name": name, "value": value} for name, value in fields.items()]


def _tag(name: str) -> str:
    return re.sub(r"\W", "", "".join(word[:1].upper() + word[1:] for word in name.split()))


def clip(text: str, most: int) -> str:
    """At most so many characters, cut between words where there are some."""
    if len(text) <= most:
        return text
    start = text[: max(most - 1, 0)]
    whole = start.rsplit(" ", 1)[0] if " " in start else start
    return f"{whole.rstrip(' ,;:.')}…" if whole else ""


def _pattern(phrases: Sequence[str]) -> re.Pattern[str] | None:
    """As words of their own, whatever the case and the blanks between them."""
    found = []
    for phrase in filter(str.strip, phrases):
        inside = r"\s+".join(re.escape(part) for part in phrase.split())
        edges = phrase.strip()
        found.append(f"{_edge('<!', edges[0])}{inside}{_edge('!', edges[-1])}")
    return re.compile("|".join(found), re.IGNORECASE) if found else None


def _edge(look: str, character: str) -> str:
    return rf"(?{look}\w)" if character.isalnum() else ""


def _clean(text: object, banned: re.Pattern[str] | None) -> str:
    line = _line(text)
    while banned is not None and banned.search(line):
        line = _line(banned.sub(" ", line))
    return line


def _line(text: object) -> str:
    return " ".join(str(text or "").split())


__all__ = ["clip", "write_variants"]

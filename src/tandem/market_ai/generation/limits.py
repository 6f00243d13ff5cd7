"""What each kind of content consists of and how long it may be, in characters."""

from dataclasses import dataclass
from typing import Final

from tandem.market_ai.content.schemas import Kind
from tandem.market_ai.generation.schemas import Length

HEADLINE = 150
CALL_TO_ACTION = 80
_TOKENS_ASIDE = 500  # of a variant: headline, call to action, channel fields, citations, the JSON around them


@dataclass(frozen=True)
class Form:
    """`channel`: the fields besides the body, each with its longest length."""

    name: str
    body: dict[Length, int]
    channel: dict[str, int]


FORMS: Final[dict[Kind, Form]] = {
    "blog": Form("a blog post", {"short": 2000, "medium": 5000, "long": 10_000}, {"meta_description": 160}),
    "email": Form("an e-mail", {"short": 600, "medium": 1500, "long": 3500}, {"subject": 120, "preheader": 150}),
    "social": Form("a social media post", {"short": 280, "medium": 700, "long": 2000}, {"hashtags": 150}),
    "ad_copy": Form("an advertisement", {"short": 90, "medium": 180, "long": 400}, {"headline_short": 30}),
    "landing_page": Form(
        "a landing page",
        {"short": 1200, "medium": 3000, "long": 7000},
        {"meta_title": 60, "meta_description": 160},
    ),
    "video_script": Form("a video script", {"short": 600, "medium": 2000, "long": 6000}, {"hook": 150}),
}


def output_tokens(kind: Kind, length: Length, variants: int) -> int:
    """Room for that many variants; scripts with a token for every character get less text, not a cut-off answer."""
    return variants * (FORMS[kind].body[length] * 3 // 4 + _TOKENS_ASIDE)

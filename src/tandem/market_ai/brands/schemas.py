"""Shapes of the brand API."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tandem.core.paging import PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.fields import Line, Text


def _each_once(words: list[str]) -> list[str]:
    """Whatever their case; the first spelling stays."""
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(word.casefold(), word)
    return list(first.values())


BrandName = Annotated[Line, Field(max_length=100)]
Manner = Annotated[Text, Field(max_length=1000)]
Disclaimer = Annotated[Text, Field(max_length=2000)]
BannedWords = Annotated[list[Annotated[Line, Field(max_length=60)]], Field(max_length=200), AfterValidator(_each_once)]
Examples = Annotated[list[Annotated[Text, Field(min_length=1, max_length=2000)]], Field(max_length=20)]

_VOICE: dict[str, Any] = {
    "tone": "warm, never cute",
    "style": "short sentences, no exclamation marks",
    "banned_words": ["cheap", "revolutionary"],
    "required_disclaimer": "Offer valid while stocks last.",
    "examples": ["Bread like it used to be. Baked at four, gone by ten."],
}


class Voice(Payload):
    """How the brand speaks; generated copy keeps to it."""

    tone: Manner = ""
    style: Manner = ""
    banned_words: BannedWords = Field([], description="Words and phrases that copy must not use, whatever their case.")
    required_disclaimer: Disclaimer = Field("", description="What copy must contain; empty for none.")
    examples: Examples = Field([], description="Copy that sounds right.")


class BrandCreate(Payload):
    name: BrandName
    voice: Voice = Voice()

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada's Bakery", "voice": _VOICE}]})


class VoicePatch(Patch):
    """Only the fields sent are touched."""

    tone: Manner = ""
    style: Manner = ""
    banned_words: BannedWords = []
    required_disclaimer: Disclaimer = ""
    examples: Examples = []


class BrandPatch(Patch):
    """Only the fields sent are touched, in `voice` too."""

    name: BrandName = ""
    voice: VoicePatch = Field(default_factory=VoicePatch.model_construct)

    model_config = ConfigDict(json_schema_extra={"examples": [{"voice": {"tone": "dry"}}]})


class VoiceOut(BaseModel):
    tone: str
    style: str
    banned_words: list[str]
    required_disclaimer: str
    examples: list[str]


class BrandOut(BaseModel):
    id: UUID
    name: str
    voice: VoiceOut
    version: int
    created_at: datetime
    updated_at: datetime


class BrandPage(BaseModel):
    items: list[BrandOut]
    total: int
    page: int
    limit: int
    pages: int


class BrandFilter(PageQuery):
    q: Annotated[Line, Field(max_length=100)] | None = Field(None, description="Part of the name, whatever its case.")

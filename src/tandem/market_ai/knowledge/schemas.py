"""Shapes of the knowledge API, and the chunk that generation is given."""

from datetime import datetime
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tandem.core.paging import PageQuery
from tandem.core.payloads import Patch, Payload
from tandem.market_ai.fields import Line
from tandem.market_ai.knowledge.blocks import MAX_CHARACTERS, Format
from tandem.market_ai.knowledge.languages import Language
from tandem.market_ai.knowledge.reading import Reading

Title = Annotated[Line, Field(max_length=200)]
LanguageChoice = Annotated[
    Language | None, Field(description="Whose words are stemmed for the search; by default it is guessed.")
]
BrandId = Annotated[UUID | None, Field(description="Only copy of this brand may use it; null: copy of every brand.")]


class UploadFields(Payload):
    """What may come with a file."""

    title: Title | None = None
    brand_id: BrandId = None
    language: LanguageChoice = None


class TextDocument(UploadFields):
    """A document as text."""

    title: Title
    text: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=MAX_CHARACTERS)]
    format: Literal["text", "markdown", "html"] = "text"

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"title": "Returns", "format": "markdown", "text": "# Returns\n\nSend shoes back within 100 days."}
            ]
        }
    )


class DocumentPatch(Patch):
    """Only the fields sent are touched."""

    title: Title = ""
    brand_id: BrandId = None
    language: Language = "simple"

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Returns and refunds", "language": "english"}]})


class Incoming(NamedTuple):
    """A document on its way in. `reading` is None where the organization had these bytes already."""

    fields: UploadFields
    format: Format
    filename: str | None
    size: int
    sha256: bytes
    reading: Reading | None


class Chunk(NamedTuple):
    """A passage of a document, for whoever writes from it. `heading` is the way to it, outermost first."""

    id: UUID
    document_id: UUID
    title: str
    heading: tuple[str, ...]
    page: int | None
    text: str


class DocumentOut(BaseModel):
    """`size` and `sha256` are those of the bytes that came; the text is kept as `chunks`, the bytes are not."""

    id: UUID
    title: str
    brand_id: UUID | None
    format: Format
    language: Language
    filename: str | None
    size: int = Field(description="Bytes.")
    sha256: str
    characters: int
    pages: int | None
    chunks: int
    version: int
    created_at: datetime
    updated_at: datetime


class DocumentPage(BaseModel):
    items: list[DocumentOut]
    total: int
    page: int
    limit: int
    pages: int


class DocumentFilter(PageQuery):
    brand_id: UUID | Literal["none"] | None = Field(None, description="Of this brand; `none`: of no brand.")
    q: Annotated[Line, Field(max_length=200)] | None = Field(None, description="Part of the title, whatever its case.")


class ChunkOut(BaseModel):
    id: UUID
    position: int = Field(description="In the document, from 1.")
    heading: list[str] = Field(description="The headings it is under, outermost first.")
    page: int | None
    text: str = Field(description="Begins with the last sentence of the chunk before it, if both have one heading.")


class ChunkPage(BaseModel):
    items: list[ChunkOut]
    total: int
    page: int
    limit: int
    pages: int


class SearchQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    q: str = Field(
        min_length=1, max_length=500, description='Words; `"a phrase"`, `or` and `-without` as in a web search.'
    )
    brand_id: UUID | None = Field(None, description="What copy of this brand may use: its documents and those of none.")
    limit: int = Field(20, ge=1, le=100)


class Hit(BaseModel):
    chunk_id: UUID
    document_id: UUID
    title: str
    heading: list[str]
    page: int | None
    position: int
    rank: float
    snippet: str = Field(description="HTML: what was found is in <mark>, everything else is escaped.")


class SearchResult(BaseModel):
    """`match` is `any` where no chunk has all the words and the search had no operators; best first."""

    match: Literal["all", "any"]
    items: list[Hit]

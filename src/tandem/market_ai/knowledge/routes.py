"""HTTP of knowledge."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from tandem.core.errors import InvalidPayload, NotFound
from tandem.core.openapi import responses
from tandem.core.paging import PageQuery
from tandem.core.responses import json_response
from tandem.core.saved import saved_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.knowledge import queries, search, service
from tandem.market_ai.knowledge.formats import UnsupportedDocument
from tandem.market_ai.knowledge.reading import (
    DocumentTooComplex,
    DocumentTooLarge,
    EncryptedDocument,
    NoText,
    ReadingBusy,
    UndecodableText,
    UnreadableDocument,
)
from tandem.market_ai.knowledge.schemas import (
    ChunkPage,
    DocumentFilter,
    DocumentOut,
    DocumentPage,
    DocumentPatch,
    SearchQuery,
    SearchResult,
)
from tandem.market_ai.knowledge.service import KnowledgeFull, TooManyDocuments
from tandem.market_ai.knowledge.uploads import UPLOAD_BODY, Uploaded, Written
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/knowledge", tags=["knowledge"])
BODY_LIMITS = {"/api/knowledge/documents": 10_500_000, "/api/knowledge/documents/text": 10_500_000}
"""Bytes, for `create_app`: 10 MB and what is around them."""

Read = Annotated[OrgReader, reading("knowledge:read")]
Write = Annotated[OrgWriter, writing("knowledge:write")]
Create = Annotated[OrgWriter, creating("knowledge:write")]
IfMatch = Annotated[str | None, Header(max_length=200, description="Only if it is still at this ETag; else 412.")]
_REFUSED = (
    InvalidPayload,
    UnreadableDocument,
    EncryptedDocument,
    NoText,
    UndecodableText,
    DocumentTooLarge,
    DocumentTooComplex,
)
_THERE: dict[int | str, Any] = {
    200: {"model": DocumentOut, "description": "The document that was made of the same bytes before"}
}
_ADDED = _THERE | responses(InsufficientRole, NotFound, TooManyDocuments, KnowledgeFull, *_REFUSED, ReadingBusy)


@router.get("/documents", response_model=DocumentPage)
async def list_documents(reader: Read, query: Annotated[DocumentFilter, Query()]) -> Response:
    """Newest first."""
    return (await queries.list_documents(reader.connection, reader.org_id, query)).response(query)


@router.post(
    "/documents",
    response_model=DocumentOut,
    status_code=201,
    responses=_ADDED | responses(UnsupportedDocument),
    openapi_extra=UPLOAD_BODY,
)
async def upload_document(incoming: Uploaded, writer: Create) -> Response:
    """For members. A file of text, Markdown, HTML or PDF; it is read, cut into chunks, and can be searched at once."""
    return await writer.answer(saved_response(await service.add_document(writer, incoming)))


@router.post("/documents/text", response_model=DocumentOut, status_code=201, responses=_ADDED)
async def add_text(incoming: Written, writer: Create) -> Response:
    """For members. The same for text in JSON."""
    return await writer.answer(saved_response(await service.add_document(writer, incoming)))


@router.get("/documents/{document_id}", response_model=DocumentOut)
async def get_document(reader: Read, document_id: UUID) -> Response:
    row = await queries.get_document(reader.connection, reader.org_id, document_id)
    return json_response(row["json"], version=row["version"])


@router.get("/documents/{document_id}/chunks", response_model=ChunkPage)
async def list_chunks(reader: Read, document_id: UUID, query: Annotated[PageQuery, Query()]) -> Response:
    """In the order of the document."""
    return (await queries.list_chunks(reader.connection, reader.org_id, document_id, query)).response(query)


@router.patch("/documents/{document_id}", response_model=DocumentOut, responses=responses(InsufficientRole))
async def patch_document(writer: Write, document_id: UUID, data: DocumentPatch, if_match: IfMatch = None) -> Response:
    """For members. Fields that are absent stay; null takes the brand away."""
    return saved_response(await service.patch_document(writer, document_id, data, if_match))


@router.delete("/documents/{document_id}", status_code=204, responses=responses(InsufficientRole))
async def delete_document(writer: Write, document_id: UUID, if_match: IfMatch = None) -> None:
    """For members. Copy that cites it keeps what it quoted."""
    await service.delete_document(writer, document_id, if_match)


@router.get("/search", response_model=SearchResult)
async def search_knowledge(reader: Read, query: Annotated[SearchQuery, Query()]) -> Response:
    """The chunks that have all the words, best first; where none has, those that have any."""
    return json_response(await search.search(reader.connection, reader.org_id, query))

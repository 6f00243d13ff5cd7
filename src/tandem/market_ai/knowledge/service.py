"""What may happen to a document of the organization's knowledge."""

from typing import Any
from uuid import UUID

from tandem.core.conditional import check_if_match
from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import Conflict, NotFound, Unavailable
from tandem.core.ids import uuid7
from tandem.core.saved import Saved
from tandem.market_ai.audit.service import record
from tandem.market_ai.brands.service import require_brand
from tandem.market_ai.knowledge import search
from tandem.market_ai.knowledge.queries import BY_DIGEST, FOR_UPDATE, TOTALS, owned
from tandem.market_ai.knowledge.reading import Reading
from tandem.market_ai.knowledge.schemas import Chunk, DocumentPatch, Incoming
from tandem.market_ai.knowledge.sql import JSON
from tandem.market_ai.tenancy import OrgWriter

MAX_DOCUMENTS = 2000
MAX_CHUNKS = 50_000

_INSERT = f"""
INSERT INTO knowledge_documents AS d (org_id, id, title, brand_id, format, language, filename, size, sha256, characters,
                                      pages, chunks)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (org_id, sha256) DO NOTHING RETURNING {JSON} AS json, d.version"""
_INSERT_CHUNKS = """
INSERT INTO knowledge_chunks (org_id, id, document_id, position, title, language, heading, page, text)
SELECT d.org_id, r.id, d.id, r.ordinality, d.title, d.language, r.heading, r.page, r.text
  FROM knowledge_documents d,
       ROWS FROM (jsonb_to_recordset($3::jsonb) AS (id uuid, heading text[], page integer, text text)) WITH ORDINALITY r
 WHERE d.org_id = $1 AND d.id = $2"""
_RETELL_CHUNKS = """
UPDATE knowledge_chunks c SET title = d.title, language = d.language FROM knowledge_documents d
 WHERE d.org_id = $1 AND d.id = $2 AND c.org_id = $1 AND c.document_id = $2"""
# One upload at a time goes from here to its commit, so that the totals are true; the long insert is behind it.
_LOCK = "SELECT FROM organizations WHERE id = $1 FOR NO KEY UPDATE"


class TooManyDocuments(Conflict):
    code, title = "too_many_documents", f"{MAX_DOCUMENTS} documents are the most an organization can have"


class KnowledgeFull(Conflict):
    code, title = "knowledge_full", f"{MAX_CHUNKS} chunks are the most an organization can have"


async def retrieve(connection: Connection, org_id: str, *, text: str, brand_id: UUID | None, limit: int) -> list[Chunk]:
    """The chunks that copy about `text` should rest on, best first; `text` is any prose, as a brief.

    They are of the brand's documents and of those of no brand; without a brand, of the latter only.
    """
    return await search.retrieve(connection, org_id, text=text, brand_id=brand_id, limit=limit)


async def add_document(writer: OrgWriter, incoming: Incoming) -> Saved:
    """The new document, or the one that was made of the same bytes before.

    Raises NotFound for the brand, TooManyDocuments or KnowledgeFull.
    """
    if incoming.fields.brand_id is not None:
        await require_brand(writer, incoming.fields.brand_id)
    if found := await writer.connection.fetchrow(BY_DIGEST, writer.org_id, incoming.sha256):
        return Saved.of(found)
    if incoming.reading is None:  # it was there when the bytes came, and was deleted since
        raise Unavailable("The document is being deleted; try again", retry_after=1)
    await _check_room(writer, 1, incoming.reading.chunks)
    document_id = uuid7()
    row = await writer.connection.fetchrow(_INSERT, *_values(writer.org_id, document_id, incoming, incoming.reading))
    if row is None:  # somebody else was faster
        return Saved.of(await fetch_one(writer.connection, BY_DIGEST, writer.org_id, incoming.sha256))
    await writer.connection.execute(_INSERT_CHUNKS, writer.org_id, document_id, incoming.reading.rows)
    await writer.connection.execute(_LOCK, writer.org_id)
    await _check_room(writer, 0, 0)
    details = {"size": incoming.size, "chunks": incoming.reading.chunks, "format": incoming.format}
    await record(writer, "document.created", "document", document_id, **details)
    return Saved.of(row, created=True)


async def patch_document(writer: OrgWriter, document_id: UUID, data: DocumentPatch, if_match: str | None) -> Saved:
    """Raises NotFound for the document or the brand."""
    await _lock(writer, document_id, if_match)
    changes = data.model_dump(exclude_unset=True)
    if changes.get("brand_id") is not None:
        await require_brand(writer, changes["brand_id"])
    arg = Args([writer.org_id, document_id])
    given = ", ".join(f"{column} = {arg(value)}" for column, value in changes.items())
    row = await writer.connection.fetchrow(
        f"""UPDATE knowledge_documents d SET {given}, version = d.version + 1, updated_at = now() {owned("d.id = $2")}
            RETURNING {JSON} AS json, d.version""",
        *arg,
    )
    if changes.keys() & {"title", "language"}:
        await writer.connection.execute(_RETELL_CHUNKS, writer.org_id, document_id)
    await record(writer, "document.updated", "document", document_id, fields=sorted(changes))
    return Saved.of(row)


async def delete_document(writer: OrgWriter, document_id: UUID, if_match: str | None) -> None:
    """Its chunks go with it; copy that cites them keeps what it quoted."""
    document = await _lock(writer, document_id, if_match)
    await writer.connection.execute(
        f"DELETE FROM knowledge_documents d {owned('d.id = $2')}", writer.org_id, document_id
    )
    await record(writer, "document.deleted", "document", document_id, title=document["title"])


def _values(org_id: str, document_id: UUID, incoming: Incoming, reading: Reading) -> tuple[Any, ...]:
    fields = incoming.fields
    title = fields.title or reading.title or incoming.filename or "Untitled"
    language = fields.language or reading.language
    what = (incoming.format, language, incoming.filename, incoming.size, incoming.sha256)
    return (org_id, document_id, title, fields.brand_id, *what, reading.characters, reading.pages, reading.chunks)


async def _check_room(writer: OrgWriter, documents: int, chunks: int) -> None:
    """Raises TooManyDocuments or KnowledgeFull when so many more would be too many."""
    there = await fetch_one(writer.connection, TOTALS, writer.org_id)
    if there["documents"] + documents > MAX_DOCUMENTS:
        raise TooManyDocuments()
    if there["chunks"] + chunks > MAX_CHUNKS:
        raise KnowledgeFull(f"{KnowledgeFull.title}; there are {there['chunks']} already")


async def _lock(writer: OrgWriter, document_id: UUID, if_match: str | None) -> Any:
    row = await writer.connection.fetchrow(FOR_UPDATE, writer.org_id, document_id)
    if row is None:
        raise NotFound("You have no document with this id")
    check_if_match(if_match, row["version"])
    return row

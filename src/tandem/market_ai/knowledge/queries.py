"""SELECTs of documents and chunks; $1 is their organization."""

from typing import Any
from uuid import UUID

from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page, PageQuery
from tandem.market_ai.knowledge.schemas import DocumentFilter
from tandem.market_ai.knowledge.sql import COLUMNS, JSON


def owned(*conditions: str) -> str:
    return "WHERE " + " AND ".join(("d.org_id = $1", *conditions))


ONE = f"SELECT {JSON} AS json, d.version FROM knowledge_documents d {owned('d.id = $2')}"
FOR_UPDATE = f"SELECT d.version, d.title FROM knowledge_documents d {owned('d.id = $2')} FOR UPDATE"
BY_DIGEST = f"SELECT {JSON} AS json, d.version FROM knowledge_documents d {owned('d.sha256 = $2')}"
TOTALS = f"""
SELECT count(*) AS documents, coalesce(sum(d.chunks), 0)::bigint AS chunks FROM knowledge_documents d {owned()}"""
_CHUNKS = """
SELECT (SELECT chunks FROM knowledge_documents d WHERE d.org_id = $1 AND d.id = $2) AS total,
       (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT c.id, c.position, c.heading, c.page, c.text FROM knowledge_chunks c
           WHERE c.org_id = $1 AND c.document_id = $2 ORDER BY c.position LIMIT $3 OFFSET $4) q) AS items"""


async def list_documents(connection: Connection, org_id: str, query: DocumentFilter) -> Page:
    arg = Args([org_id])
    conditions = []
    if query.brand_id == "none":
        conditions.append("d.brand_id IS NULL")
    elif query.brand_id is not None:
        conditions.append(f"d.brand_id = {arg(query.brand_id)}")
    if query.q is not None:
        conditions.append(f"strpos(lower(d.title), lower({arg(query.q)})) > 0")
    where = owned(*conditions)
    sql = f"""
    SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
              SELECT {COLUMNS} FROM knowledge_documents d {where} ORDER BY d.created_at DESC, d.id DESC
               LIMIT {arg(query.limit)} OFFSET {arg((query.page - 1) * query.limit)}) q) AS items,
           (SELECT count(*) FROM knowledge_documents d {where}) AS total"""
    row = await fetch_one(connection, sql, *arg)
    return Page(row["items"], row["total"])


async def get_document(connection: Connection, org_id: str, document_id: UUID) -> Any:
    """A record of `json` and `version`; raises NotFound."""
    row = await connection.fetchrow(ONE, org_id, document_id)
    if row is None:
        raise NotFound("You have no document with this id")
    return row


async def has_digest(connection: Connection, org_id: str, sha256: bytes) -> bool:
    return await connection.fetchrow(BY_DIGEST, org_id, sha256) is not None


async def list_chunks(connection: Connection, org_id: str, document_id: UUID, query: PageQuery) -> Page:
    """In the order of the document; raises NotFound."""
    row = await fetch_one(connection, _CHUNKS, org_id, document_id, query.limit, (query.page - 1) * query.limit)
    if row["total"] is None:
        raise NotFound("You have no document with this id")
    return Page(row["items"], row["total"])

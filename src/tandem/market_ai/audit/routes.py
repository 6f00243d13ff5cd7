"""HTTP of the audit trail."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from tandem.core.openapi import responses
from tandem.market_ai.access import reading
from tandem.market_ai.audit import queries
from tandem.market_ai.audit.schemas import AuditFilter, AuditPage
from tandem.market_ai.tenancy import InsufficientRole, OrgReader

router = APIRouter(prefix="/api/audit", tags=["audit"])
Read = Annotated[OrgReader, reading("audit:read", role="manager")]


@router.get("", response_model=AuditPage, responses=responses(InsufficientRole))
async def list_audit_events(reader: Read, query: Annotated[AuditFilter, Query()]) -> Response:
    """Who did what to which object, newest first. For managers."""
    return (await queries.list_events(reader.connection, reader.org_id, query)).response(query)

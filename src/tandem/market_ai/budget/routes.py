"""HTTP of the AI budget."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from tandem.core.errors import NotFound
from tandem.core.openapi import responses
from tandem.core.paging import PageQuery
from tandem.core.ratelimit import Limit
from tandem.core.responses import json_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.budget import queries, service
from tandem.market_ai.budget.schemas import (
    BudgetFilter,
    BudgetOut,
    CallFilter,
    CallOut,
    CallPage,
    EntryPage,
    LimitsChange,
    Resolution,
    Verification,
    VerifyQuery,
)
from tandem.market_ai.budget.service import CallNotUnknown
from tandem.market_ai.budget.verification import verify
from tandem.market_ai.fields import micros
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/budget", tags=["budget"])
Read = Annotated[OrgReader, reading("budget:read")]
Manage = Annotated[OrgWriter, creating("budget:write", role="manager")]
Administer = Annotated[OrgWriter, writing("budget:write", role="admin")]
VERIFY = Limit("10/minute", name="budget-verify")  # it reads everything


@router.get("", response_model=BudgetOut, responses=responses(NotFound))
async def get_budget(request: Request, reader: Read, query: Annotated[BudgetFilter, Query()]) -> Response:
    """What AI may cost, and costs: in all, this month, today (in UTC), for each campaign; warnings at 80, 90, 100 %."""
    return await _overview(request, reader, query.campaign_id)


@router.put("/limits", response_model=BudgetOut, responses=responses(NotFound, InsufficientRole))
async def put_limits(request: Request, writer: Administer, data: LimitsChange) -> Response:
    """Limits that are absent stay, null removes one. For admins.

    A limit below what is used already stops further calls, and takes nothing back.
    """
    await service.change_limits(writer, data)
    return await _overview(request, writer, None)


@router.get("/ledger", response_model=EntryPage)
async def list_ledger(reader: Read, query: Annotated[PageQuery, Query()]) -> Response:
    """Every movement of money, the latest first; each is chained to the one before it by its hash."""
    return (await queries.list_entries(reader.connection, reader.org_id, query)).response(query)


@router.get("/calls", response_model=CallPage)
async def list_calls(reader: Read, query: Annotated[CallFilter, Query()]) -> Response:
    """Every attempted call of a model, the latest first. `state=outcome_unknown` waits for a person."""
    return (await queries.list_calls(reader.connection, reader.org_id, query)).response(query)


@router.post(
    "/calls/{call_id}/resolve", response_model=CallOut, responses=responses(NotFound, CallNotUnknown, InsufficientRole)
)
async def resolve_call(writer: Manage, call_id: UUID, data: Resolution) -> Response:
    """Say what the provider's bill shows of a call with an unknown outcome. Once, and for managers."""
    return await writer.answer(json_response(await service.resolve(writer, call_id, data)))


@router.get("/verify", response_model=Verification)
async def verify_ledger(request: Request, reader: Read, query: Annotated[VerifyQuery, Query()]) -> Response:
    """Recompute the ledger: hashes, chain, sums, every balance and every call. Ten a minute for each user."""
    await VERIFY.hit(request, reader.user_id)
    noted = None if query.seq is None or query.hash is None else (query.seq, query.hash)
    return json_response((await verify(reader.connection, reader.org_id, noted)).model_dump_json())


async def _overview(request: Request, reader: OrgReader, campaign_id: UUID | None) -> Response:
    cap = micros(request.app.state.settings.max_budget_per_request)
    return json_response(await queries.read_overview(reader.connection, reader.org_id, campaign_id, cap))

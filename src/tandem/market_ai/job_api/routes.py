"""HTTP of jobs."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.market_ai.access import AI, Organization, caller, creating, reading
from tandem.market_ai.job_api import queries, service
from tandem.market_ai.job_api.following import STREAM, LastEventId, follow
from tandem.market_ai.job_api.hub import TooManyStreams
from tandem.market_ai.job_api.schemas import EventsQuery, JobFilter, JobOut, JobPage
from tandem.market_ai.job_api.service import JobEnded, JobNotRetryable, JobUnderWay
from tandem.market_ai.job_api.stream import EventStream
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/jobs", tags=["jobs"])
Read = Annotated[OrgReader, reading("jobs:read")]
Cancel = Annotated[OrgWriter, creating("jobs:write")]
Retry = Annotated[OrgWriter, creating("jobs:write", limit=AI)]  # which may spend
_ASKED: dict[int | str, Any] = {202: {"model": JobOut, "description": "It runs, and its worker was asked to stop."}}


@router.get("", response_model=JobPage)
async def list_jobs(reader: Read, query: Annotated[JobFilter, Query()]) -> Response:
    """The latest first."""
    return (await queries.list_jobs(reader.connection, reader.org_id, query)).response(query)


@router.get("/{job_id}", response_model=JobOut)
async def get_job(reader: Read, job_id: UUID) -> Response:
    return json_response(await queries.get_job(reader.connection, reader.org_id, job_id))


@router.post("/{job_id}/cancel", response_model=JobOut, responses=_ASKED | responses(JobEnded, InsufficientRole))
async def cancel_job(writer: Cancel, job_id: UUID) -> Response:
    """200 when it is cancelled; 202 when it runs: it is cancelled as soon as its worker has stopped it."""
    job, cancelled = await service.cancel_job(writer, job_id)
    return await writer.answer(json_response(job, status=200 if cancelled else 202))


@router.post(
    "/{job_id}/retry", response_model=JobOut, responses=responses(JobNotRetryable, JobUnderWay, InsufficientRole)
)
async def retry_job(writer: Retry, job_id: UUID) -> Response:
    """Queue a failed, held or cancelled job once more. What it has paid for already is not paid for again."""
    return await writer.answer(json_response(await service.retry_job(writer, job_id)))


@router.get(
    "/{job_id}/events",
    status_code=200,
    response_class=EventStream,
    responses=STREAM | responses(TooManyStreams),
)
async def follow_job(
    request: Request,
    job_id: UUID,
    query: Annotated[EventsQuery, Query()],
    organization: Organization = None,
    last_event_id: LastEventId = None,
) -> Response:
    """The job's events as Server-Sent Events, until the one it ends with.

    Each has an `id`; reconnect with it in `Last-Event-ID` (EventSource does by itself) and none is missed or repeated.
    """
    async with caller(request, organization or query.organization, "jobs:read", "viewer") as reader:
        place = await queries.get_place(reader.connection, reader.org_id, job_id)
    after = query.after if last_event_id is None else last_event_id
    return follow(request, job_id, after, place, reader.user_id)

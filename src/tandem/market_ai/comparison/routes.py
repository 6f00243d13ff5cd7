"""HTTP of comparisons."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from tandem.core.responses import json_response
from tandem.market_ai.access import reading
from tandem.market_ai.comparison import service
from tandem.market_ai.comparison.schemas import (
    PeriodComparison,
    PeriodsQuery,
    SampleSize,
    SampleSizeQuery,
    VariantComparison,
    VariantsQuery,
)
from tandem.market_ai.tenancy import OrgReader

router = APIRouter(prefix="/api/campaigns/{campaign_id}", tags=["metrics"])
Read = Annotated[OrgReader, reading("metrics:read")]


@router.get("/comparison/variants", response_model=VariantComparison)
async def compare_variants(reader: Read, campaign_id: UUID, query: Annotated[VariantsQuery, Query()]) -> Response:
    """The variants against each other, by a test that may be looked at every day; it names a winner."""
    found = await service.compare_variants(reader.connection, reader.org_id, campaign_id, query)
    return json_response(found.model_dump_json())


@router.get("/comparison/periods", response_model=PeriodComparison)
async def compare_periods(reader: Read, campaign_id: UUID, query: Annotated[PeriodsQuery, Query()]) -> Response:
    """The key figures of two periods, and how they changed."""
    found = await service.compare_periods(reader.connection, reader.org_id, campaign_id, query)
    return json_response(found.model_dump_json())


@router.get("/sample-size", response_model=SampleSize)
async def get_sample_size(reader: Read, campaign_id: UUID, query: Annotated[SampleSizeQuery, Query()]) -> Response:
    """How many trials each of two variants needs in a test that is looked at once, at its end."""
    found = await service.sample_size(reader.connection, reader.org_id, campaign_id, query)
    return json_response(found.model_dump_json())

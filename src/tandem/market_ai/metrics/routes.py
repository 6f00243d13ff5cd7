"""HTTP of a campaign's metrics."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.market_ai.access import reading, writing
from tandem.market_ai.campaigns.service import CampaignArchived
from tandem.market_ai.metrics import queries, service
from tandem.market_ai.metrics.schemas import (
    AnomalyQuery,
    AnomalyReport,
    Deleted,
    Erasure,
    KpiQuery,
    KpiReport,
    MetricPage,
    MetricsFilter,
    MetricsPut,
    Series,
    SeriesQuery,
    Stored,
)
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/campaigns/{campaign_id}", tags=["metrics"])
Read = Annotated[OrgReader, reading("metrics:read")]
Write = Annotated[OrgWriter, writing("metrics:write")]
_CHANGED = responses(CampaignArchived, InsufficientRole)


@router.get("/metrics", response_model=MetricPage)
async def list_metrics(reader: Read, campaign_id: UUID, query: Annotated[MetricsFilter, Query()]) -> Response:
    """The rows as they came in; the latest day first."""
    return (await queries.list_metrics(reader.connection, reader.org_id, campaign_id, query)).response(query)


@router.put("/metrics", response_model=Stored, responses=_CHANGED)
async def put_metrics(writer: Write, campaign_id: UUID, data: MetricsPut) -> Response:
    """Daily rows, all or none. Each replaces the one of its date, channel and variant, so they may be sent again."""
    return json_response((await service.put_metrics(writer, campaign_id, data)).model_dump_json())


@router.delete("/metrics", response_model=Deleted, responses=_CHANGED)
async def delete_metrics(writer: Write, campaign_id: UUID, query: Annotated[Erasure, Query()]) -> Response:
    """The rows of these days, or of some channels or variants of them."""
    return json_response((await service.delete_metrics(writer, campaign_id, query)).model_dump_json())


@router.get("/kpis", response_model=KpiReport)
async def get_kpis(reader: Read, campaign_id: UUID, query: Annotated[KpiQuery, Query()]) -> Response:
    """CTR, CVR, CPC, CPM, CPA, ROAS and ROI, in all and by day, channel or variant."""
    found = await service.kpi_report(reader.connection, reader.org_id, campaign_id, query)
    return json_response(found.model_dump_json())


@router.get("/series", response_model=Series)
async def get_series(reader: Read, campaign_id: UUID, query: Annotated[SeriesQuery, Query()]) -> Response:
    """One metric over time. The same query gives a picture of it at `chart.svg` and a table at `chart.html`."""
    found = await service.series(reader.connection, reader.org_id, campaign_id, query)
    return json_response(found.model_dump_json())


@router.get("/anomalies", response_model=AnomalyReport)
async def get_anomalies(reader: Read, campaign_id: UUID, query: Annotated[AnomalyQuery, Query()]) -> Response:
    """Days on which a metric was far from what the days around it, and its weekday, let one expect."""
    found = await service.anomaly_report(reader.connection, reader.org_id, campaign_id, query)
    return json_response(found.model_dump_json())

"""Market AI's application: `uvicorn tandem.market_ai.main:app`."""

from fastapi import FastAPI

from tandem.accounts.handlers import exception_handlers
from tandem.accounts.routers import routers as account_routers
from tandem.core.app import Running, create_app
from tandem.core.jobs.in_web import worker_in_web
from tandem.core.settings import load_settings
from tandem.market_ai.access import identified
from tandem.market_ai.analysis.routes import router as analysis
from tandem.market_ai.audit.routes import router as audit
from tandem.market_ai.brands.routes import router as brands
from tandem.market_ai.budget.routes import router as budget
from tandem.market_ai.campaigns.routes import router as campaigns
from tandem.market_ai.charts.routes import router as charts
from tandem.market_ai.clerk import clerk_running
from tandem.market_ai.comparison.routes import router as comparison
from tandem.market_ai.content.routes import of_campaign as content_of_campaign
from tandem.market_ai.content.routes import router as content
from tandem.market_ai.feedback.routes import router as feedback
from tandem.market_ai.generation.routes import router as generation
from tandem.market_ai.idempotency.replay import Replayed, send_replayed
from tandem.market_ai.imports.routes import BODY_LIMITS as IMPORT_LIMITS
from tandem.market_ai.imports.routes import leads as lead_imports
from tandem.market_ai.imports.routes import suppressions as suppression_imports
from tandem.market_ai.job_api.hub import job_events
from tandem.market_ai.job_api.routes import router as jobs
from tandem.market_ai.knowledge.routes import BODY_LIMITS as KNOWLEDGE_LIMITS
from tandem.market_ai.knowledge.routes import router as knowledge
from tandem.market_ai.leads.routes import router as leads
from tandem.market_ai.mailbox.routes import router as mailbox
from tandem.market_ai.metrics.routes import router as metrics
from tandem.market_ai.organizations.routes import invitations, management
from tandem.market_ai.organizations.routes import router as organizations
from tandem.market_ai.recipients.routes import router as recipients
from tandem.market_ai.segments.routes import router as segments
from tandem.market_ai.sending.routes import deliveries, sends
from tandem.market_ai.sending.routes import of_campaign as sending_of_campaign
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.suppressions.routes import router as suppressions
from tandem.market_ai.templates.routes import router as templates
from tandem.market_ai.webhooks.routes import router as webhooks

AREAS = (
    "campaigns", "brands", "content", "knowledge", "leads", "suppressions", "sending", "metrics", "jobs", "budget",
    "audit", "organizations", "webhooks",
)  # fmt: skip
SCOPES = [f"{area}:{right}" for area in AREAS for right in ("read", "write")]
EVENTS = {
    ("POST", "/api/auth/sign-up/email"): "signed_up",
    ("POST", "/api/campaigns"): "campaign_created",
    ("POST", "/api/campaigns/{campaign_id}/activate"): "campaign_activated",
    ("POST", "/api/campaigns/{campaign_id}/generate"): "generation_started",
    ("POST", "/api/campaigns/{campaign_id}/analyze"): "analysis_started",
    ("POST", "/api/content/{content_id}/publish"): "content_published",
}
DESCRIPTION = """
A marketing API whose AI jobs cannot overspend, cannot be paid for twice and survive anything. Sign up at
`POST /api/auth/sign-up/email` (or with Clerk), then send the token as `Authorization: Bearer …`.

Everything belongs to an organization. `POST /api/campaigns/{id}/generate` starts a job; watch it at
`GET /api/jobs/{id}/events`. Repeat any creating POST safely with an `Idempotency-Key`. Errors are
`application/problem+json` with a stable `code`.
"""


def build(settings: MarketAiSettings) -> FastAPI:
    running: list[Running] = [clerk_running, job_events]
    if settings.run_worker:
        running.append(worker_in_web("tandem.market_ai.worker:JOBS"))
    accounts = [] if settings.clerk_domain else [*account_routers(settings, SCOPES), management, invitations]
    return create_app(
        settings,
        title="Market AI",
        description=DESCRIPTION,
        routers=[
            campaigns,
            generation,
            metrics,
            comparison,
            charts,
            analysis,
            content_of_campaign,
            content,
            brands,
            knowledge,
            lead_imports,
            leads,
            segments,
            suppression_imports,
            suppressions,
            templates,
            sending_of_campaign,
            sends,
            deliveries,
            feedback,
            recipients,
            jobs,
            budget,
            organizations,
            audit,
            webhooks,
            *accounts,
            *([mailbox] if settings.environment == "development" and settings.smtp_url is None else []),
        ],
        body_limits=KNOWLEDGE_LIMITS | IMPORT_LIMITS,
        gate=identified,
        exception_handlers={**exception_handlers(), Replayed: send_replayed},
        running=running,
        events=EVENTS,
    )


def __getattr__(name: str) -> FastAPI:
    """`app` is built when a server asks for it, so that importing this module reads no environment."""
    if name == "app":
        return build(load_settings(MarketAiSettings))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

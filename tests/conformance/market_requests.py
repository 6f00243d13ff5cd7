"""Valid requests for the operations of Market AI."""

import uuid
from typing import TYPE_CHECKING, Any

from tests.conformance import mail_requests
from tests.conformance.account_requests import account_requests
from tests.conformance.operations import Sent

if TYPE_CHECKING:
    from tests.conformance.market_owned import MarketOwned


def requests_for(mine: "MarketOwned") -> dict[str, list[Sent]]:
    return {
        **account_requests(mine.user, mine.session, "campaigns:read"),
        **_campaigns(mine),
        **_metrics(),
        **_content(mine),
        **_brands(mine),
        **_knowledge(mine),
        **_leads(mine),
        **_imports(mine),
        **_jobs(mine),
        **_budget(mine),
        **_organizations(mine),
        **_webhooks(mine),
        **mail_requests.requests_for(mine),
    }


def _campaigns(mine: "MarketOwned") -> dict[str, list[Sent]]:
    campaign = {
        "name": "Christmas stollen",
        "type": "email",
        "objective": "500 orders before the 20th",
        "audience": "those who bought stollen last year",
        "budget": {"amount": "1500.00", "currency": "EUR"},
        "starts_at": "2026-12-01T08:00:00Z",
        "ends_at": "2026-12-24T20:00:00Z",
        "channels": ["newsletter"],
        "brand_id": mine.brand,
    }
    return {
        "GET /api/campaigns": [Sent({"brand_id": mine.brand}), Sent({"q": "ordinary", "status": "draft"})],
        "POST /api/campaigns": [Sent(body=campaign)],
        "PATCH /api/campaigns/{campaign_id}": [Sent(body=campaign)],
        "POST /api/campaigns/{campaign_id}/generate": [
            Sent(body={"kind": "email", "brief": "Pre-order stollen.", "variants": 2, "use_knowledge": True})
        ],
        "POST /api/campaigns/{campaign_id}/analyze": [Sent(body={"language": "English"})],
    }


def _metrics() -> dict[str, list[Sent]]:
    campaign, days = "/api/campaigns/{campaign_id}", {"date_from": "2026-12-01", "date_to": "2026-12-31"}
    row = {
        "date": "2026-12-02",
        "channel": "newsletter",
        "variant": "A",
        "impressions": 125000,
        "clicks": 3200,
        "conversions": 145,
        "cost": "2500.00",
        "revenue": "8250.00",
    }
    return {
        f"PUT {campaign}/metrics": [Sent(body={"rows": [row, {"date": "2026-12-03", "channel": "newsletter"}]})],
        f"GET {campaign}/metrics": [Sent({**days, "channel": "newsletter", "limit": 10})],
        f"DELETE {campaign}/metrics": [Sent(days)],
        f"GET {campaign}/kpis": [Sent({"by": "variant"})],
        f"GET {campaign}/series": [Sent({"by": "channel", "metric": "cpc", "interval": "week"})],
        f"GET {campaign}/anomalies": [Sent({"metric": "cost"})],
        f"GET {campaign}/comparison/variants": [Sent({"metric": "cvr", "alpha": 0.01}), Sent({"weight": [1]})],
        f"GET {campaign}/comparison/periods": [Sent(days)],
        f"GET {campaign}/sample-size": [Sent({"baseline": 0.02})],
        f"GET {campaign}/chart.svg": [Sent({"theme": "dark", "by": "variant"})],
        f"GET {campaign}/chart.html": [Sent({"metric": "ctr"})],
        f"GET {campaign}/reports": [Sent({"limit": 10})],
    }


def _content(mine: "MarketOwned") -> dict[str, list[Sent]]:
    cited = {"source": "Facts", "document_id": mine.document, "chunk_id": mine.chunk, "quote": "It is good."}
    copy = {"headline": "Stollen is back", "body": "Three hundred are left.", "channel": {"subject": "Stollen"}}
    copy = {**copy, "call_to_action": "Reserve yours", "citations": [cited]}
    return {
        "GET /api/campaigns/{campaign_id}/content": [Sent({"kind": "email", "sort": "title"})],
        "POST /api/campaigns/{campaign_id}/content": [Sent(body={"kind": "email", "title": "First mail", **copy})],
        "GET /api/content": [Sent({"campaign_id": mine.campaign}), Sent({"job_id": mine.failed})],
        "PATCH /api/content/{content_id}": [Sent(body={"title": "Reminder"})],
        "GET /api/content/{content_id}/versions": [Sent({"limit": 10})],
        "POST /api/content/{content_id}/versions": [Sent(body=copy)],
        "GET /api/content/{content_id}/reviews": [Sent({"limit": 10})],
        "POST /api/content/{content_id}/approve": [Sent(body={"version": 1})],
        "POST /api/content/{content_id}/reject": [Sent(body={"reason": "The price is missing."})],
    }


def _brands(mine: "MarketOwned") -> dict[str, list[Sent]]:
    voice = {
        "tone": "warm",
        "style": "short sentences",
        "banned_words": ["cheap"],
        "required_disclaimer": "While stocks last.",
        "examples": ["Bread like it used to be."],
    }
    return {
        "GET /api/brands": [Sent({"q": "ordinary"})],
        "POST /api/brands": [Sent(body={"name": f"Bakery {uuid.uuid4()}", "voice": voice})],
        "PATCH /api/brands/{brand_id}": [Sent(body={"name": f"Bakery {uuid.uuid4()}", "voice": voice})],
    }


def _knowledge(mine: "MarketOwned") -> dict[str, list[Sent]]:
    text = f"# Returns\n\nSend shoes back within 100 days. {uuid.uuid4()}"
    fields = {"title": "Returns", "brand_id": mine.brand, "language": "english"}
    return {
        "GET /api/knowledge/documents": [Sent({"brand_id": mine.brand}), Sent({"q": "ordinary"})],
        "POST /api/knowledge/documents": [
            Sent(form={**fields, "file": ("returns.md", text.encode(), "text/markdown")})
        ],
        "POST /api/knowledge/documents/text": [Sent(body={**fields, "text": text, "format": "markdown"})],
        "PATCH /api/knowledge/documents/{document_id}": [Sent(body=fields)],
        "GET /api/knowledge/documents/{document_id}/chunks": [Sent({"limit": 10})],
        "GET /api/knowledge/search": [Sent({"q": "ordinary", "brand_id": mine.brand})],
    }


def _leads(mine: "MarketOwned") -> dict[str, list[Sent]]:
    consent = {"status": "granted", "source": "newsletter form", "at": "2026-11-01T09:00:00Z", "proof": "double opt-in"}
    lead = {
        "email": f"{uuid.uuid4()}@example.com",
        "name": "Ada Lovelace",
        "attributes": {"plan": "pro", "visits": 12},
        "tags": ["vip"],
        "timezone": "Europe/London",
        "locale": "en-GB",
    }
    segment = {"name": f"Regulars {uuid.uuid4()}", "filter": 'consent = granted and tags has "vip"'}
    suppression = {"email": f"{uuid.uuid4()}@example.com", "reason": "manual", "note": "Asked by phone."}
    listed = [Sent({"q": "ordinary", "sort": "name"}), Sent({"filter": "mailable", "cursor": "", "tag": "ordinary"})]
    return {
        "GET /api/leads": listed,
        "POST /api/leads": [Sent(body={**lead, "consent": consent})],
        "PATCH /api/leads/{lead_id}": [Sent(body=lead)],
        "GET /api/leads/tags": [Sent({"q": "ord"})],
        "GET /api/leads/export": [Sent({"format": "json"}), Sent({"filter": "tags has ordinary"})],
        "GET /api/leads/{lead_id}/consents": [Sent({"limit": 10})],
        "POST /api/leads/{lead_id}/consents": [Sent(body=consent)],
        "GET /api/segments": [Sent({"q": "ordinary"})],
        "POST /api/segments": [Sent(body=segment)],
        "PATCH /api/segments/{segment_id}": [Sent(body=segment)],
        "GET /api/segments/preview": [Sent({"filter": "mailable"})],
        "GET /api/segments/{segment_id}/leads": listed,
        "GET /api/suppressions": [Sent({"q": "ordinary"}), Sent({"email": "ordinary@example.org"})],
        "POST /api/suppressions": [Sent(body=suppression)],
        "PATCH /api/suppressions/{suppression_id}": [Sent(body={"note": "Asked again by letter."})],
    }


def _imports(mine: "MarketOwned") -> dict[str, list[Sent]]:
    file = ("people.csv", f"Who,Address\nAda,{uuid.uuid4()}@example.com\n".encode(), "text/csv")
    form = {"file": file, "delimiter": "comma", "mapping": '{"Who": null, "Address": "email"}'}
    consent = {"consent": "granted", "consent_source": "fair", "consent_proof": "list of 3 May"}
    paths = ("/api/leads/imports", "/api/suppressions/imports")
    return {
        "POST /api/leads/imports": [Sent(form={**form, "on_existing": "skip", "tags": "vip, new", **consent})],
        "POST /api/suppressions/imports": [Sent(form={**form, "reason": "bounced"})],
        **{f"GET {path}": [Sent({"status": "queued"})] for path in paths},
        **{f"GET {path}/{{import_id}}/events": [Sent({"after": 0, "organization": mine.org})] for path in paths},
    }


def _jobs(mine: "MarketOwned") -> dict[str, list[Sent]]:
    return {
        "GET /api/jobs": [Sent({"campaign_id": mine.campaign}), Sent({"type": "generate_content"})],
        "GET /api/jobs/{job_id}/events": [Sent({"after": 0, "organization": mine.org})],
    }


def _budget(mine: "MarketOwned") -> dict[str, list[Sent]]:
    limits: dict[str, Any] = {"organization": "1000", "month": "250.00", "day": "25", "request": "1.50"}
    return {
        "GET /api/budget": [Sent({"campaign_id": mine.campaign})],
        "PUT /api/budget/limits": [Sent(body={**limits, "campaigns": {mine.campaign: "40.00"}})],
        "GET /api/budget/calls": [Sent({"job_id": mine.failed}), Sent({"campaign_id": mine.campaign})],
        "GET /api/budget/ledger": [Sent({"limit": 10})],
        "POST /api/budget/calls/{call_id}/resolve": [
            Sent(body={"outcome": "billed", "amount": "0.001", "note": "as on the bill"}),
            Sent(body={"outcome": "not_billed"}),
        ],
    }


def _organizations(mine: "MarketOwned") -> dict[str, list[Sent]]:
    return {
        "GET /api/organizations": [Sent({"limit": 10})],
        "POST /api/organizations": [Sent(body={"name": "Acme Coffee"})],
        "PATCH /api/organizations/current": [Sent(body={"name": "Acme Coffee"})],
        "GET /api/organizations/current/members": [Sent({"limit": 10})],
        "PATCH /api/organizations/current/members/{user_id}": [Sent(body={"role": "viewer"})],
        "GET /api/organizations/current/invitations": [Sent({"limit": 10})],
        "POST /api/organizations/current/invitations": [Sent(body={"role": "member", "email": "grace@example.com"})],
        "POST /api/invitations/accept": [Sent(body={"code": mine.code})],
        "GET /api/audit": [Sent({"object_id": mine.campaign}), Sent({"user_id": mine.user.id})],
    }


def _webhooks(mine: "MarketOwned") -> dict[str, list[Sent]]:
    webhook = {"url": "https://hooks.example.com/tandem", "events": ["campaign.*", "job.failed"], "description": "CRM"}
    return {
        "GET /api/webhooks": [Sent({"limit": 10})],
        "POST /api/webhooks": [Sent(body=webhook)],
        "PATCH /api/webhooks/{webhook_id}": [Sent(body=webhook), Sent(body={"enabled": True})],
        "POST /api/webhooks/{webhook_id}/rotate-secret": [Sent(body={"overlap_hours": 1})],
        "GET /api/webhooks/{webhook_id}/deliveries": [
            Sent({"status": "pending", "type": "campaign.created"}), Sent({"cursor": "", "limit": 1}),
        ],
    }  # fmt: skip

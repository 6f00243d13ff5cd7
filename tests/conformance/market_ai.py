"""Market AI, as the black-box tests know it."""

from typing import Any

from fastapi import FastAPI

from tandem.market_ai.access import AI, CREATING
from tandem.market_ai.budget.routes import VERIFY
from tandem.market_ai.imports.uploads import IMPORTS
from tandem.market_ai.knowledge.uploads import UPLOADS
from tandem.market_ai.main import build
from tandem.market_ai.sending.routes import TRIALS
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.webhooks.routes import SENDING as WEBHOOK_SENDING
from tests.conformance import mail_requests, market_owned, market_requests
from tests.conformance.live import NOWHERE, LiveServer, values_for
from tests.conformance.market_owned import MarketOwned
from tests.conformance.operations import Operation, Place, Sent
from tests.conformance.service import Service

_CAMPAIGN, _CONTENT = "POST /api/campaigns/{campaign_id}", "POST /api/content/{content_id}"


class MarketAi(Service):
    name, package, clones = "market-ai", "tandem.market_ai", "market_clones"
    limits = (*Service.limits, CREATING, AI, VERIFY, UPLOADS, IMPORTS, TRIALS, WEBHOOK_SENDING)
    full_tables = {
        "user", "session", "api_tokens", "organizations", "memberships", "invitations", "audit_events",
        "idempotency_keys", "brands", "campaigns", "content_assets", "content_versions", "content_reviews",
        "knowledge_documents", "knowledge_chunks", "leads", "lead_consents", "suppressions", "segments", "imports",
        "import_chunks", "jobs", "budget_limits", "budget_accounts", "budget_calls",
        "budget_ledger", "budget_chains", "campaign_metrics", "campaign_reports",
        "webhook_endpoints", "webhook_messages", "webhook_deliveries", "webhook_attempts",
        "email_templates", "sends", "deliveries", "delivery_events", "tracked_links",
    }  # fmt: skip
    views = (
        "/api/campaigns", "/api/content", "/api/brands", "/api/knowledge/documents", "/api/leads", "/api/segments",
        "/api/suppressions", "/api/leads/imports", "/api/suppressions/imports", "/api/jobs", "/api/budget",
        "/api/budget/calls", "/api/budget/ledger", "/api/audit", "/api/webhooks", "/api/organizations",
        "/api/organizations/current/members", "/api/organizations/current/invitations",
        "/api/templates", "/api/sends", "/api/deliveries",
    )  # fmt: skip
    somewhere = "/api/campaigns"
    sweeping = ("POST /api/auth/revoke-other-sessions", "POST /api/auth/revoke-sessions")
    before = {
        f"{_CAMPAIGN}/pause": (f"{_CAMPAIGN}/activate",),
        f"{_CAMPAIGN}/resume": (f"{_CAMPAIGN}/activate", f"{_CAMPAIGN}/pause"),
        f"{_CAMPAIGN}/complete": (f"{_CAMPAIGN}/activate",),
        f"{_CONTENT}/approve": (f"{_CONTENT}/submit",),
        f"{_CONTENT}/reject": (f"{_CONTENT}/submit",),
        f"{_CONTENT}/publish": (f"{_CONTENT}/submit", f"{_CONTENT}/approve"),
        "POST /api/sends/{send_id}/resume": ("POST /api/sends/{send_id}/pause",),
    }
    main_writes = {
        "POST /api/templates", "POST /api/campaigns/{campaign_id}/send",
        "POST /api/campaigns", "PATCH /api/campaigns/{campaign_id}", f"{_CAMPAIGN}/content", f"{_CAMPAIGN}/generate",
        "PATCH /api/brands/{brand_id}", "POST /api/knowledge/documents/text", "POST /api/leads",
        "PATCH /api/leads/{lead_id}", "POST /api/segments", "POST /api/suppressions", "PUT /api/budget/limits",
        "PUT /api/campaigns/{campaign_id}/metrics",
        "POST /api/budget/calls/{call_id}/resolve", "POST /api/organizations/current/invitations",
        "POST /api/webhooks", "PATCH /api/webhooks/{webhook_id}", "POST /api/webhooks/{webhook_id}/rotate-secret",
    }  # fmt: skip
    bad_files = (
        ("empty.txt", b"", "text/plain"),
        ("spaces.txt", b" \n\t ", "text/plain"),
        ("latin.txt", b"\xe4\xf6\xfc", "text/plain"),
        ("half.pdf", b"%PDF-1.7 and no more", "application/pdf"),
        ("page.html", b"<p>Bread</p>", "application/pdf"),
        ("program.exe", b"MZ\0\0", "application/x-msdownload"),
        ("archive.txt", b"PK\x03\x04", "text/plain"),
        ("binary.txt", b"a\0b", "text/plain"),
        ("rot.txt", b"oernq", "text/plain; charset=rot13"),
        ("picture.png", b"\x89PNG\r\n", "image/png"),
    )

    def build(self, database_url: str = NOWHERE, **values: Any) -> FastAPI:
        return build(MarketAiSettings(**values_for(database_url, **mail_requests.SETTINGS, **values)))

    def furnish(self, server: LiveServer, word: str = "ordinary", *, whole: bool = False) -> MarketOwned:
        return market_owned.furnish(server, word, whole=whole)

    def needs_the_whole(self, operation: Operation) -> bool:
        dear = (
            "/api/knowledge/documents/{", "/api/segments/{", "/api/suppressions/{", "/imports/{", "/api/budget/calls/{",
            "/members/{", "/invitations", "/send", "/api/deliveries", "/api/templates", "/api/mail", "/u/", "/o/", "/c/",
        )  # fmt: skip
        return super().needs_the_whole(operation) or any(part in operation.path for part in dear)

    def requests_for(self, mine: MarketOwned) -> dict[str, list[Sent]]:
        return market_requests.requests_for(mine)

    def ids_like(self, operation: Operation, place: Place, bob: MarketOwned) -> list[str]:
        if operation.path == "/api/auth/revoke-session":
            return [bob.session, bob.user.token]
        if place[-1] == "number":
            return []  # of a version: counted in each content
        if place == ("path", "token"):
            return []  # whoever has the link of a mail may use it
        if place[0] == "header" or place[-1] == "organization":
            return [bob.org]
        kinds = {
            "campaign": [bob.campaign, bob.mailing], "brand": [bob.brand], "content": [bob.content, bob.letter],
            "document": [bob.document], "job": [bob.failed, bob.queued], "chunk": [bob.chunk],
            "lead": [bob.lead, bob.reader], "segment": [bob.segment, bob.audience], "suppression": [bob.suppression],
            "import": [bob.leads_ended, bob.suppressions_queued], "call": [bob.call], "token": [bob.token],
            "report": [bob.report],
            "template": [bob.template], "send": [bob.send], "delivery": [bob.delivery, bob.telling],
            "user": [bob.user.id, bob.colleague], "invitation": [bob.invitation], "object": [bob.content, bob.org],
            "webhook": [bob.webhook],
        }  # fmt: skip
        asked = " ".join(map(str, place)) if place[-1] != "{}" else "campaign"
        same = [one for kind, ids in kinds.items() if kind in asked for one in ids]
        return [*same, bob.content if bob.campaign in same else bob.campaign]

    def searches_for(self, server: LiveServer, bob: MarketOwned, word: str) -> dict[str, list[Sent]]:
        page = server.api(bob.user, "GET", "/api/audit?cursor=&limit=1")
        assert page["next_cursor"]
        asked = [{"object_id": bob.campaign}, {"user_id": bob.user.id}, {"cursor": page["next_cursor"]}]
        named = ("campaigns", "brands", "templates", "knowledge/documents", "knowledge/search")
        return {
            **{f"GET /api/{path}": [Sent({"q": word})] for path in named},
            "GET /api/content": [Sent({"campaign_id": bob.campaign}), Sent({"job_id": bob.failed})],
            "GET /api/sends": [Sent({"campaign_id": bob.mailing})],
            "GET /api/deliveries": [
                Sent({name: value})
                for name, value in {"send_id": bob.send, "campaign_id": bob.mailing, "lead_id": bob.reader}.items()
            ],
            "GET /api/jobs": [Sent({"campaign_id": bob.campaign})],
            "GET /api/leads": [Sent({"q": word}), Sent({"tag": word}), Sent({"filter": f"name contains {word}"})],
            "GET /api/leads/tags": [Sent({"q": word})],
            "GET /api/segments": [Sent({"q": word})],
            "GET /api/suppressions": [Sent({"q": word}), Sent({"email": f"{word}@example.org"})],
            "GET /api/budget/calls": [Sent({"campaign_id": bob.campaign}), Sent({"job_id": bob.failed})],
            "GET /api/audit": [Sent(query) for query in asked],
        }

    def same_name(self, word: str) -> dict[str, Any]:
        document = {"title": f"{word} facts", "text": f"What one should know of {word}."}
        template = {"name": f"{word} template", "html": mail_requests.HTML}
        return {
            "/api/brands": {"name": f"{word} brand"},
            "/api/knowledge/documents/text": document,
            "/api/leads": {"email": f"{word}@example.com"},
            "/api/segments": {"name": f"{word} segment", "filter": "mailable"},
            "/api/suppressions": {"email": f"{word}@example.org"},
            "/api/templates": template,
        }

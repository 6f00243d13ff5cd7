"""What a user of Market AI can own, and how it comes about: through the API, but for jobs, which no worker runs here."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from tandem.core.db import Database
from tandem.core.ids import uuid7
from tandem.core.jobs import store
from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.analysis.schemas import AnalyzeCampaign, Summary, Told
from tandem.market_ai.analysis.service import compute, keep_report
from tandem.market_ai.budget.service import CallIntent, mark_unknown, reserve
from tandem.market_ai.generation.schemas import GenerateContent
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.tenancy import personal_organization
from tandem.market_ai.webhooks.outcomes import Due, note
from tandem.market_ai.webhooks.queries import find_due
from tandem.market_ai.webhooks.schemas import DeliverWebhook
from tandem.market_ai.webhooks.sending import Outcome
from tests.builders import User
from tests.conformance import mail_owned, mail_requests
from tests.conformance.live import LiveServer, values_for
from tests.conformance.operations import Operation
from tests.conformance.service import NOTHING, Owned
from tests.market_ai.job_making import begin, failed_job, queue_job


@dataclass(frozen=True)
class MarketOwned(Owned):
    """`org` is their own organization. `failed` and `queued` are jobs, `colleague` is a member, `code` an invitation's.

    Imports are of leads and of suppressions. `session` is as /api/auth names it. `mailing` is an active campaign with
    the approved mail `letter`, of which the lead `reader` was sent one, `delivery`; the segment `audience` has another.
    """

    org: str
    brand: str
    campaign: str
    content: str
    failed: str
    queued: str
    document: str
    chunk: str
    lead: str
    segment: str
    suppression: str
    leads_queued: str
    leads_ended: str
    suppressions_queued: str
    suppressions_ended: str
    call: str
    report: str
    colleague: str
    invitation: str
    code: str
    token: str
    session: str
    webhook: str
    signing_secret: str
    mailing: str
    letter: str
    template: str
    audience: str
    reader: str
    send: str
    delivery: str
    telling: str

    @property
    def owners(self) -> list[str]:
        return [self.user.id, self.org]

    def path_of(self, operation: Operation) -> dict[str, str]:
        return {
            "campaign_id": self.mailing if "/send" in operation.path else self.campaign,
            "template_id": self.template,
            "send_id": self.send,
            "delivery_id": self.telling if "/webhooks/" in operation.path else self.delivery,
            "token": mail_requests.token_for(operation, self.delivery),
            "content_id": self.content,
            "number": "1",
            "brand_id": self.brand,
            "document_id": self.document,
            "job_id": self.queued if operation.path.endswith("/cancel") else self.failed,
            "lead_id": self.lead,
            "segment_id": self.segment,
            "suppression_id": self.suppression,
            "import_id": self._import(operation),
            "call_id": self.call,
            "report_id": self.report,
            "user_id": self.colleague,
            "invitation_id": self.invitation,
            "token_id": self.token,
            "webhook_id": self.webhook,
        }

    def _import(self, operation: Operation) -> str:
        if "/suppressions/" in operation.path:
            return self.suppressions_queued if operation.path.endswith("/cancel") else self.suppressions_ended
        return self.leads_queued if operation.path.endswith("/cancel") else self.leads_ended


def furnish(server: LiveServer, word: str, *, whole: bool) -> MarketOwned:
    user = server.sign_up()
    org = personal_organization(user.id)
    hook = _post(server, user, "/api/webhooks", {"url": f"https://{word}.example.com/hooks", "description": word})
    brand = _post(server, user, "/api/brands", {"name": f"{word} brand", "voice": {"tone": word}})["id"]
    campaign = _post(server, user, "/api/campaigns", {"name": f"{word} campaign", "type": "email", "objective": word})[
        "id"
    ]
    copy = {"kind": "email", "title": f"{word} mail", "body": f"Our {word}."}
    content = _post(server, user, f"/api/campaigns/{campaign}/content", copy)["id"]
    person = {"email": f"{word}@example.com", "name": word, "tags": [word], "attributes": {"plan": word}}
    consent = {"status": "granted", "source": word, "proof": word}
    lead = _post(server, user, "/api/leads", {**person, "consent": consent})["id"]
    day = {"date": "2026-12-01", "channel": word, "variant": word, "impressions": 1000, "clicks": 20, "cost": "5.00"}
    server.api(user, "PUT", f"/api/campaigns/{campaign}/metrics", json={"rows": [day]})
    failed, queued, call = asyncio.run(_jobs(server.database_url, org, UUID(campaign), word, whole=whole))
    report = asyncio.run(_report(server.database_url, org, UUID(campaign), UUID(failed), word))
    told = server.api(user, "GET", f"/api/webhooks/{hook['id']}/deliveries?type=campaign.created")
    telling = told["items"][0]["id"]
    asyncio.run(_attempted(server.database_url, org, UUID(telling), word))
    dear = _dear(server, user, word, content) if whole else _nothing_dear()
    ids = {"brand": brand, "campaign": campaign, "content": content, "failed": failed, "queued": queued, "call": call}
    ids |= {"lead": lead, "report": report}
    hooked = {"webhook": hook["id"], "signing_secret": hook["secret"], "telling": telling}
    return MarketOwned(user=user, org=org, **ids, **dear, **hooked)


def _dear(server: LiveServer, user: User, word: str, content: str) -> dict[str, str]:
    text = {"title": f"{word} facts", "text": f"What one should know of {word}."}
    document = _post(server, user, "/api/knowledge/documents/text", text)["id"]
    chunks = server.api(user, "GET", f"/api/knowledge/documents/{document}/chunks")["items"]
    made = _post(server, user, "/api/organizations/current/invitations", {"role": "member"})
    colleague = server.sign_up()
    _post(server, colleague, "/api/invitations/accept", {"code": made["code"]})
    invitation = _post(server, user, "/api/organizations/current/invitations", {"email": user.email})
    server.api(user, "PUT", "/api/budget/limits", json={"month": "500"})
    asset = server.api(user, "GET", f"/api/content/{content}")
    reviewed = {"kind": "blog", "title": f"{word} post", "body": word}
    posted = _post(server, user, f"/api/campaigns/{asset['campaign_id']}/content", reviewed)["id"]
    server.api(user, "POST", f"/api/content/{posted}/submit")
    return {
        **_of_leads(server, user, word),
        "document": document,
        "chunk": chunks[0]["id"],
        "colleague": colleague.id,
        "invitation": invitation["id"],
        "code": invitation["code"],
        "token": _post(server, user, "/api/tokens", {"name": word, "scopes": ["campaigns:read"]})["id"],
        "session": server.api(user, "GET", "/api/auth/list-sessions")[0]["id"],
        **mail_owned.furnish(server, user, word),
    }


def _of_leads(server: LiveServer, user: User, word: str) -> dict[str, str]:
    """Of each kind one import that waits, and one that failed."""
    imports = {}
    for kind in ("leads", "suppressions"):
        for state in ("queued", "ended"):
            file = {"file": (f"{word}.csv", f"email,note\n{word}@example.net,{state}\n".encode(), "text/csv")}
            imports[f"{kind}_{state}"] = server.api(user, "POST", f"/api/{kind}/imports", files=file)["id"]
    asyncio.run(_end(server.database_url, [UUID(imports[f"{kind}_ended"]) for kind in ("leads", "suppressions")]))
    suppressed = {"email": f"{word}@example.org", "note": word}
    return {
        "segment": _post(server, user, "/api/segments", {"name": f"{word} segment", "filter": f"tags has {word}"})[
            "id"
        ],
        "suppression": _post(server, user, "/api/suppressions", suppressed)["id"],
        **imports,
    }


async def _end(database_url: str, job_ids: list[UUID]) -> None:
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    try:
        for job_id in job_ids:
            await store.fail(connection.fetch, job_id, await begin(connection, job_id), "its file is gone")
    finally:
        await connection.close()


def _nothing_dear() -> dict[str, str]:
    """Ids of the right shape."""
    imports = ("leads_queued", "leads_ended", "suppressions_queued", "suppressions_ended")
    ids = {
        kind: str(uuid7())
        for kind in ("document", "chunk", "segment", "suppression", "invitation", *imports, *mail_owned.KINDS)
    }
    return ids | dict.fromkeys(("colleague", "code", "token", "session"), NOTHING)


def _post(server: LiveServer, user: User, path: str, body: dict[str, Any]) -> Any:
    """With an Idempotency-Key where one is honoured, and ignored where not."""
    key = {"Idempotency-Key": str(uuid7())}
    response = server.http.post(server.url + path, json=body, headers=user.headers | key, timeout=30)
    assert response.ok, response.text
    return response.json()


async def _jobs(database_url: str, org: str, campaign: UUID, word: str, *, whole: bool) -> tuple[str, str, str]:
    """A job that failed, one that waits, and a call of which nobody knows whether it was billed."""
    order = GenerateContent(campaign_id=campaign, kind="email", brief=word)
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    try:
        call = str(uuid7())
        if whole:
            job_id = await queue_job(connection, org, order)
            attempt = await begin(connection, job_id)
            call = await _unknown_call(database_url, org, job_id, campaign, attempt)
            await store.fail(connection.fetch, job_id, attempt, f"the model said nothing of {word}")
        else:
            job_id = await failed_job(connection, org, payload=order)
        return str(job_id), str(await queue_job(connection, org, order)), call
    finally:
        await connection.close()


async def _report(database_url: str, org: str, campaign: UUID, job_id: UUID, word: str) -> str:
    order = AnalyzeCampaign(campaign_id=campaign)
    told = Told(summary=Summary(summary=f"Our {word} went well.", recommendations=[word]), model="offline", rejected=[])
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    try:
        async with connection.transaction():
            facts = await compute(connection, org, campaign)
            return str(await keep_report(connection, org, order, facts, told, job_id=job_id))
    finally:
        await connection.close()


async def _attempted(database_url: str, org: str, delivery: UUID, word: str) -> None:
    """As a worker leaves it whose attempt has failed."""
    connection = await asyncpg.connect(**parse_database_url(database_url).asyncpg_args)
    try:
        order = DeliverWebhook(org_id=org, delivery_id=delivery, attempt=1)
        due = Due(order, await find_due(connection, order))
        async with connection.transaction():
            await note(connection, due, Outcome(datetime.now(UTC), 7, 500, "http_error", f"no {word} here"))
    finally:
        await connection.close()


async def _unknown_call(database_url: str, org: str, job_id: UUID, campaign: UUID, attempt: int) -> str:
    settings = MarketAiSettings(**values_for(database_url))
    assert settings.database is not None
    database = Database(settings, settings.database)
    try:
        intent = CallIntent(org, job_id, attempt, "write", "prompt", "gpt-4o-mini", 3120, 10_000_000, campaign)
        held = await reserve(database, intent)
        await mark_unknown(database, held, "the connection was lost")
        return str(held.id)
    finally:
        await database.close()

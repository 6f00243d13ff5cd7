"""Market AI's worker as a process that tests kill, and campaigns with many leads, made past the API."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from tandem.core.ids import uuid7
from tandem.core.jobs.registry import Backoff, Jobs
from tandem.core.log import configure_logging
from tandem.market_ai.sending import jobs
from tandem.market_ai.sending.planning import plan
from tandem.market_ai.sending.schemas import SendRequest
from tandem.market_ai.sending.service import enqueue_send
from tandem.market_ai.settings import MarketAiSettings
from tandem.ops.worker import work
from tests.builders import SECRET
from tests.core.jobs_service import QUICK

LANES = 4
ORG = "org_mail"
_LEADS = """
INSERT INTO leads (org_id, id, email, email_key, name, tags, consent, consent_at)
SELECT $1, gen_random_uuid(), e, e, 'Lead ' || n, ARRAY['part' || n % $3], 'granted', now()
  FROM generate_series(1, $2) n, LATERAL (SELECT 'lead' || n || '@d' || n % 7 || '.test' AS e) a"""
_MAIL = """
WITH campaign AS (
  INSERT INTO campaigns (org_id, id, name, type, status, activated_at) VALUES ($1, $2, $4, 'email', 'active', now())),
asset AS (
  INSERT INTO content_assets (org_id, id, campaign_id, kind, title, status, approved_version)
  VALUES ($1, $3, $2, 'email', $4, 'approved', 1))
INSERT INTO content_versions
       (org_id, asset_id, number, headline, body, call_to_action, channel, citations, created_by)
VALUES ($1, $3, 1, 'Stollen is back', 'Dear {{ lead.name }}, three hundred are left.', '', '{}', '[]', 'test')"""


def settings(url: str, smtp: str, **values: Any) -> MarketAiSettings:
    given: dict[str, Any] = {
        "database_url": SecretStr(url), "smtp_url": SecretStr(smtp), "session_hash_secret": SecretStr(SECRET),
        "mail_from": "Ada <news@bakery.test>", "smtp_connections": LANES,
    }  # fmt: skip
    return MarketAiSettings(_env_file=None, environment="test", log_level="ERROR", **(given | values))


async def order_sends(connection: Any, leads: int, campaigns: int) -> list[UUID]:
    """So many leads, each in one of so many campaigns, all of which begin to send at once."""
    await connection.execute("INSERT INTO organizations (id, name) VALUES ($1, 'Mail')", ORG)
    await connection.execute(_LEADS, ORG, leads, campaigns)
    ordered = []
    for part in range(campaigns):
        campaign, content, send = uuid7(), uuid7(), uuid7()
        await connection.execute(_MAIL, ORG, campaign, content, f"Campaign {part}")
        async with connection.transaction():
            request = SendRequest(content_id=content, filter=f'tags has "part{part}"')
            await plan(connection, ORG, campaign, send, request, "test")
            await enqueue_send(connection, ORG, campaign, send)
        ordered.append(send)
    return ordered


def main(url: str, smtp: str) -> None:
    """Until SIGTERM. Mails that are not wanted yet are tried again soon; no job is held for being killed often."""
    jobs.RETRY = Backoff(timedelta(milliseconds=100), 1.5, timedelta(seconds=1))
    ours = settings(url, smtp)
    configure_logging(ours)
    handlers = Jobs("mail", handlers=[jobs.send_email, jobs.sweep_deliveries])
    asyncio.run(work(ours, handlers, options=replace(QUICK, max_lost=1000)))

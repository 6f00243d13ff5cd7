"""Sends: who gets what, what the mail server's answers lead to, and what people can do meanwhile."""

from collections.abc import Iterator
from datetime import timedelta

import httpx2
import pytest
from pydantic import SecretStr

from tandem.core.jobs.registry import Backoff
from tandem.market_ai.sending import jobs
from tandem.market_ai.settings import MarketAiSettings
from tests.market_ai.conftest import MakeMember
from tests.market_ai.mailing import (
    completed,
    make_leads,
    make_mail,
    order,
)
from tests.market_ai.making import audited, connected, post, problem
from tests.market_ai.working import a_worker, ended
from tests.smtp_server import SmtpServer, smtp_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpServer]:
    with smtp_server(tmp_path_factory.mktemp("smtp")) as running:
        yield running


@pytest.fixture
def smtp(server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> SmtpServer:
    """Without messages; a mail that is not wanted yet is tried again at once."""
    monkeypatch.setattr(jobs, "RETRY", Backoff(timedelta(milliseconds=20), 1.0, timedelta(milliseconds=20)))
    monkeypatch.setattr(jobs, "UNREACHABLE", Backoff(timedelta(milliseconds=50), 1.0, timedelta(milliseconds=50)))
    server.clear()
    return server


@pytest.fixture
def market_settings(market_settings: MarketAiSettings, smtp: SmtpServer) -> MarketAiSettings:
    return market_settings.model_copy(
        update={"smtp_url": SecretStr(smtp.url), "mail_from": "Ada's Bakery <news@bakery.test>"}
    )


async def test_everybody_who_may_be_written_to_gets_one_mail(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    leads = await make_leads(market_url, ada.org_id, *(f"{name}@a.test" for name in ("one", "two", "gone", "never")))
    async with connected(market_url) as connection:
        await connection.execute(
            "UPDATE leads SET consent = 'none', consent_at = NULL WHERE id = $1", leads["never@a.test"]
        )
    answer = await post(market, ada, "/api/suppressions", {"email": "gone@a.test", "reason": "manual"})
    if answer.status_code == 404:
        async with connected(market_url) as connection:
            await connection.execute(
                "INSERT INTO suppressions (org_id, email_key, reason, source) VALUES ($1, 'gone@a.test', 'manual', 'x')",
                ada.org_id,
            )
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content)
    assert (send["planned"], send["status"]) == (2, "sending")
    async with a_worker(market_settings):
        now = await completed(market, ada, send)
        job = await ended(market, ada, send["job_id"])
    assert now["states"]["accepted"] == 2
    assert (job["status"], job["type"], job["result"]["accepted"]) == ("succeeded", "send_email", 2)
    assert sorted(one["to"] for one in smtp.taken()) == ["one@a.test", "two@a.test"]
    assert set(smtp.counts().values()) == {1}
    assert await audited(market, ada, send["id"]) == ["send.ordered"]
    again = post(market, ada, f"/api/campaigns/{campaign['id']}/send", {"content_id": content})
    assert await problem(again) == (409, "audience_empty")

"""Templates, previews, test mails, and the mails that development keeps in files."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tandem.core.settings import SettingsError, load_settings
from tandem.market_ai.main import build
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.suppressions.service import suppress
from tests.core.jobs_service import until
from tests.market_ai.conftest import MakeMember
from tests.market_ai.mailing import completed, make_leads, make_mail, order
from tests.market_ai.making import audited, connected, post, problem
from tests.market_ai.working import a_worker
from tests.smtp_server import SmtpServer

HTML = '<h1>{{ content.headline }}</h1>{{ content.body }}<p><a href="{{ unsubscribe_url }}">No more</a></p>'


async def test_a_template_is_made_changed_and_deleted(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    viewer = await member(role="viewer", org=ada.org_id)
    made = await post(market, ada, "/api/templates", {"name": "Newsletter", "html": HTML})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    path = f"/api/templates/{made.json()['id']}"
    assert await problem(post(market, ada, "/api/templates", {"name": "newsletter", "html": HTML})) == (
        409,
        "template_exists",
    )
    assert await problem(post(market, viewer, "/api/templates", {"name": "x", "html": HTML})) == (
        403,
        "insufficient_role",
    )
    listed = (await market.get("/api/templates", params={"q": "LETTER"}, headers=viewer.headers)).json()
    assert [(one["name"], "html" in one) for one in listed["items"]] == [("Newsletter", False)]
    changed = await market.patch(path, json={"name": "Letter"}, headers=ada.headers | {"If-Match": '"1"'})
    assert (changed.json()["name"], changed.json()["html"]) == ("Letter", HTML)
    assert await problem(market.delete(path, headers=ada.headers | {"If-Match": '"1"'})) == (412, "precondition_failed")
    assert (await market.delete(path, headers=ada.headers)).status_code == 204
    assert await audited(market, ada, made.json()["id"]) == ["template.created", "template.updated", "template.deleted"]


@pytest.mark.parametrize(
    ("html", "code"),
    [
        ("<p>No way out</p>", "unsubscribe_link_missing"),
        ("{{ 7 * 7 }}" + HTML, "invalid_template"),
        ("{% if %}" + HTML, "invalid_template"),
        ("{{ lead.__class__.__mro__ }}{{ x() }}" + HTML, "invalid_template"),
    ],
)
async def test_a_template_that_cannot_be_used_is_refused(
    market: httpx2.AsyncClient, member: MakeMember, html: str, code: str
) -> None:
    answer = await post(market, await member(), "/api/templates", {"name": "Bad", "html": html})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)


async def test_a_preview_shows_the_mail_as_a_lead_would_get_it(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str
) -> None:
    ada = await member()
    leads = await make_leads(market_url, ada.org_id, "grace@a.test")
    campaign, content = await make_mail(market, ada)
    template = (await post(market, ada, "/api/templates", {"name": "Plain", "html": HTML})).json()["id"]
    path = f"/api/campaigns/{campaign['id']}/send/preview"
    shown = (await post(market, ada, path, {"content_id": content, "lead_id": str(leads["grace@a.test"])})).json()
    assert (shown["subject"], shown["required_fields"]) == ("Stollen for Lead 1", ["name"])
    assert "Dear Lead 1" in shown["text"]
    shown = (await post(market, ada, path, {"content_id": content, "template_id": template})).json()
    assert shown["html"].startswith("<h1>Stollen is back</h1><p>Dear Ada Lovelace")
    link = shown["text"].rpartition("(http://127.0.0.1:8001")[2].partition(")")[0]
    page = await market.get(link)
    assert "This was a preview" in page.text
    assert (await market.post(link)).status_code == 200


async def test_a_test_mail_goes_to_those_who_may_get_mail(
    market: httpx2.AsyncClient, member: MakeMember, mail_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    campaign, content = await make_mail(market, ada)
    async with connected(market_url) as connection, connection.transaction():
        await suppress(connection, ada.org_id, "gone@a.test", "manual", source="test", actor="test")
    body = {"content_id": content, "to": ["team@a.test", "gone@a.test"]}
    answer = await post(market, ada, f"/api/campaigns/{campaign['id']}/send/test", body)
    assert answer.status_code == 202
    async with a_worker(mail_settings), connected(market_url) as connection:
        await until(connection, "SELECT finished_at IS NOT NULL FROM jobs WHERE type = 'send_test_mail'", within=30)
        assert await connection.fetchval("SELECT count(*) FROM deliveries") == 0
    assert [one["to"] for one in smtp.taken()] == ["team@a.test"]
    assert smtp.messages()[0]["Subject"] == "[Test] Stollen for Ada Lovelace"
    many = {"content_id": content, "to": ["a@a.test"] * 6}
    assert await problem(post(market, ada, f"/api/campaigns/{campaign['id']}/send/test", many)) == (
        422,
        "invalid_payload",
    )


async def test_in_development_mails_are_files_with_a_page_to_read_them(
    market_settings: MarketAiSettings,
    member: MakeMember,
    market_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / ".tandem").mkdir()
    monkeypatch.chdir(tmp_path)
    ours = market_settings.model_copy(update={"environment": "development", "mail_from": "Ada <ada@bakery.test>"})
    app = build(ours)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as market,
    ):
        ada = await member()
        assert "There is none yet" in (await market.get("/dev/mail")).text
        await make_leads(market_url, ada.org_id, "grace@a.test")
        campaign, content = await make_mail(market, ada, body="<script>alert(1)</script> {{ lead.name }}")
        send = await order(market, ada, campaign, content)
        async with a_worker(ours):
            await completed(market, ada, send)
        (file,) = (tmp_path / ".tandem/mail").iterdir()
        listed = await market.get("/dev/mail")
        assert file.name in listed.text
        assert "grace@a.test" in listed.text
        shown = await market.get(f"/dev/mail/{file.name}")
        assert "&lt;script&gt;" in shown.text
        assert "<script" not in shown.text
        html = await market.get(f"/dev/mail/{file.name}/html")
        assert "sandbox" in html.headers["content-security-policy"]
        for bad in ("x.eml", "..%2F..%2Fpostgres", "20260101-000000-000000000000.eml"):
            assert (await market.get(f"/dev/mail/{bad}")).status_code == 404
    paths = {getattr(route, "path", "") for route in build(ours.model_copy(update={"environment": "test"})).routes}
    assert not any(path.startswith("/dev/") for path in paths)


PRODUCTION: dict[str, Any] = {
    "ENVIRONMENT": "production", "DATABASE_URL": "postgresql://u:s3cr3tpw@db.bakery.test/x", "CORS_ORIGINS": "https://a.bakery.test",
    "CLERK_DOMAIN": "clerk.bakery.test", "OPENAI_API_KEY": "sk-abcdefghijklmnop",
}  # fmt: skip


def test_production_starts_without_mail_and_with_a_server_asks_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    load_settings(MarketAiSettings, _env_file=None)
    monkeypatch.setenv("SMTP_URL", "smtp://u:pw@mx.bakery.test")
    with pytest.raises(SettingsError) as error:
        load_settings(MarketAiSettings, _env_file=None)
    assert [problem.split()[0] for problem in error.value.problems] == ["MAIL_FROM", "PUBLIC_URL", "LINK_SECRET"]
    monkeypatch.setenv("MAIL_FROM", "Ada <news@bakery.test>")
    monkeypatch.setenv("PUBLIC_URL", "https://api.bakery.test/")
    monkeypatch.setenv("LINK_SECRET", "0123456789abcdef0123456789abcdef")
    assert load_settings(MarketAiSettings, _env_file=None).public_url == "https://api.bakery.test"


@pytest.mark.parametrize(
    ("name", "value"),
    [("SMTP_URL", "mx.bakery.test:25"), ("MAIL_FROM", "Ada"), ("MAIL_FROM", "Ada <a@b.test>\nBcc: x@y.test"),
     ("PUBLIC_URL", "api.bakery.test"), ("DKIM_PRIVATE_KEY", "hunter2"), ("SENDGRID_WEBHOOK_KEY", "hunter2"),
     ("MAIL_RETURN_PATH", "Bounces <b@bakery.test>"), ("DKIM_SELECTOR", "a b"), ("MAIL_RATE", "-1")],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_stops_the_start_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_settings(MarketAiSettings, _env_file=None)
    assert name in str(error.value)
    assert "hunter2" not in str(error.value)


async def test_without_a_mail_server_production_orders_no_send(
    market_settings: MarketAiSettings, member: MakeMember, market_url: str
) -> None:
    app = build(market_settings.model_copy(update={"environment": "production"}))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as market,
    ):
        ada = await member()
        await make_leads(market_url, ada.org_id, "grace@a.test")
        campaign, content = await make_mail(market, ada)
        answer = await post(market, ada, f"/api/campaigns/{campaign['id']}/send", {"content_id": content})
        assert (answer.status_code, answer.json()["code"]) == (503, "mail_not_configured")
        assert (await market.get("/api/sends", headers=ada.headers)).json()["total"] == 0

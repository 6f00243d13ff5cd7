"""What recipients can do with the links of a mail, and what nobody can."""

from uuid import UUID, uuid4

import httpx2
import pytest

from tandem.market_ai.mail.links import InvalidToken, Links, link_secret
from tandem.market_ai.sender import links_of
from tandem.market_ai.settings import MarketAiSettings
from tests.market_ai.conftest import MakeMember
from tests.market_ai.mailing import completed, deliveries, make_leads, make_mail, order
from tests.market_ai.making import audited, connected
from tests.market_ai.working import a_worker
from tests.smtp_server import SmtpServer

READER = {"User-Agent": "Mozilla/5.0 (Windows NT 10.0) Thunderbird/140.0"}


@pytest.fixture
def market_settings(mail_settings: MarketAiSettings) -> MarketAiSettings:
    return mail_settings


async def sent(market: httpx2.AsyncClient, ada, settings: MarketAiSettings, url: str, **options) -> UUID:  # type: ignore[no-untyped-def]
    """A delivery that was accepted a while ago."""
    await make_leads(url, ada.org_id, "reader@a.test")
    campaign, content = await make_mail(market, ada)
    send = await order(market, ada, campaign, content, **options)
    async with a_worker(settings):
        await completed(market, ada, send)
    async with connected(url) as connection:
        await connection.execute("UPDATE deliveries SET settled_at = now() - interval '1 hour'")
    (delivery,) = await deliveries(market, ada, send)
    return UUID(delivery["id"])


async def facts(url: str) -> tuple[list[tuple[str, str]], str, int]:
    async with connected(url) as connection:
        rows = await connection.fetch("SELECT reason, source FROM suppressions")
        consent = await connection.fetchval("SELECT consent FROM leads")
        return [tuple(row) for row in rows], consent, await connection.fetchval("SELECT count(*) FROM delivery_events")


async def test_one_click_unsubscribes_whatever_form_the_mail_program_sends(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    delivery = await sent(market, ada, market_settings, market_url)
    (message,) = smtp.messages()
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = message["List-Unsubscribe"].strip("<>").removeprefix("http://127.0.0.1:8001")
    page = await market.get(path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<form method="post">' in page.text
    assert "style-src 'unsafe-inline'" in page.headers["content-security-policy"]
    assert await facts(market_url) == ([], "granted", 0), "a GET changed something"
    answers = [
        await market.post(path, data={"List-Unsubscribe": "One-Click"}),
        await market.post(path, files={"List-Unsubscribe": (None, "One-Click")}),
        await market.post(path),
    ]
    for answer in answers:
        assert (answer.status_code, "set-cookie" in answer.headers, answer.history) == (200, False, [])
    assert await facts(market_url) == ([("unsubscribed", "unsubscribe-link")], "withdrawn", 1)
    shown = (await market.get(f"/api/deliveries/{delivery}", headers=ada.headers)).json()
    assert shown["events"][0]["detail"] == "one click"
    assert shown["unsubscribed_at"] == shown["events"][0]["at"]
    assert await audited(market, ada, str(delivery)) == ["suppression.added"]


async def test_a_link_cannot_be_forged_or_used_for_something_else(
    market: httpx2.AsyncClient, market_settings: MarketAiSettings
) -> None:
    links, other = links_of(market_settings), Links("http://x", link_secret("another secret"))
    delivery = uuid4()
    good = links.token("u", delivery)
    assert links.read("u", good) == (delivery, 0)
    swapped = ("A" if good[5] != "A" else "B").join((good[:5], good[6:]))
    for bad in (
        other.token("u", delivery),
        links.token("o", delivery),
        swapped,
        good[:-1],
        good + "A",
        "",
        "ä",
        "=" * 46,
    ):
        with pytest.raises(InvalidToken):
            links.read("u", bad)
    for path in (f"/u/{other.token('u', delivery)}", f"/o/{good}", f"/c/{good}"):
        answer = await market.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "link_unknown")
    assert (await market.post(f"/u/{swapped}")).status_code == 404
    assert (await market.post(f"/u/{good}")).status_code == 404, "signed, but for no delivery"


async def test_nothing_is_tracked_unless_it_was_asked_for(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    await sent(market, await member(), market_settings, market_url)
    html = html_of(smtp)
    assert 'href="https://shop.example.com/stollen"' in html
    assert "/o/" not in html
    assert "/c/" not in html
    assert "<img" not in html


async def test_opens_and_clicks_of_people_are_counted_and_those_of_scanners_are_not(
    market: httpx2.AsyncClient, member: MakeMember, market_settings: MarketAiSettings, market_url: str, smtp: SmtpServer
) -> None:
    ada = await member()
    delivery = await sent(market, ada, market_settings, market_url, track_opens=True, track_clicks=True)
    html, links = html_of(smtp), links_of(market_settings)
    assert "https://shop.example.com" not in html
    assert f'href="{links.unsubscribe(delivery)}"' in html, "the way out is not tracked"
    pixel = links.opened(delivery).removeprefix(links.base)
    clicks = [links.clicked(delivery, number).removeprefix(links.base) for number in (1, 2)]
    assert all(path in html for path in (pixel, *clicks))
    for headers in ({"User-Agent": "Barracuda Sentinel"}, {"User-Agent": ""}, READER | {"Sec-Purpose": "prefetch"}):
        assert (await market.get(pixel, headers=headers)).headers["content-type"] == "image/gif"
        assert (await market.get(clicks[0], headers=headers)).status_code == 302
    assert (await market.head(clicks[0], headers=READER)).status_code == 302
    shown = (await market.get(f"/api/deliveries/{delivery}", headers=ada.headers)).json()
    assert (shown["opened_at"], shown["clicked_at"]) == (None, None)
    assert {event["bot"] for event in shown["events"]} == {True}
    await market.get(pixel, headers=READER)
    targets = [(await market.get(path, headers=READER)).headers["location"] for path in clicks]
    assert sorted(targets) == ["https://shop.example.com/reserve", "https://shop.example.com/stollen"]
    shown = (await market.get(f"/api/deliveries/{delivery}", headers=ada.headers)).json()
    assert shown["opened_at"]
    assert shown["clicked_at"]
    beyond = links.clicked(delivery, 3).removeprefix(links.base)
    assert (await market.get(beyond, headers=READER)).status_code == 404, "a link that the mail does not have"


def html_of(smtp: SmtpServer) -> str:
    (message,) = smtp.messages()
    parts = [part for part in message.walk() if part.get_content_type() == "text/html"]
    payload = parts[0].get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()

"""The suppression list: whoever is on it is not written to."""

import asyncio

import pytest

from tandem.market_ai.suppressions.schemas import SuppressionOut, SuppressionPage
from tandem.market_ai.suppressions.service import suppress as suppress_address
from tests.market_ai.lead_making import GRANTED, make_lead, suppress
from tests.market_ai.making import audited, connected, post, problem
from tests.market_ai.test_lead_imports import counts, imported, report
from tests.market_ai.working import a_worker

SUPPRESSIONS = "/api/suppressions"


async def listed(market, who, **query):
    page = await market.get(SUPPRESSIONS, params=query, headers=who.headers)
    SuppressionPage.model_validate_json(page.content, strict=True, extra="forbid")
    return [(one["email"], one["reason"]) for one in page.json()["items"]]


async def test_an_address_is_suppressed_once_and_the_first_reason_stays(market, member):
    ada = await member()
    lead = await make_lead(market, ada, "ada@example.com", consent=GRANTED)
    made = await post(market, ada, SUPPRESSIONS, {"email": "ADA@example.com", "reason": "bounced", "note": "550"})
    SuppressionOut.model_validate_json(made.content, strict=True, extra="forbid")
    again = await post(market, ada, SUPPRESSIONS, {"email": "ada@EXAMPLE.com"})
    assert (made.status_code, again.status_code, again.json()) == (201, 200, made.json())
    assert (made.json()["email"], made.json()["source"], made.json()["note"]) == ("ada@example.com", "api", "550")
    url = f"{SUPPRESSIONS}/{made.json()['id']}"
    assert (await market.get(url, headers=ada.headers)).json() == made.json()
    read = (await market.get(f"/api/leads/{lead['id']}", headers=ada.headers)).json()
    assert (read["suppressed"], read["consent"]) == (True, "granted")
    answers = await asyncio.gather(*(post(market, ada, SUPPRESSIONS, {"email": "b@example.com"}) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    assert (await market.delete(url, headers=ada.headers)).status_code == 204
    assert (await market.get(f"/api/leads/{lead['id']}", headers=ada.headers)).json()["suppressed"] is False
    assert await problem(market.delete(url, headers=ada.headers)) == (404, "not_found")
    assert await audited(market, ada, made.json()["id"]) == ["suppression.created", "suppression.deleted"]


@pytest.mark.parametrize("reason", ["unsubscribed", "complained"])
async def test_who_unsubscribes_or_complains_withdraws_the_consent(market, member, market_url, reason):
    ada = await member()
    lead = await make_lead(market, ada, consent=GRANTED)
    async with connected(market_url) as connection, connection.transaction():
        told = {"source": "one-click", "actor": "service:mail"}
        assert await suppress_address(connection, ada.org_id, lead["email"], reason, **told) is True
        assert await suppress_address(connection, ada.org_id, lead["email"], reason, **told) is False
    read = (await market.get(f"/api/leads/{lead['id']}", headers=ada.headers)).json()
    assert (read["suppressed"], read["consent"], read["consent_source"]) == (True, "withdrawn", "one-click")
    history = (await market.get(f"/api/leads/{lead['id']}/consents", headers=ada.headers)).json()["items"]
    assert (history[0]["status"], history[0]["actor"]) == ("withdrawn", "service:mail")
    assert len(history) == 2


async def test_the_list_filters_and_pages_both_ways(market, member):
    ada = await member()
    for number, reason in enumerate(("manual", "bounced", "complained", "bounced")):
        await suppress(market, ada, f"lead{number}@example.com", reason=reason)
    assert await listed(market, ada, reason="bounced") == [
        ("lead3@example.com", "bounced"),
        ("lead1@example.com", "bounced"),
    ]
    assert await listed(market, ada, email="LEAD2@example.com") == [("lead2@example.com", "complained")]
    assert await listed(market, ada, q="D0@") == [("lead0@example.com", "manual")]
    assert await listed(market, ada, limit=1, page=2) == [("lead2@example.com", "complained")]
    seen, cursor = [], ""
    while cursor is not None:
        page = (await market.get(SUPPRESSIONS, params={"cursor": cursor, "limit": 3}, headers=ada.headers)).json()
        seen += [one["email"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [f"lead{number}@example.com" for number in (3, 2, 1, 0)]
    for query in ({"cursor": "x"}, {"cursor": "WyItY3JlYXRlZF9hdCIsICJ4IiwgInkiXQ"}):
        assert await problem(market.get(SUPPRESSIONS, params=query, headers=ada.headers)) == (400, "invalid_cursor")


async def test_a_list_of_another_program_can_be_imported(market, member, market_settings):
    ada = await member()
    lead = await make_lead(market, ada, "ada@example.com", consent=GRANTED)
    file = "Email\tReason\tNote\tDate\nADA@example.com\tUnsubscribed\t\t1\nb@example.com\t\tnever\t2\nc@example.com\twhim\t\t3\nb@example.com\t\t\t\n"
    path = f"{SUPPRESSIONS}/imports"
    async with a_worker(market_settings):
        one = await imported(market, ada, file, path=path, reason="bounced")
        again = await imported(market, ada, file, path=path, reason="manual")
    assert (counts(one), counts(again)) == ((2, 0, 0, 2), (0, 0, 2, 2))
    assert one["columns"] == {"Email": "email", "Reason": "reason", "Note": "note", "Date": None}
    assert sorted(await listed(market, ada)) == [("ada@example.com", "unsubscribed"), ("b@example.com", "bounced")]
    assert [row[1] for row in await report(market, ada, one, path=path)] == ["invalid_value", "repeated_email"]
    read = (await market.get(f"/api/leads/{lead['id']}", headers=ada.headers)).json()
    assert (read["suppressed"], read["consent"], read["consent_source"]) == (True, "withdrawn", "import")
    assert (await market.get("/api/leads/imports", headers=ada.headers)).json()["total"] == 0


async def test_bad_values_roles_and_other_organizations(market, member):
    ada, eve = await member(), await member()
    made = await suppress(market, ada, "a@example.com")
    url = f"{SUPPRESSIONS}/{made['id']}"
    for body in ({}, {"email": "x"}, {"email": "b@example.com", "reason": "whim"}, {"email": "b@example.com", "note": ""},
                 {"email": "b@example.com", "source": "x"}):  # fmt: skip
        assert await problem(post(market, ada, SUPPRESSIONS, body)) == (422, "invalid_payload"), body
    colleague, viewer = [await member(role=role, org=ada.org_id) for role in ("member", "viewer")]
    assert await problem(post(market, viewer, SUPPRESSIONS, {"email": "b@example.com"})) == (403, "insufficient_role")
    assert await problem(market.delete(url, headers=colleague.headers)) == (403, "insufficient_role")
    for request in (market.get(url, headers=eve.headers), market.delete(url, headers=eve.headers)):
        assert await problem(request) == (404, "not_found")
    assert (await listed(market, eve), await listed(market, viewer)) == ([], [("a@example.com", "manual")])

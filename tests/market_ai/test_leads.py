"""Leads: what they are made of, what they consented to, and what is left of those who were erased."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from tandem.market_ai.leads.schemas import ConsentPage, LeadOut, LeadPage
from tests.market_ai.lead_making import GRANTED, make_lead, suppress
from tests.market_ai.making import audited, connected, post, problem

ADA = {
    "email": " Ada.L@Bücher.Example ",
    "name": "Ada Lovelace",
    "attributes": {"plan": "pro", "visits": 12, "score": 0.5, "trial": False},
    "tags": ["VIP", "early", "vip"],
    "timezone": "Europe/London",
    "locale": "en-GB",
    "consent": GRANTED,
}


async def emails(market, who, **query):
    page = await market.get("/api/leads", params=query, headers=who.headers)
    assert page.status_code == 200, page.text
    LeadPage.model_validate_json(page.content, strict=True, extra="forbid")
    return [lead["email"] for lead in page.json()["items"]]


async def consents(market, who, lead):
    page = await market.get(f"/api/leads/{lead['id']}/consents", headers=who.headers)
    ConsentPage.model_validate_json(page.content, strict=True, extra="forbid")
    return [(one["status"], one["source"], one["proof"]) for one in page.json()["items"]]


async def test_a_lead_is_read_back_as_it_was_answered(market, member):
    boss = await member()
    ada = await member(role="member", org=boss.org_id)
    made = await post(market, ada, "/api/leads", ADA)
    assert made.status_code == 201, made.text
    lead = made.json()
    LeadOut.model_validate_json(made.content, strict=True, extra="forbid")
    read = await market.get(f"/api/leads/{lead['id']}", headers=ada.headers)
    assert (read.json(), read.headers["etag"], made.headers["etag"]) == (lead, '"1"', '"1"')
    assert lead["email"] == "Ada.L@xn--bcher-kva.example"
    assert (lead["attributes"], lead["tags"]) == (ADA["attributes"], ["early", "vip"])
    assert (lead["consent"], lead["consent_source"], lead["suppressed"]) == ("granted", "newsletter form", False)
    assert await consents(market, ada, lead) == [("granted", "newsletter form", "double opt-in")]
    assert await audited(market, boss, lead["id"]) == ["lead.created"]
    unchanged = await market.get(f"/api/leads/{lead['id']}", headers=ada.headers | {"If-None-Match": '"1"'})
    assert unchanged.status_code == 304


async def test_an_address_is_there_once_whatever_its_spelling(market, member):
    ada, eve = await member(), await member()
    lead = await make_lead(market, ada, "ada@bücher.example")
    again = await post(market, ada, "/api/leads", {"email": "ADA@XN--BCHER-KVA.example"})
    assert (again.status_code, again.json()["code"], again.json()["lead_id"]) == (409, "lead_exists", lead["id"])
    other = await make_lead(market, ada, "grace@example.com")
    taken = market.patch(f"/api/leads/{other['id']}", json={"email": "Ada@bücher.example"}, headers=ada.headers)
    assert await problem(taken) == (409, "lead_exists")
    await make_lead(market, eve, "ada@bücher.example")
    answers = await asyncio.gather(*(post(market, ada, "/api/leads", {"email": "both@example.com"}) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]


async def test_a_patch_merges_attributes_and_replaces_tags(market, member):
    ada = await member()
    lead = await make_lead(market, ada, **{**ADA, "email": "ada@example.com"})
    url = f"/api/leads/{lead['id']}"
    body = {"attributes": {"plan": None, "visits": 13}, "tags": ["new"], "name": None}
    patched = (await market.patch(url, json=body, headers=ada.headers)).json()
    assert patched["attributes"] == {"visits": 13, "score": 0.5, "trial": False}
    assert (patched["tags"], patched["name"], patched["locale"], patched["version"]) == (["new"], None, "en-GB", 2)
    stale = market.patch(url, json={"name": "Ada"}, headers=ada.headers | {"If-Match": '"1"'})
    assert await problem(stale) == (412, "precondition_failed")
    many = {f"a{number}": 1 for number in range(48)}
    assert await problem(market.patch(url, json={"attributes": many}, headers=ada.headers)) == (422, "invalid_payload")


async def test_bad_values_are_refused_and_change_nothing(market, member):
    ada = await member()
    lead = await make_lead(market, ada, **{**ADA, "email": "kept@example.com"})
    bad = (
        {}, {"email": None}, {"email": "x"}, {"email": "a@b"}, {"email": "a@@b.de"}, {"email": "a b@c.de"},
        {"email": "a\n@c.de"}, {"email": f"{'a' * 65}@c.de"}, {"email": f"a@{'b' * 64}.de"}, {"email": "a@-b.de"},
        {"email": ".a@b.de"}, {"email": "a@b.de\r\nBcc: eve@example.com"}, {"email": "<a@b.de>"}, {"email": '"a"@b.de'},
        {"name": ""}, {"name": "x" * 201}, {"name": "a\nb"}, {"attributes": {"Plan": 1}}, {"attributes": {"1": 1}},
        {"attributes": {"a": []}}, {"attributes": {"a": {}}}, {"attributes": {"a": 10**16}}, {"attributes": None},
        {"attributes": {"a": "x" * 1001}}, {"tags": ["a,b"]}, {"tags": [""]}, {"tags": ["x"] * 51}, {"tags": "vip"},
        {"timezone": "Mars/Olympus"}, {"timezone": ""}, {"locale": "english"}, {"locale": "EN"}, {"consent": GRANTED},
        {"version": 7}, {"erased_at": None},
    )  # fmt: skip
    for body in bad:
        answer = market.patch(f"/api/leads/{lead['id']}", json=body, headers=ada.headers)
        assert await problem(answer) == (422, "invalid_payload"), body
    for consent in ({"status": "none", "source": "x"}, {"status": "granted"}, GRANTED | {"at": "2099-01-01T00:00:00Z"},
                    GRANTED | {"source": ""}, GRANTED | {"proof": "x" * 2001}):  # fmt: skip
        answer = post(market, ada, "/api/leads", {"email": "new@example.com", "consent": consent})
        assert await problem(answer) == (422, "invalid_payload"), consent
    assert (await market.get(f"/api/leads/{lead['id']}", headers=ada.headers)).json() == lead
    assert await emails(market, ada) == ["kept@example.com"]


async def test_the_latest_decision_counts_and_the_history_stays(market, member, market_url):
    ada = await member()
    lead = await make_lead(market, ada, consent=GRANTED)
    url = f"/api/leads/{lead['id']}/consents"
    withdrawn = (await post(market, ada, url, {"status": "withdrawn", "source": "phone call"})).json()
    assert (withdrawn["consent"], withdrawn["consent_source"], withdrawn["version"]) == ("withdrawn", "phone call", 2)
    once_more = await post(market, ada, url, GRANTED | {"at": None}, **{"Idempotency-Key": "again"})
    replayed = await post(market, ada, url, GRANTED | {"at": None}, **{"Idempotency-Key": "again"})
    assert (once_more.json()["consent"], replayed.json()) == ("granted", once_more.json())
    assert [one[0] for one in await consents(market, ada, lead)] == ["granted", "withdrawn", "granted"]
    actions = ["lead.created", "lead.consent_withdrawn", "lead.consent_granted"]
    assert await audited(market, ada, lead["id"]) == actions
    async with connected(market_url) as connection:
        for change in ("UPDATE lead_consents SET source = 'x'", "DELETE FROM lead_consents"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(f"{change} WHERE lead_id = '{lead['id']}'")


async def test_another_address_has_no_consent_but_keeps_a_withdrawal(market, member):
    ada = await member()
    granted, withdrawn = [
        await make_lead(market, ada, consent=GRANTED | {"status": status}) for status in ("granted", "withdrawn")
    ]
    for lead, expected in ((granted, "none"), (withdrawn, "withdrawn")):
        url = f"/api/leads/{lead['id']}"
        same = await market.patch(url, json={"email": lead["email"].upper()}, headers=ada.headers)
        assert same.json()["consent"] == lead["consent"]
        other = await market.patch(url, json={"email": f"new-{lead['email']}"}, headers=ada.headers)
        assert other.json()["consent"] == expected


async def test_lists_filter_sort_and_page_both_ways(market, member):
    ada = await member()
    for name, tags in (("Cora", ["a"]), ("bert", ["a", "b"]), ("Anna", []), (None, ["b"])):
        await make_lead(market, ada, f"{(name or 'zoe').lower()}@example.com", name=name, tags=tags)
    await suppress(market, ada, "bert@example.com")
    assert await emails(market, ada) == ["zoe@example.com", "anna@example.com", "bert@example.com", "cora@example.com"]
    by_name = ["zoe@example.com", "anna@example.com", "bert@example.com", "cora@example.com"]
    assert await emails(market, ada, sort="name") == by_name
    assert await emails(market, ada, sort="-name") == by_name[::-1]
    assert await emails(market, ada, sort="email") == sorted(by_name)
    assert await emails(market, ada, q="ANN") == ["anna@example.com"]
    assert await emails(market, ada, q="example", suppressed="true") == ["bert@example.com"]
    assert await emails(market, ada, suppressed="false", tag="A") == ["cora@example.com"]
    assert await emails(market, ada, tag=["a", "b"], sort="email", limit=2, page=2) == ["zoe@example.com"]
    assert await emails(market, ada, consent=["granted"]) == []
    assert await emails(market, ada, filter='name contains "er" or tags is empty', sort="email") == [
        "anna@example.com", "bert@example.com",
    ]  # fmt: skip
    for sort in ("created_at", "-created_at", "updated_at", "-updated_at", "email", "-email", "name", "-name"):
        seen, cursor = [], ""
        while cursor is not None:
            query = {"sort": sort, "limit": 1, "cursor": cursor}
            page = (await market.get("/api/leads", params=query, headers=ada.headers)).json()
            seen += [lead["email"] for lead in page["items"]]
            cursor = page["next_cursor"]
        assert seen == await emails(market, ada, sort=sort), sort
    other = (await market.get("/api/leads", params={"cursor": "", "limit": 1}, headers=ada.headers)).json()
    wrong = market.get("/api/leads", params={"cursor": other["next_cursor"], "sort": "name"}, headers=ada.headers)
    assert await problem(wrong) == (400, "invalid_cursor")
    tags = (await market.get("/api/leads/tags", headers=ada.headers)).json()
    assert (tags["total"], tags["items"]) == (2, [{"tag": "a", "leads": 2}, {"tag": "b", "leads": 2}])


async def test_who_is_erased_leaves_statistics_and_nothing_else(market, member, market_url):
    ada = await member()
    body = ADA | {"email": "Grace.Hopper@example.com", "name": "Grace Hopper"}
    lead = (await post(market, ada, "/api/leads", body, **{"Idempotency-Key": "grace"})).json()
    url = f"/api/leads/{lead['id']}"
    erased = await post(market, ada, f"{url}/erase")
    assert erased.status_code == 200, erased.text
    left = erased.json()
    LeadOut.model_validate_json(erased.content, strict=True, extra="forbid")
    empty = dict.fromkeys(("email", "name", "timezone", "locale")) | {"attributes": {}, "tags": []}
    assert {name: left[name] for name in empty} == empty
    assert (left["consent"], left["consent_at"], left["created_at"]) == (
        "granted", lead["consent_at"], lead["created_at"],
    )  # fmt: skip
    assert (await post(market, ada, f"{url}/erase")).json() == left
    assert await consents(market, ada, lead) == [("granted", "newsletter form", None)]
    for again in (
        market.patch(url, json={"name": "Grace"}, headers=ada.headers),
        post(market, ada, f"{url}/consents", GRANTED),
    ):
        assert await problem(again) == (409, "lead_erased")
    assert (await emails(market, ada), await emails(market, ada, erased="true")) == ([], [None])
    assert await audited(market, ada, lead["id"]) == ["lead.created", "lead.erased"]
    async with connected(market_url) as connection:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        for (table,) in tables:
            rows = await connection.fetch(f'SELECT r::text AS row FROM "{table}" r')
            text = " ".join(row["row"] for row in rows).lower()
            assert "hopper" not in text, table
            assert b"grace.hopper@example.com".hex() not in text, table


async def test_who_was_erased_is_still_not_written_to_when_the_address_comes_back(market, member):
    ada = await member()
    unsubscribed, other = [await make_lead(market, ada, consent=GRANTED) for _ in range(2)]
    await suppress(market, ada, unsubscribed["email"], reason="unsubscribed", note="by mail")
    for lead in (unsubscribed, other):
        await post(market, ada, f"/api/leads/{lead['id']}/erase")
    listed = (await market.get("/api/suppressions", headers=ada.headers)).json()["items"]
    assert {(one["email"], one["erased"], one["reason"], one["note"]) for one in listed} == {
        (None, True, "unsubscribed", None), (None, True, "manual", None),
    }  # fmt: skip
    query = {"email": other["email"].upper()}
    found = (await market.get("/api/suppressions", params=query, headers=ada.headers)).json()["items"]
    assert [(one["erased"], one["source"]) for one in found] == [(True, "erasure")]
    back = await make_lead(market, ada, other["email"], consent=GRANTED)
    assert (back["suppressed"], back["consent"]) == (True, "granted")
    third = await make_lead(market, ada)
    moved = await market.patch(f"/api/leads/{third['id']}", json={"email": unsubscribed["email"]}, headers=ada.headers)
    assert moved.json()["suppressed"] is True
    again = await market.get("/api/suppressions", headers=ada.headers)
    assert {one["email"] for one in again.json()["items"]} == {other["email"], unsubscribed["email"]}


async def test_a_lead_can_be_deleted_with_its_history(market, member):
    ada = await member(role="manager")
    lead = await make_lead(market, ada, consent=GRANTED)
    url = f"/api/leads/{lead['id']}"
    stale = market.delete(url, headers=ada.headers | {"If-Match": '"7"'})
    assert await problem(stale) == (412, "precondition_failed")
    assert (await market.delete(url, headers=ada.headers)).status_code == 204
    assert await problem(market.get(url, headers=ada.headers)) == (404, "not_found")
    assert await problem(market.get(f"{url}/consents", headers=ada.headers)) == (404, "not_found")


async def test_roles(market, member):
    ada = await member()
    lead = await make_lead(market, ada)
    url = f"/api/leads/{lead['id']}"
    colleague, viewer = [await member(role=role, org=ada.org_id) for role in ("member", "viewer")]
    assert (await market.get(url, headers=viewer.headers)).json() == lead
    for who, requests in (
        (viewer, [post(market, viewer, "/api/leads", {"email": "x@example.com"}),
                  market.patch(url, json={"name": "x"}, headers=viewer.headers),
                  post(market, viewer, f"{url}/consents", GRANTED)]),
        (colleague, [market.delete(url, headers=colleague.headers), post(market, colleague, f"{url}/erase"),
                     market.get("/api/leads/export", headers=colleague.headers)]),
    ):  # fmt: skip
        for request in requests:
            assert await problem(request) == (403, "insufficient_role"), who.role


async def test_another_organizations_lead_is_not_there(market, member):
    ada, eve = await member(), await member()
    lead = await make_lead(market, ada)
    url = f"/api/leads/{lead['id']}"
    for request in (
        market.get(url, headers=eve.headers),
        market.patch(url, json={"name": "Eve"}, headers=eve.headers),
        market.delete(url, headers=eve.headers),
        post(market, eve, f"{url}/erase"),
        post(market, eve, f"{url}/consents", GRANTED),
        market.get(f"{url}/consents", headers=eve.headers),
        market.get(f"/api/leads/{uuid4()}", headers=eve.headers),
    ):
        assert await problem(request) == (404, "not_found")
    assert await emails(market, eve) == []


async def test_a_lead_that_something_refers_to_is_not_deleted(market, member, market_url):
    ada = await member()
    lead = await make_lead(market, ada)
    async with connected(market_url) as connection:
        await connection.execute(
            "CREATE TABLE letters (org_id text, lead_id uuid, FOREIGN KEY (org_id, lead_id) REFERENCES leads (org_id, id))"
        )
        await connection.execute("INSERT INTO letters SELECT org_id, id FROM leads")
        refused = market.delete(f"/api/leads/{lead['id']}", headers=ada.headers)
        assert await problem(refused) == (409, "lead_in_use")
        assert (await post(market, ada, f"/api/leads/{lead['id']}/erase")).status_code == 200
        await connection.execute("DROP TABLE letters")

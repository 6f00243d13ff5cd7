"""Campaigns: what they hold, how they are found, how they live and end."""

import asyncio
from uuid import uuid4

import pytest

from tandem.core.errors import NotFound
from tandem.market_ai.campaigns.schemas import CampaignOut, CampaignPage
from tandem.market_ai.campaigns.service import read_brief
from tests.market_ai.making import audited, connected, make_brand, make_campaign, make_content, post, problem

WHOLE = {
    "name": " Christmas stollen ",
    "type": "email",
    "objective": "500 orders\nbefore the 20th",
    "audience": "last year's customers",
    "budget": {"amount": "1500.5", "currency": "EUR"},
    "starts_at": "2026-12-01T09:00:00+01:00",
    "ends_at": "2026-12-24T20:00:00Z",
    "channels": ["newsletter", "google_ads", "newsletter"],
}


async def names(market, who, **query):
    answer = await market.get("/api/campaigns", params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return [campaign["name"] for campaign in answer.json()["items"]]


async def test_a_campaign_is_read_back_as_it_was_answered(market, member):
    ada = await member(role="member")
    made = await post(market, ada, "/api/campaigns", WHOLE)
    campaign = made.json()
    url = f"/api/campaigns/{campaign['id']}"
    read = await market.get(url, headers=ada.headers)
    assert (made.status_code, read.json()) == (201, campaign)
    CampaignOut.model_validate_json(read.content, strict=True, extra="forbid")
    assert made.headers["etag"] == read.headers["etag"] == '"1"'
    assert campaign | {"created_at": "", "updated_at": "", "id": ""} == {
        "id": "",
        "name": "Christmas stollen",
        "type": "email",
        "status": "draft",
        "objective": "500 orders\nbefore the 20th",
        "audience": "last year's customers",
        "budget": {"amount": "1500.500000", "currency": "EUR"},
        "starts_at": "2026-12-01T08:00:00+00:00",
        "ends_at": "2026-12-24T20:00:00+00:00",
        "channels": ["newsletter", "google_ads"],
        "brand_id": None,
        **dict.fromkeys(("activated_at", "paused_at", "resumed_at", "completed_at", "archived_at")),
        "version": 1,
        "created_at": "",
        "updated_at": "",
    }
    unchanged = await market.get(url, headers=ada.headers | {"If-None-Match": '"1"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


@pytest.mark.parametrize("amount", ["0", "0.000001", "999999999999.999999"])
async def test_a_budget_is_kept_to_its_last_place(market, member, amount):
    campaign = await make_campaign(market, await member(), budget={"amount": amount, "currency": "JPY"})
    whole, _, places = amount.partition(".")
    assert campaign["budget"] == {"amount": f"{whole}.{places:0<6}", "currency": "JPY"}


async def test_bad_values_are_refused_by_name_and_change_nothing(market, member):
    ada = await member()
    kept = await make_campaign(market, ada, **{k: v for k, v in WHOLE.items() if k not in {"name", "type"}})
    bad = {
        "name": [None, "", "ab", "  ab  ", "x" * 101, "tab\there", "line\nbreak", "bell\u0007bell", 7],
        "type": [None, "fax", ["email"]],
        "objective": ["x" * 5001, "\u0000", 1],
        "budget": [
            {"amount": "1"}, {"currency": "EUR"}, {"amount": 1, "currency": "EUR"}, {"amount": "-1", "currency": "EUR"},
            {"amount": "1.0000001", "currency": "EUR"}, {"amount": "1e3", "currency": "EUR"}, "1 EUR",
            {"amount": "1234567890123", "currency": "EUR"}, {"amount": "1", "currency": "EUX"},
            {"amount": "1", "currency": "eur"}, {"amount": "1", "currency": None},
        ],
        "starts_at": ["2026-12-01", "2026-12-01T09:00:00", 1764576000, "2026-02-30T09:00:00Z", "0001-01-01T00:00:00Z"],
        "ends_at": ["2026-12-01T08:00:00Z", "2026-11-30T09:00:00Z"],
        "channels": [None, "newsletter", ["New letter"], ["x" * 41], [""], [7], [f"c{n}" for n in range(21)]],
        "brand_id": ["x", 5],
        "status": ["active"],
        "version": [2],
        "activated_at": ["2026-12-01T08:00:00Z"],
    }  # fmt: skip
    for field, values in bad.items():
        for value in values:
            answer = await market.patch(f"/api/campaigns/{kept['id']}", json={field: value}, headers=ada.headers)
            assert (answer.status_code, answer.json()["code"]) in {(422, "invalid_payload"), (400, "malformed_json")}
            assert all(error["field"].startswith(field) for error in answer.json()["errors"]), (field, value)
    assert (await market.get(f"/api/campaigns/{kept['id']}", headers=ada.headers)).json() == kept
    for body in ({}, {"name": "Without a type"}, {**WHOLE, "ends_at": WHOLE["starts_at"]}):
        assert await problem(post(market, ada, "/api/campaigns", body)) == (422, "invalid_payload")
    assert await names(market, ada) == ["Christmas stollen"]


@pytest.mark.parametrize(
    ("name", "message", "code"),
    [
        ("ab", "String should have at least 3 characters", "string_too_short"),
        ("x" * 101, "String should have at most 100 characters", "string_too_long"),
        ("bell\u0007bell", "must not contain control characters", "control_character"),
        ("two\nlines", "must be one line", "line_break"),
    ],
)
async def test_a_refused_name_is_told_what_is_wrong_with_it(market, member, name, message, code):
    answer = await post(market, await member(), "/api/campaigns", {"name": name, "type": "email"})
    assert answer.json()["errors"] == [{"field": "name", "message": message, "code": code}]


async def test_a_patch_touches_what_it_names_and_null_clears(market, member):
    ada = await member(role="member")
    campaign = await make_campaign(market, ada, **{k: v for k, v in WHOLE.items() if k not in {"name", "type"}})
    changes = {"budget": None, "objective": None, "starts_at": None, "channels": [], "type": "social"}
    answer = await market.patch(f"/api/campaigns/{campaign['id']}", json=changes, headers=ada.headers)
    assert answer.headers["etag"] == '"2"'
    changed = campaign | changes | {"objective": "", "version": 2}
    assert answer.json() | {"updated_at": ""} == changed | {"updated_at": ""}
    stale = ada.headers | {"If-Match": '"1"'}
    for request in (
        market.patch(f"/api/campaigns/{campaign['id']}", json={"name": "Mine"}, headers=stale),
        market.delete(f"/api/campaigns/{campaign['id']}", headers=stale | (await member(org=ada.org_id)).headers),
        market.post(
            f"/api/campaigns/{campaign['id']}/activate", headers=stale | (await member(org=ada.org_id)).headers
        ),
    ):
        assert await problem(request) == (412, "precondition_failed")


async def test_a_list_is_filtered_sorted_and_paged(market, member):
    ada = await member()
    brand = await make_brand(market, ada)
    a = await make_campaign(market, ada, "Apples 100%", type="social", starts_at="2026-12-03T00:00:00Z")
    await make_campaign(market, ada, "bread", brand_id=brand["id"])
    await make_campaign(market, ada, "Cakes", type="search", starts_at="2026-12-01T00:00:00Z")
    await post(market, ada, f"/api/campaigns/{a['id']}/activate")
    assert await names(market, ada) == ["Cakes", "bread", "Apples 100%"]
    assert await names(market, ada, sort="created_at") == ["Apples 100%", "bread", "Cakes"]
    assert await names(market, ada, sort="name") == ["Apples 100%", "bread", "Cakes"]
    assert await names(market, ada, sort="-name") == ["Cakes", "bread", "Apples 100%"]
    assert await names(market, ada, sort="starts_at") == ["Cakes", "Apples 100%", "bread"]
    assert await names(market, ada, sort="-starts_at") == ["Apples 100%", "Cakes", "bread"]
    assert await names(market, ada, status="active") == ["Apples 100%"]
    assert await names(market, ada, type=["social", "search"], sort="name") == ["Apples 100%", "Cakes"]
    assert await names(market, ada, brand_id=brand["id"]) == ["bread"]
    assert await names(market, ada, q="BREA") == ["bread"]
    assert await names(market, ada, q="0%") == ["Apples 100%"]
    assert await names(market, ada, q="%a%") == []
    page = await market.get("/api/campaigns?limit=2&page=2", headers=ada.headers)
    CampaignPage.model_validate_json(page.content, strict=True, extra="forbid")
    assert (page.headers["x-total-count"], page.headers["x-page-number"]) == ("3", "2")
    assert [c["name"] for c in page.json()["items"]] == ["Apples 100%"]
    for query in ("sort=budget", "status=gone", "q=", "brand_id=x", "limit=0", "unknown=1"):
        answer = market.get(f"/api/campaigns?{query}", headers=ada.headers)
        assert await problem(answer) == (422, "invalid_payload"), query


async def test_a_campaign_lives_from_draft_to_archive(market, member):
    ada = await member(role="manager")
    campaign = await make_campaign(market, ada)
    url = f"/api/campaigns/{campaign['id']}"
    for version, (move, status, stamp) in enumerate(
        (
            ("activate", "active", "activated_at"),
            ("pause", "paused", "paused_at"),
            ("resume", "active", "resumed_at"),
            ("complete", "completed", "completed_at"),
            ("archive", "archived", "archived_at"),
        ),
        start=2,
    ):
        before = (await market.get(url, headers=ada.headers)).json()
        after = await post(market, ada, f"{url}/{move}")
        assert (after.status_code, after.headers["etag"]) == (200, f'"{version}"')
        stamps = {"updated_at": after.json()["updated_at"], stamp: after.json()[stamp]}
        assert stamps[stamp] is not None
        assert after.json() == before | stamps | {"status": status, "version": version}
    events = ["created", "activated", "paused", "resumed", "completed", "archived"]
    admin = await member(org=ada.org_id)
    assert await audited(market, admin, campaign["id"]) == [f"campaign.{event}" for event in events]


async def test_an_illegal_move_names_the_legal_ones_and_changes_nothing(market, member):
    ada = await member()
    campaign = await make_campaign(market, ada)
    url = f"/api/campaigns/{campaign['id']}"
    for move in ("pause", "resume", "complete"):
        answer = await post(market, ada, f"{url}/{move}")
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "illegal_transition")
        assert (problem["state"], problem["legal"]) == ("draft", ["activate", "archive"])
    assert (await market.get(url, headers=ada.headers)).json() == campaign
    assert (await post(market, ada, f"{url}/fly")).status_code == 404


async def test_of_two_moves_at_once_one_is_refused(market, member):
    ada = await member()
    campaign = await make_campaign(market, ada)
    moves = [post(market, ada, f"/api/campaigns/{campaign['id']}/{move}") for move in ("activate", "archive")]
    assert sorted(answer.status_code for answer in await asyncio.gather(*moves)) == [200, 409]


async def test_an_archived_campaign_stays_as_it_is_until_it_is_deleted(market, member):
    ada = await member()
    campaign = await make_campaign(market, ada)
    url = f"/api/campaigns/{campaign['id']}"
    content = await make_content(market, ada, campaign)
    archived = (await post(market, ada, f"{url}/archive")).json()
    texts = {"kind": "blog", "title": "Late", "body": "Too late"}
    for method, path, body in (
        ("PATCH", url, {"name": "Renamed"}),
        ("POST", f"{url}/content", texts),
        ("POST", f"/api/content/{content['id']}/versions", {"body": "Too late"}),
        ("POST", f"/api/content/{content['id']}/submit", None),
        ("PATCH", f"/api/content/{content['id']}", {"title": "Too late"}),
    ):
        sent = {} if body is None else {"json": body}
        answer = market.request(method, path, headers=ada.headers, **sent)
        assert await problem(answer) == (409, "campaign_archived"), path
    assert (await market.get(url, headers=ada.headers)).json() == archived
    assert (await post(market, ada, f"/api/content/{content['id']}/archive")).status_code == 200
    assert (await market.delete(url, headers=ada.headers)).status_code == 204
    for gone in (url, f"/api/content/{content['id']}", f"{url}/content"):
        assert await problem(market.get(gone, headers=ada.headers)) == (404, "not_found")


async def test_what_runs_or_has_run_is_not_deleted(market, member):
    ada = await member()
    campaign = await make_campaign(market, ada)
    url = f"/api/campaigns/{campaign['id']}"
    for move in ("activate", "pause", "complete"):
        await post(market, ada, f"{url}/{move}")
        assert await problem(market.delete(url, headers=ada.headers)) == (409, "not_deletable")
    draft = await make_campaign(market, ada)
    assert (await market.delete(f"/api/campaigns/{draft['id']}", headers=ada.headers)).status_code == 204


@pytest.mark.parametrize(
    ("role", "may"),
    [("viewer", set()), ("member", {"POST", "PATCH"}), ("manager", {"POST", "PATCH", "move", "DELETE"})],
)
async def test_a_role_may_what_it_may(market, member, role, may):
    ada = await member()
    other = await member(role=role, org=ada.org_id)
    campaign = await make_campaign(market, ada)
    url = f"/api/campaigns/{campaign['id']}"
    allowed = set()
    for name, request in (
        ("POST", post(market, other, "/api/campaigns", {"name": "Mine", "type": "email"})),
        ("PATCH", market.patch(url, json={"name": "Renamed"}, headers=other.headers)),
        ("move", post(market, other, f"{url}/archive")),
        ("DELETE", market.delete(url, headers=other.headers)),
    ):
        answer = await request
        if answer.status_code == 403:
            assert answer.json()["code"] == "insufficient_role"
        else:
            assert answer.is_success, answer.text
            allowed.add(name)
    assert allowed == may
    assert (await market.get("/api/campaigns", headers=other.headers)).status_code == 200


async def test_a_repeated_create_makes_one_campaign(market, member):
    ada = await member()
    key = {"Idempotency-Key": "stollen-2026"}
    first, again = [await post(market, ada, "/api/campaigns", WHOLE, **key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["etag"] == again.headers["etag"]
    assert again.headers["idempotent-replayed"] == "true"
    assert await names(market, ada) == ["Christmas stollen"]


async def test_ten_campaigns_a_minute_are_the_most_one_makes(market, member):
    ada = await member()
    answers = [await post(market, ada, "/api/campaigns", {"name": "One of many", "type": "email"}) for _ in range(11)]
    assert [a.status_code for a in answers] == [201] * 10 + [429]
    assert answers[-1].json()["code"] == "rate_limited"


async def test_another_organizations_campaign_is_not_there(market, member):
    ada, eve = await member(), await member()
    campaign, brand = await make_campaign(market, ada), await make_brand(market, ada)
    url = f"/api/campaigns/{campaign['id']}"
    for method, path, body in (
        ("GET", url, None),
        ("PATCH", url, {"name": "Eve's now"}),
        ("DELETE", url, None),
        ("POST", f"{url}/activate", None),
        ("GET", f"{url}/content", None),
        ("POST", f"{url}/content", {"kind": "blog", "title": "Eve's", "body": "Eve was here"}),
        ("POST", "/api/campaigns", {"name": "Eve's", "type": "email", "brand_id": brand["id"]}),
    ):
        sent = {} if body is None else {"json": body}
        assert await problem(market.request(method, path, headers=eve.headers, **sent)) == (404, "not_found"), path
    hers = await make_campaign(market, eve)
    patch = market.patch(f"/api/campaigns/{hers['id']}", json={"brand_id": brand["id"]}, headers=eve.headers)
    assert await problem(patch) == (404, "not_found")
    assert await names(market, eve) == ["Christmas stollen"]
    assert (await market.get(url, headers=ada.headers)).json() == campaign


async def test_a_brief_has_the_campaign_and_its_brands_voice(market, market_url, member):
    ada = await member()
    brand = await make_brand(market, ada, voice={"tone": "dry", "banned_words": ["cheap"]})
    with_brand, without = await make_campaign(market, ada, brand_id=brand["id"]), await make_campaign(market, ada)
    async with connected(market_url) as database:
        for campaign in (with_brand, without):
            brief = await read_brief(database, ada.org_id, campaign["id"])
            assert brief.campaign == CampaignOut.model_validate(campaign)
            voice = brief.brand and brief.brand.model_dump(mode="json")["voice"]
            assert voice == (brand["voice"] if campaign is with_brand else None)
        with pytest.raises(NotFound):
            await read_brief(database, ada.org_id, uuid4())

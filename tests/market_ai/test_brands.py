"""Brands: their voice, their names, and what happens to the campaigns that speak with it."""

import asyncio

import pytest

from tandem.market_ai.brands.schemas import BrandOut, BrandPage
from tests.market_ai.making import audited, make_brand, make_campaign, post, problem

VOICE = {
    "tone": "warm",
    "style": "short sentences",
    "banned_words": ["cheap", " Best ever ", "CHEAP"],
    "required_disclaimer": "While stocks last.",
    "examples": ["Baked at four,\ngone by ten."],
}


async def names(market, who, **query):
    page = await market.get("/api/brands", params=query, headers=who.headers)
    BrandPage.model_validate_json(page.content, strict=True, extra="forbid")
    return [brand["name"] for brand in page.json()["items"]]


async def test_a_brand_is_read_back_as_it_was_answered(market, member):
    ada = await member(role="manager")
    made = await post(market, ada, "/api/brands", {"name": " Ada's Bakery ", "voice": VOICE})
    brand = made.json()
    read = await market.get(f"/api/brands/{brand['id']}", headers=ada.headers)
    assert (made.status_code, read.json()) == (201, brand)
    BrandOut.model_validate_json(read.content, strict=True, extra="forbid")
    assert made.headers["etag"] == read.headers["etag"] == '"1"'
    unchanged = await market.get(f"/api/brands/{brand['id']}", headers=ada.headers | {"If-None-Match": '"1"'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", '"1"')
    assert brand["name"] == "Ada's Bakery"
    assert brand["voice"] == VOICE | {"banned_words": ["cheap", "Best ever"]}


async def test_a_patch_of_the_voice_leaves_the_rest_of_it(market, member):
    ada = await member()
    brand = await make_brand(market, ada, "Ada's", voice=VOICE)
    url = f"/api/brands/{brand['id']}"
    patched = await market.patch(url, json={"voice": {"tone": "dry", "examples": []}}, headers=ada.headers)
    assert patched.json()["voice"] == brand["voice"] | {"tone": "dry", "examples": []}
    assert (patched.json()["name"], patched.headers["etag"]) == ("Ada's", '"2"')
    stale = market.patch(url, json={"name": "Mine"}, headers=ada.headers | {"If-Match": '"1"'})
    assert await problem(stale) == (412, "precondition_failed")
    assert await audited(market, ada, brand["id"]) == ["brand.created", "brand.updated"]


async def test_bad_values_are_refused_and_change_nothing(market, member):
    ada = await member()
    brand = await make_brand(market, ada, "Kept", voice=VOICE)
    for body in ({}, {"name": None}, {"name": " "}, {"name": "x" * 101}, {"name": "a\nb"}, {"voice": None}, {"voice": {}},
                 {"voice": {"tone": None}}, {"voice": {"tone": "x" * 1001}}, {"voice": {"banned_words": "cheap"}},
                 {"voice": {"banned_words": [""]}}, {"voice": {"banned_words": ["x"] * 201}}, {"tone": "dry"},
                 {"voice": {"examples": ["x" * 2001]}}, {"voice": {"mood": "good"}}, {"version": 1}):  # fmt: skip
        answer = market.patch(f"/api/brands/{brand['id']}", json=body, headers=ada.headers)
        assert await problem(answer) == (422, "invalid_payload"), body
    assert (await market.get(f"/api/brands/{brand['id']}", headers=ada.headers)).json() == brand


async def test_a_name_is_taken_once_in_an_organization_whatever_its_case(market, member):
    ada, eve = await member(), await member()
    await make_brand(market, ada, "Ada's Bakery")
    other = await make_brand(market, ada, "Other")
    assert await problem(post(market, ada, "/api/brands", {"name": "ADA'S bakery"})) == (409, "brand_exists")
    rename = market.patch(f"/api/brands/{other['id']}", json={"name": "ada's bakery"}, headers=ada.headers)
    assert await problem(rename) == (409, "brand_exists")
    await make_brand(market, eve, "Ada's Bakery")
    assert await names(market, ada) == ["Ada's Bakery", "Other"]
    assert await names(market, ada, q="BAKE") == ["Ada's Bakery"]


async def test_a_brand_in_use_stays_and_archived_campaigns_let_go_of_it(market, member):
    ada = await member()
    brand = await make_brand(market, ada)
    url = f"/api/brands/{brand['id']}"
    old, current = [await make_campaign(market, ada, brand_id=brand["id"]) for _ in range(2)]
    await post(market, ada, f"/api/campaigns/{old['id']}/archive")
    refused = await market.delete(url, headers=ada.headers)
    assert (refused.status_code, refused.json()["code"], refused.json()["campaigns"]) == (409, "brand_in_use", 1)
    await market.patch(f"/api/campaigns/{current['id']}", json={"brand_id": None}, headers=ada.headers)
    assert (await market.delete(url, headers=ada.headers)).status_code == 204
    left = (await market.get(f"/api/campaigns/{old['id']}", headers=ada.headers)).json()
    assert (left["brand_id"], left["version"], left["status"]) == (None, 3, "archived")
    assert await problem(market.get(url, headers=ada.headers)) == (404, "not_found")


async def test_a_brand_deleted_while_a_campaign_takes_it_is_either_gone_or_in_use(market, member):
    ada = await member()
    for _ in range(4):
        brand = await make_brand(market, ada)
        body = {"name": "With a brand", "type": "email", "brand_id": brand["id"]}
        made, deleted = await asyncio.gather(
            post(market, ada, "/api/campaigns", body), market.delete(f"/api/brands/{brand['id']}", headers=ada.headers)
        )
        assert (made.status_code, deleted.status_code) in {(201, 409), (404, 204)}


@pytest.mark.parametrize("role", ["viewer", "member"])
async def test_only_managers_change_brands(market, member, role):
    ada = await member()
    other = await member(role=role, org=ada.org_id)
    brand = await make_brand(market, ada, "Ada's")
    url = f"/api/brands/{brand['id']}"
    for request in (
        post(market, other, "/api/brands", {"name": "Mine"}),
        market.patch(url, json={"name": "Mine"}, headers=other.headers),
        market.delete(url, headers=other.headers),
    ):
        assert await problem(request) == (403, "insufficient_role")
    assert (await market.get(url, headers=other.headers)).json() == brand


async def test_another_organizations_brand_is_not_there(market, member):
    ada, eve = await member(), await member()
    brand = await make_brand(market, ada)
    url = f"/api/brands/{brand['id']}"
    for request in (
        market.get(url, headers=eve.headers),
        market.patch(url, json={"name": "Eve's"}, headers=eve.headers),
        market.delete(url, headers=eve.headers),
    ):
        assert await problem(request) == (404, "not_found")
    assert await names(market, eve) == []

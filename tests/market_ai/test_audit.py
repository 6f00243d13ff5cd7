"""The audit trail: who did what to which object, when; and that nobody rewrites it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from tandem.market_ai.audit.schemas import AuditPage
from tandem.market_ai.audit.service import record_system
from tests.market_ai.making import connected, make_brand, make_campaign, post, problem


async def trail(market, who, **query):
    page = await market.get("/api/audit", params=query, headers=who.headers)
    AuditPage.model_validate_json(page.content, strict=True, extra="forbid")
    return page.json()


async def test_an_entry_says_who_did_what_to_which_object_and_when(market, member):
    ada = await member()
    before = datetime.now(UTC)
    campaign = await make_campaign(market, ada, "Stollen ☃ 'quoted\"")
    [entry] = (await trail(market, ada))["items"]
    at = datetime.fromisoformat(entry.pop("at"))
    assert before - timedelta(minutes=1) < at < datetime.now(UTC) + timedelta(minutes=1)
    assert UUID(entry.pop("id")).version == 7
    assert entry.pop("actor").startswith("session:")
    assert entry == {
        "user_id": ada.user_id,
        "action": "campaign.created",
        "object_type": "campaign",
        "object_id": campaign["id"],
        "details": {"name": "Stollen ☃ 'quoted\"", "type": "email"},
    }


async def test_a_token_is_named_as_the_actor(market, member):
    ada = await member()
    token = (await post(market, ada, "/api/tokens", {"name": "ci", "scopes": ["brands:write"]})).json()
    headers = {"Authorization": f"Bearer {token['token']}"}
    made = await market.post("/api/brands", json={"name": "By a machine"}, headers=headers)
    assert made.status_code == 201, made.text
    [entry] = (await trail(market, ada, action="brand.created"))["items"]
    assert (entry["user_id"], entry["actor"]) == (ada.user_id, f"token:{token['id']}")


async def test_what_a_job_did_has_no_user(market, member, market_url):
    ada, job, thing = await member(), f"job:{uuid4()}", uuid4()
    what = {"object_type": "campaign", "object_id": thing, "assets": 3, "at": datetime(2026, 1, 2, tzinfo=UTC)}
    async with connected(market_url) as connection:
        await record_system(connection, ada.org_id, job, "content.generated", **what)
    [entry] = (await trail(market, ada))["items"]
    assert (entry["user_id"], entry["actor"], entry["object_id"]) == (None, job, str(thing))
    assert entry["details"] == {"assets": 3, "at": "2026-01-02 00:00:00+00:00"}


async def test_what_was_refused_is_not_in_it(market, member):
    ada = await member()
    viewer = await member(role="viewer", org=ada.org_id)
    campaign = await make_campaign(market, ada)
    path = f"/api/campaigns/{campaign['id']}"
    assert (await post(market, ada, f"{path}/pause")).status_code == 409
    assert (await post(market, viewer, f"{path}/activate")).status_code == 403
    assert (await market.patch(path, json={"name": ""}, headers=ada.headers)).status_code == 422
    stale = await market.patch(path, json={"name": "Other"}, headers=ada.headers | {"If-Match": '"7"'})
    assert stale.status_code == 412
    assert (await market.delete(f"/api/campaigns/{uuid4()}", headers=ada.headers)).status_code == 404
    assert [entry["action"] for entry in (await trail(market, ada))["items"]] == ["campaign.created"]


async def test_reading_leaves_no_trace(market, member):
    ada = await member()
    campaign = await make_campaign(market, ada)
    for path in ("/api/campaigns", f"/api/campaigns/{campaign['id']}", "/api/audit", "/api/budget", "/api/jobs"):
        assert (await market.get(path, headers=ada.headers)).status_code == 200
    assert (await trail(market, ada))["total"] == 1


async def test_the_trail_is_filtered(market, member):
    ada = await member()
    grace = await member(role="manager", org=ada.org_id)
    campaign = await make_campaign(market, ada)
    await make_brand(market, grace)
    await post(market, grace, f"/api/campaigns/{campaign['id']}/activate")

    async def actions(**query):
        return [entry["action"] for entry in (await trail(market, ada, **query))["items"]]

    assert await actions() == ["campaign.activated", "brand.created", "campaign.created"]
    assert await actions(user_id=grace.user_id) == ["campaign.activated", "brand.created"]
    assert await actions(object_type="campaign") == ["campaign.activated", "campaign.created"]
    assert await actions(object_id=campaign["id"], user_id=ada.user_id) == ["campaign.created"]
    assert await actions(action="brand.created") == ["brand.created"]
    assert await actions(action="%") == []
    assert await actions(object_id="' OR true --") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
async def test_paging_by_cursor_misses_nothing_while_more_comes(market, member, limit):
    ada = await member()
    for number in range(7):
        await make_brand(market, ada, f"Earlier {number}")
    whole = [entry["id"] for entry in (await trail(market, ada))["items"]]
    found, cursor = [], ""
    while cursor is not None:
        page = await trail(market, ada, cursor=cursor, limit=limit)
        found += [entry["id"] for entry in page["items"]]
        cursor = page["next_cursor"]
        await make_brand(market, ada)
    assert found == whole
    paged = [await trail(market, ada, page=number, limit=3) for number in (1, 2)]
    assert [entry["id"] for page in paged for entry in page["items"]][-1] in {one["id"] for one in paged[1]["items"]}
    assert paged[0]["pages"] == -(-paged[0]["total"] // 3)


async def test_a_cursor_of_another_list_is_refused(market, member):
    ada = await member()
    for cursor in ("x", "W10", "WyItaWQiLDFd", "WyItaWQiLCJ4Il0", "\0"):
        status, code = await problem(market.get("/api/audit", params={"cursor": cursor}, headers=ada.headers))
        assert (status, code) in {(400, "invalid_cursor"), (422, "invalid_payload")}


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("member", False), ("manager", True), ("admin", True)])
async def test_managers_read_it(market, member, role, may):
    ada = await member()
    other = await member(role=role, org=ada.org_id)
    answer = await market.get("/api/audit", headers=other.headers)
    assert answer.status_code == (200 if may else 403)


async def test_an_entry_cannot_be_changed_even_past_the_api(market, member, market_url):
    ada = await member()
    await make_brand(market, ada)
    before = await trail(market, ada)
    async with connected(market_url) as connection:
        for change in ("action = 'nothing'", "details = '{}'", "user_id = NULL", "at = now()"):
            with pytest.raises(asyncpg.RestrictViolationError, match="is refused"):
                await connection.execute(f"UPDATE audit_events SET {change}")
    assert await trail(market, ada) == before


async def test_an_entry_is_rolled_back_with_what_it_tells_of(market, member, market_url):
    ada = await member()
    async with connected(market_url) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await record_system(connection, ada.org_id, "service:test", "brand.created", object_type="brand", object_id="1")
        await transaction.rollback()
    assert (await trail(market, ada))["total"] == 0

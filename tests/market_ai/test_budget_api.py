"""The AI budget as people see it: limits, balances, warnings, unknown outcomes, and who may do what."""

from uuid import uuid4

import pytest

from tandem.market_ai.budget.schemas import BudgetOut, CallPage, EntryPage, Verification
from tandem.market_ai.budget.service import mark_unknown
from tests.market_ai.budgeting import DOLLAR, open_bank

LIMITS = "/api/budget/limits"


@pytest.fixture
async def ada(market, member):
    """An admin, signed in on `market`."""
    ada = await member()
    market.headers.update(ada.headers)
    return ada


@pytest.fixture
async def bank(ada, market_settings):
    async with open_bank(market_settings, ada.org_id) as bank:
        yield bank


async def read(market, **query):
    response = await market.get("/api/budget", params=query)
    assert response.status_code == 200, response.text
    BudgetOut.model_validate_json(response.content, strict=True)
    return response.json()


async def problem(request):
    response = await request
    return response.status_code, response.json()["code"]


async def test_a_budget_without_limits_shows_what_was_spent(market, bank):
    campaign = await bank.campaign()
    await bank.settle(await bank.hold(campaign_id=campaign), 12_345)
    await bank.hold(2 * DOLLAR)
    await mark_unknown(bank.database, await bank.hold(3 * DOLLAR), "timeout")
    seen = await read(market)
    amounts = {"spent": "0.012345", "reserved": "2.000000", "unknown": "3.000000"}
    uncapped = {"cap": None, "available": None, "used_percent": None, "warning": None}
    for scope in ("organization", "month", "day"):
        assert {**seen[scope], "key": None} == {"key": None} | amounts | uncapped
    assert seen["day"]["key"].startswith(seen["month"]["key"] + "-")
    assert seen["request"] == {"cap": "10.000000"}  # MAX_BUDGET_PER_REQUEST
    nothing = {"reserved": "0.000000", "unknown": "0.000000"}
    assert seen["campaigns"] == [{"key": str(campaign), "spent": "0.012345"} | nothing | uncapped]
    assert seen["warnings"] == []


async def test_limits_are_set_kept_and_removed(market, bank):
    campaign, other = await bank.campaign(), await bank.campaign()
    body = {"organization": "100.00", "month": "50", "day": "0", "request": "1.5", "campaigns": {str(campaign): "5.25"}}
    made = await market.put(LIMITS, json=body)
    assert made.status_code == 200, made.text
    assert made.json() == await read(market)
    caps = {scope: made.json()[scope]["cap"] for scope in ("organization", "month", "day", "request")}
    assert caps == {"organization": "100.000000", "month": "50.000000", "day": "0.000000", "request": "1.500000"}
    day = made.json()["day"]
    assert (day["available"], day["used_percent"], day["warning"]) == ("0.000000", 100, 100)
    changed = await market.put(LIMITS, json={"day": None, "campaigns": {str(campaign): None, str(other): "1"}})
    assert (changed.json()["day"]["cap"], changed.json()["month"]["cap"]) == (None, "50.000000")
    assert [(c["key"], c["cap"], c["available"]) for c in changed.json()["campaigns"]] == [
        (str(other), "1.000000", "1.000000")
    ]
    events = (await market.get("/api/audit", params={"action": "budget.limits_changed"})).json()["items"]
    assert events[0]["details"]["changes"] == {
        "day": {"before": "0.000000", "after": None},
        f"campaign {campaign}": {"before": "5.250000", "after": None},
        f"campaign {other}": {"before": None, "after": "1.000000"},
    }
    await market.put(LIMITS, json={"request": "99"})  # above what the operator allows
    assert (await read(market))["request"] == {"cap": "10.000000"}


@pytest.mark.parametrize(
    "amount",
    ["1e3", "NaN", "Infinity", "-1", "+1", "0.0000001", "1,5", " 1", "1 ", "", ".5", "1.", "0x1", "\u0661", "1_0",
     "1000000000.000001", "9" * 400, 1, 1.5, True, [], {}],
)  # fmt: skip
async def test_an_amount_that_is_no_decimal_string_is_refused(market, ada, amount):
    for body in ({"month": amount}, {"campaigns": {str(uuid4()): amount}}):
        assert await problem(market.put(LIMITS, json=body)) == (422, "invalid_payload"), body


async def test_limits_that_make_no_sense_change_nothing(market, bank):
    campaign = await bank.campaign()
    await market.put(LIMITS, json={"month": "5"})
    for body in ({}, {"campaigns": {}}, {"week": "1"}, {"campaigns": {"7": "1"}}, {"campaigns": None}, [], None):
        assert (await problem(market.put(LIMITS, json=body)))[0] in {400, 422}, body
    unknown = {"month": "7", "campaigns": {str(campaign): "1", str(uuid4()): None}}
    assert await problem(market.put(LIMITS, json=unknown)) == (404, "not_found")
    assert (await read(market))["month"]["cap"] == "5.000000"
    assert (await market.put(LIMITS, json={"month": "1000000000.000000"})).status_code == 200


async def test_a_limit_below_what_is_used_warns_and_takes_nothing_back(market, bank):
    await bank.hold(850_000)
    await market.put(LIMITS, json={"month": "1", "organization": "0.5"})
    seen = await read(market)
    assert (seen["month"]["used_percent"], seen["month"]["warning"], seen["month"]["available"]) == (
        85.0,
        80,
        "0.150000",
    )
    assert (seen["organization"]["used_percent"], seen["organization"]["available"]) == (170.0, "0.000000")
    listed = [(w["scope"], w["threshold"], w["cap"], w["used"]) for w in seen["warnings"]]
    assert listed == [
        ("organization", 100, "0.500000", "0.850000"),
        ("organization", 90, "0.500000", "0.850000"),
        ("month", 80, "1.000000", "0.850000"),
        ("organization", 80, "0.500000", "0.850000"),
    ]


async def test_one_campaign_can_be_asked_for_and_its_limit_goes_with_it(market, bank):
    campaign, other = await bank.campaign(), await bank.campaign()
    await market.put(LIMITS, json={"campaigns": {str(other): "1", str(campaign): "2"}})
    assert [c["key"] for c in (await read(market, campaign_id=campaign))["campaigns"]] == [str(campaign)]
    assert (await market.delete(f"/api/campaigns/{campaign}")).status_code == 204
    assert [c["key"] for c in (await read(market))["campaigns"]] == [str(other)]
    for missing in (campaign, uuid4()):
        assert await problem(market.get("/api/budget", params={"campaign_id": str(missing)})) == (404, "not_found")


async def test_a_manager_says_what_became_of_an_unknown_call(market, bank):
    billed, free, held = await bank.hold(), await bank.hold(), await bank.hold()
    for call in (billed, free):
        await mark_unknown(bank.database, call, "timeout")
    url = f"/api/budget/calls/{billed.id}/resolve"
    for body in ({"outcome": "billed"}, {"outcome": "billed", "amount": "1.000001"}, {"outcome": "perhaps"}, {},
                 {"outcome": "not_billed", "amount": "1"}, {"outcome": "billed", "amount": "1e-3"}):  # fmt: skip
        assert await problem(market.post(url, json=body)) == (422, "invalid_payload"), body
    paid = await market.post(url, json={"outcome": "billed", "amount": "0.2012", "note": "invoice 7"})
    seen = paid.json()
    assert (paid.status_code, seen["state"], seen["settled"], seen["note"]) == (200, "settled", "0.201200", "invoice 7")
    assert seen["resolved_by"].startswith("session:")
    let = await market.post(f"/api/budget/calls/{free.id}/resolve", json={"outcome": "not_billed"})
    assert (let.json()["state"], let.json()["settled"]) == ("released", None)
    assert await bank.balance() == (201_200, DOLLAR, 0)
    for call in (billed, free, held):
        again = market.post(f"/api/budget/calls/{call.id}/resolve", json={"outcome": "not_billed"})
        assert await problem(again) == (409, "call_not_unknown")
    events = (await market.get("/api/audit", params={"action": "budget.call_resolved"})).json()["items"]
    assert [e["details"]["outcome"] for e in events] == ["not_billed", "billed"]
    await bank.settle(billed, 300_000)  # the facts come late, and win
    assert (await bank.call(billed))["note"].startswith("was resolved by session:")
    await bank.settle(billed, 300_000)
    assert await bank.balance() == (300_000, DOLLAR, 0)
    assert await bank.problems() == []


async def test_a_repeated_resolution_with_its_key_is_answered_as_before(market, bank):
    held = await bank.hold()
    await mark_unknown(bank.database, held, "timeout")
    send = {"json": {"outcome": "billed", "amount": "0.5"}, "headers": {"Idempotency-Key": "once"}}
    first, again = [await market.post(f"/api/budget/calls/{held.id}/resolve", **send) for _ in range(2)]
    assert (first.status_code, again.status_code, again.headers["idempotent-replayed"]) == (200, 200, "true")
    assert first.json() == again.json()
    assert await bank.balance() == (500_000, 0, 0)


async def test_calls_and_entries_are_listed_latest_first(market, bank):
    job = await bank.job()
    held = [await bank.hold(job=job, step=str(n)) for n in range(3)]
    await bank.settle(held[0], 10)
    page = await market.get("/api/budget/calls", params={"limit": 2})
    CallPage.model_validate_json(page.content)
    assert [c["id"] for c in page.json()["items"]] == [str(held[2].id), str(held[1].id)]
    assert (page.json()["total"], page.json()["pages"], page.headers["x-total-count"]) == (3, 2, "3")
    for query, count in (({"state": "held"}, 2), ({"job_id": str(job)}, 3), ({"job_id": str(uuid4())}, 0),
                         ({"state": "settled", "campaign_id": str(uuid4())}, 0)):  # fmt: skip
        assert (await market.get("/api/budget/calls", params=query)).json()["total"] == count
    assert await problem(market.get("/api/budget/calls", params={"state": "lost"})) == (422, "invalid_payload")
    ledger = [await market.get("/api/budget/ledger", params={"limit": 3, "page": n}) for n in (1, 2, 3)]
    EntryPage.model_validate_json(ledger[0].content)
    assert [[e["seq"] for e in page.json()["items"]] for page in ledger] == [[4, 3, 2], [1], []]
    latest = ledger[0].json()["items"][0]
    assert latest["kind"] == "settle"
    assert latest["lines"] == [
        {"account": "budget", "amount": "0.999990"},
        {"account": "reserved", "amount": "-1.000000"},
        {"account": "spent", "amount": "0.000010"},
    ]


async def test_the_ledger_is_verified_against_an_entry_noted_earlier(market, bank):
    await bank.hold()
    seen = (await market.get("/api/budget/verify")).json()
    noted = {"seq": seen["entries"], "hash": seen["head"]}
    await bank.hold()
    for query, valid in (({}, True), (noted, True), (noted | {"seq": 2}, False), (noted | {"seq": 9}, False)):
        answer = await market.get("/api/budget/verify", params=query)
        Verification.model_validate_json(answer.content)
        assert (answer.status_code, answer.json()["valid"], answer.json()["entries"]) == (200, valid, 2)
    for query in ({"seq": 1}, {"hash": seen["head"]}, {"seq": 0, "hash": seen["head"]}, {"seq": 1, "hash": "ff"}):
        assert await problem(market.get("/api/budget/verify", params=query)) == (422, "invalid_payload")


async def test_every_role_may_do_what_it_should(market, member, bank):
    held = await bank.hold()
    await mark_unknown(bank.database, held, "timeout")
    resolve = {"url": f"/api/budget/calls/{held.id}/resolve", "json": {"outcome": "not_billed"}}
    for role, limits, resolution in (("viewer", 403, 403), ("member", 403, 403), ("manager", 403, 200)):
        headers = (await member(role=role, org=bank.org)).headers
        for path in ("", "/ledger", "/calls", "/verify"):
            assert (await market.get(f"/api/budget{path}", headers=headers)).status_code == 200
        assert (await market.put(LIMITS, json={"day": "1"}, headers=headers)).status_code == limits
        assert (await market.post(**resolve, headers=headers)).status_code == resolution, role


async def test_another_organization_sees_and_changes_nothing(market, member, bank):
    campaign = await bank.campaign()
    held = await bank.hold(campaign_id=campaign)
    await mark_unknown(bank.database, held, "timeout")
    await market.put(LIMITS, json={"month": "100"})
    headers = (await member()).headers
    seen = (await market.get("/api/budget", headers=headers)).json()
    assert (seen["month"]["cap"], seen["organization"]["unknown"], seen["campaigns"]) == (None, "0.000000", [])
    for path in ("/ledger", "/calls"):
        assert (await market.get(f"/api/budget{path}", headers=headers)).json()["total"] == 0
    assert (await market.get("/api/budget/verify", headers=headers)).json()["entries"] == 0
    for request in (
        market.get("/api/budget", params={"campaign_id": str(campaign)}, headers=headers),
        market.put(LIMITS, json={"campaigns": {str(campaign): "1"}}, headers=headers),
        market.post(f"/api/budget/calls/{held.id}/resolve", json={"outcome": "not_billed"}, headers=headers),
    ):
        assert await problem(request) == (404, "not_found")
    assert await bank.balance() == (0, 0, DOLLAR)

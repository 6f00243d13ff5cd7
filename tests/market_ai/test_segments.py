"""Segments: filters with a name, and who is in them."""

from tandem.market_ai.leads.schemas import LeadPage
from tandem.market_ai.segments import service
from tandem.market_ai.segments.schemas import Preview, SegmentOut, SegmentPage
from tests.market_ai.lead_making import GRANTED, make_lead, make_segment, suppress
from tests.market_ai.making import audited, post, problem


async def test_a_segment_is_read_back_changed_and_deleted(market, member):
    ada = await member()
    made = await post(market, ada, "/api/segments", {"name": " Regulars ", "filter": "tags has vip"})
    SegmentOut.model_validate_json(made.content, strict=True, extra="forbid")
    segment, url = made.json(), f"/api/segments/{made.json()['id']}"
    assert (made.status_code, segment["name"], segment["filter"]) == (201, "Regulars", "tags has vip")
    assert (await market.get(url, headers=ada.headers)).json() == segment
    patched = await market.patch(url, json={"filter": "mailable"}, headers=ada.headers | {"If-Match": '"1"'})
    assert (patched.json()["filter"], patched.headers["etag"]) == ("mailable", '"2"')
    stale = market.delete(url, headers=ada.headers | {"If-Match": '"1"'})
    assert await problem(stale) == (412, "precondition_failed")
    page = await market.get("/api/segments", params={"q": "REGU"}, headers=ada.headers)
    SegmentPage.model_validate_json(page.content, strict=True, extra="forbid")
    assert page.json()["items"] == [patched.json()]
    assert (await market.delete(url, headers=ada.headers)).status_code == 204
    assert await problem(market.get(url, headers=ada.headers)) == (404, "not_found")
    assert await audited(market, ada, segment["id"]) == ["segment.created", "segment.updated", "segment.deleted"]


async def test_a_preview_counts_and_the_list_shows_who_is_in_it(market, member):
    ada, eve = await member(), await member()
    for email, consent in (("a@example.com", GRANTED), ("b@example.com", GRANTED), ("c@example.com", None)):
        await make_lead(market, ada, email, tags=["vip"], consent=consent)
    await make_lead(market, ada, "d@example.com", consent=GRANTED)
    await make_lead(market, eve, "e@example.com", tags=["vip"], consent=GRANTED)
    await suppress(market, ada, "b@example.com")
    segment = await make_segment(market, ada, "tags has vip")
    url = f"/api/segments/{segment['id']}"
    expected = {"leads": 3, "mailable": 1}
    for asked, query in ((f"{url}/preview", {}), ("/api/segments/preview", {"filter": segment["filter"]})):
        preview = await market.get(asked, params=query, headers=ada.headers)
        Preview.model_validate_json(preview.content, strict=True, extra="forbid")
        assert preview.json() == expected
    found = await market.get(f"{url}/leads", params={"filter": "suppressed", "sort": "email"}, headers=ada.headers)
    LeadPage.model_validate_json(found.content, strict=True, extra="forbid")
    assert [lead["email"] for lead in found.json()["items"]] == ["b@example.com"]
    seen, cursor = [], ""
    while cursor is not None:
        page = (await market.get(f"{url}/leads", params={"cursor": cursor, "limit": 2}, headers=ada.headers)).json()
        seen += [lead["email"] for lead in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["c@example.com", "b@example.com", "a@example.com"]


async def test_names_are_taken_once_and_filters_must_be_readable(market, member, monkeypatch):
    ada, eve = await member(), await member()
    await make_segment(market, ada, "mailable", "Regulars")
    other = await make_segment(market, ada, "mailable", "Other")
    await make_segment(market, eve, "mailable", "Regulars")
    assert await problem(post(market, ada, "/api/segments", {"name": "REGULARS", "filter": "mailable"})) == (
        409, "segment_exists",
    )  # fmt: skip
    url = f"/api/segments/{other['id']}"
    assert await problem(market.patch(url, json={"name": "regulars"}, headers=ada.headers)) == (409, "segment_exists")
    for body in ({}, {"filter": ""}, {"filter": "tags ="}, {"filter": None}, {"filter": 5}, {"name": ""}, {"id": 1}):
        assert await problem(market.patch(url, json=body, headers=ada.headers)) == (422, "invalid_payload"), body
    for query in ({}, {"filter": "org_id = x"}, {"filter": "mailable", "x": "1"}):
        wrong = market.get("/api/segments/preview", params=query, headers=ada.headers)
        assert await problem(wrong) == (422, "invalid_payload")
    told = (await post(market, ada, "/api/segments", {"name": "x", "filter": "tags has vip or"})).json()["errors"]
    assert [(one["field"], one["code"]) for one in told] == [("filter", "invalid_filter")]
    assert "(at character 16)" in told[0]["message"]
    monkeypatch.setattr(service, "MAX_SEGMENTS", 2)
    assert await problem(post(market, ada, "/api/segments", {"name": "Third", "filter": "mailable"})) == (
        409, "too_many_segments",
    )  # fmt: skip


async def test_another_organizations_segment_is_not_there_and_viewers_only_read(market, member):
    ada, eve = await member(), await member()
    segment = await make_segment(market, ada, "mailable")
    url = f"/api/segments/{segment['id']}"
    for request in (
        market.get(url, headers=eve.headers),
        market.get(f"{url}/preview", headers=eve.headers),
        market.get(f"{url}/leads", headers=eve.headers),
        market.patch(url, json={"name": "x"}, headers=eve.headers),
        market.delete(url, headers=eve.headers),
    ):
        assert await problem(request) == (404, "not_found")
    viewer = await member(role="viewer", org=ada.org_id)
    assert (await market.get(url, headers=viewer.headers)).json() == segment
    for request in (
        market.patch(url, json={"name": "x"}, headers=viewer.headers),
        market.delete(url, headers=viewer.headers),
        post(market, viewer, "/api/segments", {"name": "x", "filter": "mailable"}),
    ):
        assert await problem(request) == (403, "insufficient_role")

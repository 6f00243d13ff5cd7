"""Content: assets, their immutable versions, and who approved which."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from tandem.core.errors import NotFound
from tandem.core.ids import uuid7
from tandem.market_ai.content.schemas import ContentOut, ContentPage, GeneratedVariant, ReviewPage, VersionPage
from tandem.market_ai.content.service import add_generated, inventory
from tests.market_ai.making import audited, connected, make_campaign, make_content, post, problem

COPY = {
    "headline": "Stollen is back",
    "body": "Baked in September.\n\nThree hundred are left.",
    "call_to_action": "Reserve yours",
    "channel": {"subject": "Three hundred", "hashtags": ["#stollen", "#advent"]},
    "citations": [{"source": "price list", "document_id": str(uuid4()), "chunk_id": str(uuid4()), "quote": "€ 24"}],
}


def url_of(content, *rest):
    return "/".join([f"/api/content/{content['id']}", *map(str, rest)])


async def moved(market, who, content, *moves):
    """The asset after these moves."""
    for move in moves:
        body = {"reason": "The price is missing."} if move == "reject" else None
        answer = await post(market, who, url_of(content, move), body)
        assert answer.status_code == 200, answer.text
        content = answer.json()
    return content


async def revised(market, who, content, body="Better"):
    answer = await post(market, who, url_of(content, "versions"), {"body": body})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def titles(market, who, path="/api/content", **query):
    page = await market.get(path, params=query, headers=who.headers)
    assert page.status_code == 200, page.text
    ContentPage.model_validate_json(page.content, strict=True, extra="forbid")
    return [item["title"] for item in page.json()["items"]]


async def test_content_is_read_back_as_it_was_answered(market, member):
    ada = await member(role="member")
    campaign = await make_campaign(market, ada)
    path = f"/api/campaigns/{campaign['id']}/content"
    made = await post(market, ada, path, {"kind": "email", "title": " First mail ", **COPY})
    content = made.json()
    read = await market.get(url_of(content), headers=ada.headers)
    assert (made.status_code, read.json()) == (201, content)
    ContentOut.model_validate_json(read.content, strict=True, extra="forbid")
    assert made.headers["etag"] == read.headers["etag"] == '"1"'
    assert (content["title"], content["kind"], content["status"]) == ("First mail", "email", "draft")
    assert (content["current_version"], content["approved_version"]) == (1, None)
    version = (await market.get(url_of(content, "versions", 1), headers=ada.headers)).json()
    assert content["content"] == version
    assert {name: version[name] for name in COPY} == COPY
    assert (version["created_by"], version["model"], version["job_id"]) == (ada.user_id, None, None)


async def test_bad_values_are_refused_and_change_nothing(market, member):
    ada = await member()
    content = await make_content(market, ada, await make_campaign(market, ada))
    path = f"/api/campaigns/{content['campaign_id']}/content"
    whole = {"kind": "email", "title": "Title", **COPY}
    bad = {
        "kind": [None, "fax"],
        "title": [None, " ", "x" * 201, "two\nlines"],
        "headline": [None, "x" * 501, "bell\u0007"],
        "body": [None, "", "x" * 100_001, 7, ["a"]],
        "channel": [None, [], {"Subject": "x"}, {"a": 1}, {"a": None}, {"a": {}}, {"a": [1]}, {"a": "x" * 2001},
                    {f"k{n}": "" for n in range(21)}],
        "citations": [None, {}, [{}], [{"source": "x", "chunk_id": "x"}], [{"source": "x"}] * 51],
        "status": ["approved"],
        "model": ["gpt"],
    }  # fmt: skip
    for field, values in bad.items():
        for value in values:
            answer = post(market, ada, path, whole | {field: value})
            assert await problem(answer) == (422, "invalid_payload"), (field, value)
    for body in ({}, {"title": ""}, {"title": "T", "kind": "blog"}, {"body": "new"}):
        assert await problem(market.patch(url_of(content), json=body, headers=ada.headers)) == (422, "invalid_payload")
    for move, body in (
        ("reject", {}),
        ("reject", {"reason": " "}),
        ("approve", {"version": "1"}),
        ("approve", {"v": 1}),
    ):
        assert await problem(post(market, ada, url_of(content, move), body)) == (422, "invalid_payload"), body
    assert await problem(market.get(url_of(content, "versions", 0), headers=ada.headers)) == (422, "invalid_payload")
    assert await problem(market.get(url_of(content, "versions", 2), headers=ada.headers)) == (404, "not_found")
    assert await titles(market, ada) == [content["title"]]
    assert (await market.get(url_of(content), headers=ada.headers)).json() == content


async def test_content_goes_from_draft_to_the_public_and_into_the_archive(market, member):
    ada = await member()
    content = await make_content(market, ada, await make_campaign(market, ada))
    submitted = await moved(market, ada, content, "submit")
    approved = await moved(market, ada, submitted, "approve")
    assert (approved["approved_version"], approved["approved_by"]) == (1, ada.user_id)
    assert approved["approved_at"] is not None
    published = await moved(market, ada, approved, "publish")
    assert (published["published_version"], published["published_by"]) == (1, ada.user_id)
    archived = await moved(market, ada, published, "archive")
    statuses = [c["status"] for c in (content, submitted, approved, published, archived)]
    assert statuses == ["draft", "in_review", "approved", "published", "archived"]
    assert [c["version"] for c in (content, submitted, approved, published, archived)] == [1, 2, 3, 4, 5]
    page = await market.get(url_of(content, "reviews"), headers=ada.headers)
    ReviewPage.model_validate_json(page.content, strict=True, extra="forbid")
    reviews = page.json()["items"]
    assert [(r["action"], r["number"], r["by"]) for r in reviews[::-1]] == [
        (action, 1, ada.user_id) for action in ("submit", "approve", "publish", "archive")
    ]
    assert await audited(market, ada, content["id"]) == [
        f"content.{done}" for done in ("created", "submitted", "approved", "published", "archived")
    ]


async def test_a_rejection_says_why_until_the_next_submission(market, member):
    ada = await member()
    content = await make_content(market, ada, await make_campaign(market, ada))
    rejected = await moved(market, ada, content, "submit", "reject")
    assert (rejected["status"], rejected["rejection"]) == ("draft", "The price is missing.")
    again = await moved(market, ada, await revised(market, ada, rejected), "submit")
    assert (again["status"], again["rejection"], again["current_version"]) == ("in_review", None, 2)
    reviews = (await market.get(url_of(content, "reviews"), headers=ada.headers)).json()["items"]
    assert [(r["action"], r["number"], r["reason"]) for r in reviews] == [
        ("submit", 2, None),
        ("reject", 1, "The price is missing."),
        ("submit", 1, None),
    ]


@pytest.mark.parametrize("moves", [[], ["submit"], ["submit", "approve"], ["submit", "approve", "publish"]])
async def test_a_new_version_is_a_draft_and_the_approved_one_stays_recorded(market, member, moves):
    ada = await member()
    content = await make_content(market, ada, await make_campaign(market, ada), **COPY)
    before = await moved(market, ada, content, *moves)
    after = await revised(market, ada, before)
    kept = ("approved_version", "approved_by", "approved_at", "published_version", "published_by", "published_at")
    assert (after["status"], after["current_version"], after["content"]["body"]) == ("draft", 2, "Better")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    page = await market.get(url_of(content, "versions"), headers=ada.headers)
    VersionPage.model_validate_json(page.content, strict=True, extra="forbid")
    assert page.json()["items"] == [after["content"], content["content"]]


async def test_nobody_approves_what_they_did_not_see(market, member):
    ada = await member()
    content = await make_content(market, ada, await make_campaign(market, ada))
    await moved(market, ada, content, "submit")
    seen = await moved(market, ada, await revised(market, ada, content), "submit")
    refused = await post(market, ada, url_of(content, "approve"), {"version": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "version_superseded")
    assert refused.json()["current_version"] == 2
    stale = {"If-Match": f'"{seen["version"] - 1}"'}
    assert await problem(post(market, ada, url_of(content, "approve"), **stale)) == (412, "precondition_failed")
    assert (await market.get(url_of(content), headers=ada.headers)).json() == seen
    approved = await post(
        market, ada, url_of(content, "approve"), {"version": 2}, **{"If-Match": f'"{seen["version"]}"'}
    )
    assert (approved.status_code, approved.json()["approved_version"]) == (200, 2)


async def test_an_approval_and_a_new_version_at_once_never_approve_the_new_one(market, member):
    ada = await member()
    campaign = await make_campaign(market, ada)
    for _ in range(4):
        content = await moved(market, ada, await make_content(market, ada, campaign), "submit")
        approved, new = await asyncio.gather(
            post(market, ada, url_of(content, "approve"), {"version": 1}),
            post(market, ada, url_of(content, "versions"), {"body": "Something else"}),
        )
        assert new.status_code == 201
        assert approved.status_code in {200, 409}
        left = (await market.get(url_of(content), headers=ada.headers)).json()
        assert (left["status"], left["current_version"]) == ("draft", 2)
        assert left["approved_version"] == (1 if approved.status_code == 200 else None)


async def test_versions_written_at_once_are_numbered_one_after_the_other(market, member):
    ada = await member()
    content = await make_content(market, ada, await make_campaign(market, ada))
    answers = await asyncio.gather(*(revised(market, ada, content, f"Text {n}") for n in range(5)))
    assert sorted(a["content"]["number"] for a in answers) == [2, 3, 4, 5, 6]
    for answer in answers:
        number = answer["content"]["number"]
        version = (await market.get(url_of(content, "versions", number), headers=ada.headers)).json()
        assert version == answer["content"]


async def test_an_illegal_move_names_the_legal_ones(market, member):
    ada = await member()
    content = await make_content(market, ada, await make_campaign(market, ada))
    for moves, move, legal in (
        ([], "publish", ["submit", "revise", "archive"]),
        (["submit"], "publish", ["approve", "reject", "revise", "archive"]),
        (["approve"], "submit", ["publish", "revise", "archive"]),
        (["publish"], "approve", ["revise", "archive"]),
        (["archive"], "archive", []),
    ):
        content = await moved(market, ada, content, *moves)
        answer = await post(market, ada, url_of(content, move))
        assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition")
        assert (answer.json()["state"], answer.json()["legal"]) == (content["status"], legal)
    assert await problem(post(market, ada, url_of(content, "versions"), {"body": "x"})) == (409, "illegal_transition")


async def test_only_a_draft_or_an_archived_asset_is_deleted(market, member):
    ada = await member()
    content = await make_content(market, ada, await make_campaign(market, ada))
    for move in ("submit", "approve", "publish"):
        await moved(market, ada, content, move)
        assert await problem(market.delete(url_of(content), headers=ada.headers)) == (409, "not_deletable")
    await moved(market, ada, content, "archive")
    assert (await market.delete(url_of(content), headers=ada.headers)).status_code == 204
    for path in (
        url_of(content),
        url_of(content, "versions"),
        url_of(content, "reviews"),
        url_of(content, "versions", 1),
    ):
        assert await problem(market.get(path, headers=ada.headers)) == (404, "not_found")
    assert (await audited(market, ada, content["id"]))[-1] == "content.deleted"


async def test_versions_and_reviews_cannot_be_changed_even_past_the_api(market, market_url, member):
    ada = await member()
    campaign = await make_campaign(market, ada)
    content = await moved(market, ada, await make_content(market, ada, campaign), "submit", "approve")
    other = await moved(market, ada, await make_content(market, ada, campaign), "submit")
    async with connected(market_url) as database:
        for statement in (
            "UPDATE content_versions SET body = 'forged'",
            "UPDATE content_reviews SET by = 'somebody'",
            "DELETE FROM content_versions",
            "DELETE FROM content_reviews",
        ):
            with pytest.raises(asyncpg.RestrictViolationError):
                await database.execute(statement)
        for status in ("approved", "published"):
            with pytest.raises(asyncpg.CheckViolationError):
                await database.execute("UPDATE content_assets SET status = $2 WHERE id = $1", other["id"], status)
        assert (await market.get(url_of(content), headers=ada.headers)).json() == content

        async def left():
            tables = ("content_assets", "content_versions", "content_reviews")
            return [await database.fetchval(f"SELECT count(*) FROM {table}") for table in tables]

        assert await left() == [2, 2, 3]
        await database.execute("DELETE FROM content_assets WHERE id = $1", other["id"])
        assert await left() == [1, 1, 2]
        await database.execute("DELETE FROM organizations WHERE id = $1", ada.org_id)
        assert await left() == [0, 0, 0]


async def test_lists_are_filtered_sorted_and_paged(market, member):
    ada = await member()
    one, two = await make_campaign(market, ada, "One campaign"), await make_campaign(market, ada, "Another one")
    await make_content(market, ada, one, title="b", kind="blog")
    await make_content(market, ada, one, title="A", kind="email")
    await moved(market, ada, await make_content(market, ada, two, title="c", kind="social"), "submit")
    of_one = f"/api/campaigns/{one['id']}/content"
    assert await titles(market, ada) == ["c", "A", "b"]
    assert await titles(market, ada, of_one) == ["A", "b"]
    assert await titles(market, ada, sort="title") == ["A", "b", "c"]
    assert await titles(market, ada, campaign_id=two["id"]) == ["c"]
    assert await titles(market, ada, kind=["blog", "social"], sort="created_at") == ["b", "c"]
    assert await titles(market, ada, status="in_review") == ["c"]
    assert await titles(market, ada, of_one, kind="email", limit=1) == ["A"]
    assert await titles(market, ada, page=2, limit=2) == ["b"]
    assert await titles(market, ada, job_id=str(uuid4())) == []
    assert await titles(market, ada, f"/api/campaigns/{two['id']}/content", kind="blog") == []
    for query in ("kind=fax", "status=gone", "campaign_id=x", "sort=kind"):
        assert await problem(market.get(f"/api/content?{query}", headers=ada.headers)) == (422, "invalid_payload")


@pytest.mark.parametrize(
    ("role", "refused"),
    [("viewer", {"create", "title", "versions", "submit", "approve", "reject", "publish", "archive", "delete"}),
     ("member", {"approve", "reject", "publish"}), ("manager", set())],
)  # fmt: skip
async def test_a_role_may_what_it_may(market, member, role, refused):
    ada = await member()
    other = await member(role=role, org=ada.org_id)
    campaign = await make_campaign(market, ada)
    content = await make_content(market, ada, campaign)
    copy = {"kind": "blog", "title": "Title", "body": "Body"}
    calls = {
        "create": lambda: post(market, other, f"/api/campaigns/{campaign['id']}/content", copy),
        "title": lambda: market.patch(url_of(content), json={"title": "Renamed"}, headers=other.headers),
        "versions": lambda: post(market, other, url_of(content, "versions"), {"body": "New"}),
        "submit": lambda: post(market, other, url_of(content, "submit")),
        "approve": lambda: post(market, other, url_of(content, "approve")),
        "reject": lambda: post(market, other, url_of(content, "reject"), {"reason": "No"}),
        "publish": lambda: post(market, other, url_of(content, "publish")),
        "archive": lambda: post(market, other, url_of(content, "archive")),
        "delete": lambda: market.delete(url_of(content), headers=other.headers),
    }
    answers = {name: await call() for name, call in calls.items()}
    assert {name for name, answer in answers.items() if answer.status_code == 403} == refused
    assert {answers[name].json()["code"] for name in refused} <= {"insufficient_role"}


async def test_another_organizations_content_is_not_there(market, member):
    ada, eve = await member(), await member()
    content = await make_content(market, ada, await make_campaign(market, ada))
    for method, rest, body in (
        ("GET", [], None), ("PATCH", [], {"title": "Eve's"}), ("DELETE", [], None), ("GET", ["versions"], None),
        ("POST", ["versions"], {"body": "Eve's"}), ("GET", ["versions", 1], None), ("GET", ["reviews"], None),
        ("POST", ["submit"], None), ("POST", ["approve"], {"version": 1}), ("POST", ["reject"], {"reason": "No"}),
        ("POST", ["publish"], None), ("POST", ["archive"], None),
    ):  # fmt: skip
        sent = {} if body is None else {"json": body}
        answer = market.request(method, url_of(content, *rest), headers=eve.headers, **sent)
        assert await problem(answer) == (404, "not_found"), rest
    assert await titles(market, eve) == await titles(market, eve, campaign_id=content["campaign_id"]) == []
    assert (await market.get(url_of(content), headers=ada.headers)).json() == content


async def test_a_repeated_version_is_written_once(market, member):
    ada = await member()
    content = await make_content(market, ada, await make_campaign(market, ada))
    key = {"Idempotency-Key": "v2"}
    first, again = [await post(market, ada, url_of(content, "versions"), {"body": "Better"}, **key) for _ in range(2)]
    assert (first.json(), again.status_code) == (again.json(), 201)
    assert (await market.get(url_of(content), headers=ada.headers)).json()["current_version"] == 2


async def test_what_a_job_generated_is_kept_once_however_often_it_says_so(market, market_url, member):
    ada = await member()
    campaign = await make_campaign(market, ada)
    job = uuid7()
    variants = [
        GeneratedVariant(number=n, title=f"Variant {n}", model="offline", **(COPY if n == 1 else {"body": "Text"}))
        for n in (1, 2, 3)
    ]

    async def generate(database, count, campaign_id=campaign["id"]):
        async with database.transaction():
            return await add_generated(
                database,
                ada.org_id,
                campaign_id,
                kind="email",
                variants=variants[:count],
                job_id=job,
                actor=f"job:{job}",
            )

    async with connected(market_url) as database, connected(market_url) as another:
        first = await generate(database, 2)
        again, at_once = await asyncio.gather(generate(database, 3), generate(another, 3))
        assert again == at_once
        assert again[:2] == first
        with pytest.raises(NotFound):
            await generate(database, 1, uuid4())
        found = await inventory(database, ada.org_id, campaign["id"])
    assert [(row.kind, row.status, row.assets) for row in found] == [("email", "draft", 3)]
    assert await titles(market, ada, job_id=str(job), sort="title") == ["Variant 1", "Variant 2", "Variant 3"]
    made = (await market.get(f"/api/content/{first[0]}", headers=ada.headers)).json()
    assert (made["variant"], made["job_id"], made["current_version"]) == (1, str(job), 1)
    assert {name: made["content"][name] for name in COPY} == COPY
    assert (made["content"]["model"], made["content"]["created_by"]) == ("offline", f"job:{job}")
    events = (await market.get("/api/audit?action=content.generated", headers=ada.headers)).json()["items"]
    assert sorted(event["details"]["assets"] for event in events) == [1, 2]
    assert {(event["user_id"], event["actor"]) for event in events} == {(None, f"job:{job}")}


async def test_a_campaign_deleted_while_content_comes_in_leaves_nothing_behind(market, market_url, member):
    ada = await member()
    for _ in range(4):
        campaign = await make_campaign(market, ada)
        content = await make_content(market, ada, campaign)
        made, new, gone = await asyncio.gather(
            post(market, ada, f"/api/campaigns/{campaign['id']}/content", {"kind": "blog", "title": "T", "body": "B"}),
            post(market, ada, url_of(content, "versions"), {"body": "Better"}),
            market.delete(f"/api/campaigns/{campaign['id']}", headers=ada.headers),
        )
        assert (made.status_code in {201, 404}, new.status_code in {201, 404}, gone.status_code) == (True, True, 204)
    assert await titles(market, ada) == []

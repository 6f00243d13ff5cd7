"""Idempotency-Key: a request that is repeated does nothing more, whatever happened to its first answer."""

import asyncio
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.market_ai.idempotency import queries
from tests.market_ai.making import connected, make_campaign, post, problem

BRANDS = "/api/brands"
KEPT = "SELECT count(*) FROM idempotency_keys"


def keyed(who, key="one"):
    return who.headers | {"Idempotency-Key": key}


async def total(market, who, path=BRANDS):
    return (await market.get(path, headers=who.headers)).json()["total"]


async def test_twenty_at_once_make_one_and_all_are_told_of_it(market, member):
    ada = await member()
    answers = await asyncio.gather(
        *(market.post(BRANDS, json={"name": "Ada's"}, headers=keyed(ada)) for _ in range(20))
    )
    assert {(answer.status_code, answer.content, answer.headers["etag"]) for answer in answers} == {
        (201, answers[0].content, '"1"')
    }
    assert Counter(answer.headers.get("idempotent-replayed") for answer in answers) == {"true": 19, None: 1}
    assert await total(market, ada) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (BRANDS, {"name": "Another"}),
        (BRANDS, {"name": "Ada's", "voice": {}}),
        (f"{BRANDS}?q=1", {"name": "Ada's"}),
        ("/api/campaigns", {"name": "Ada's", "type": "email"}),
    ],
)
async def test_a_key_is_for_one_request(market, member, path, body):
    ada = await member()
    await market.post(BRANDS, json={"name": "Ada's"}, headers=keyed(ada))
    again = market.post(path, json=body, headers=keyed(ada))
    assert await problem(again) == (422, "idempotency_key_reused")
    assert (await total(market, ada), await total(market, ada, "/api/campaigns")) == (1, 0)


async def test_a_key_belongs_to_one_user_in_one_organization(market, member):
    ada, bob = await member(), await member()
    grace = await member(role="manager", org=ada.org_id)
    for number, who in enumerate((ada, bob, grace)):
        made = await market.post(BRANDS, json={"name": f"Brand {number}"}, headers=keyed(who))
        assert (made.status_code, made.headers.get("idempotent-replayed")) == (201, None)
    assert (await total(market, ada), await total(market, bob)) == (2, 1)


async def test_a_refused_request_leaves_its_key_free(market, member, market_url):
    ada = await member()
    await market.post(BRANDS, json={"name": "Taken"}, headers=ada.headers)
    viewer = await member(role="viewer", org=ada.org_id)
    for who, body, status in (
        (ada, {"name": "taken"}, 409), (ada, {"name": ""}, 422), (ada, {"name": "x", "mood": 1}, 422),
        (viewer, {"name": "Free"}, 403),
    ):  # fmt: skip
        assert (await market.post(BRANDS, json=body, headers=keyed(who))).status_code == status
    async with connected(market_url) as connection:
        assert await connection.fetchval(KEPT) == 0
    assert (await market.post(BRANDS, json={"name": "Free"}, headers=keyed(ada))).status_code == 201


async def test_the_first_answer_is_given_again_even_when_the_thing_is_gone(market, member):
    ada = await member()
    first = await market.post(BRANDS, json={"name": "Ada's"}, headers=keyed(ada))
    await market.delete(f"{BRANDS}/{first.json()['id']}", headers=ada.headers)
    second = await market.post(BRANDS, json={"name": "Ada's"}, headers=keyed(ada))
    assert (second.status_code, second.content) == (201, first.content)
    assert await total(market, ada) == 0


async def test_whoever_lost_their_rights_gets_no_answer_again(market, member, market_url):
    ada = await member()
    grace = await member(role="manager", org=ada.org_id)
    assert (await market.post(BRANDS, json={"name": "Hers"}, headers=keyed(grace))).status_code == 201
    async with connected(market_url) as connection:
        await connection.execute("UPDATE memberships SET role = 'viewer' WHERE user_id = $1", grace.user_id)
    assert await problem(market.post(BRANDS, json={"name": "Hers"}, headers=keyed(grace))) == (403, "insufficient_role")


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ü".encode(), b"a\tb", b"\x7f"])
async def test_a_key_of_the_wrong_shape_is_refused(market, member, key):
    ada = await member()
    headers = ada.headers | {"Idempotency-Key": key}
    assert await problem(market.post(BRANDS, json={"name": "Ada's"}, headers=headers)) == (422, "invalid_payload")
    assert await total(market, ada) == 0


async def test_the_longest_key_is_taken(market, member):
    ada = await member()
    answers = [await market.post(BRANDS, json={"name": "Ada's"}, headers=keyed(ada, "~" * 255)) for _ in "12"]
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true"]


async def test_a_key_is_forgotten_after_a_day(market, member, market_url):
    ada = await member()
    await market.post(BRANDS, json={"name": "Old"}, headers=keyed(ada, "old"))
    await market.post(BRANDS, json={"name": "Young"}, headers=keyed(ada, "young"))
    async with connected(market_url) as connection:
        for age, key in (("25 hours", "old"), ("23 hours", "young")):
            await connection.execute(
                "UPDATE idempotency_keys SET created_at = now() - $1::text::interval WHERE key = $2", age, key
            )
        assert await queries.purge(connection) == 1
        assert await queries.purge(connection) == 0
        assert await connection.fetchval("SELECT key FROM idempotency_keys") == "young"
    assert (await market.post(BRANDS, json={"name": "New"}, headers=keyed(ada, "old"))).status_code == 201


async def test_a_job_that_is_asked_for_twice_is_queued_once(market, member, market_url):
    ada = await member()
    campaign = await make_campaign(market, ada)
    body = {"kind": "email", "brief": "Stollen is back."}
    path = f"/api/campaigns/{campaign['id']}/generate"
    first, second = [await post(market, ada, path, body, **{"Idempotency-Key": "one"}) for _ in "12"]
    assert (first.status_code, second.content) == (202, first.content)
    async with connected(market_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM jobs WHERE type = 'generate_content'") == 1


async def test_an_upload_is_known_by_what_it_contains(market, member):
    """Its parts are put together anew at each attempt, with another boundary."""
    ada = await member()

    async def upload(text, title="Prices"):
        files, data = {"file": ("prices.txt", text, "text/plain")}, {"title": title}
        return await market.post("/api/knowledge/documents", files=files, data=data, headers=keyed(ada))

    first, second = [await upload(b"Stollen costs twelve euros.") for _ in "12"]
    assert (first.status_code, second.content) == (201, first.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert await problem(upload(b"Stollen costs thirteen euros.")) == (422, "idempotency_key_reused")
    assert await problem(upload(b"Stollen costs twelve euros.", "Costs")) == (422, "idempotency_key_reused")


STEPS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from(["Red", "Green", "red", ""])), max_size=12
)


class Model:
    """What a sequence of requests must be answered, and how many brands there are after it."""

    def __init__(self):
        self.kept, self.names = {}, set()

    def answer(self, key, name):
        if key in self.kept:
            return "replayed" if self.kept[key] == name else "idempotency_key_reused"
        if not name:
            return "invalid_payload"
        if name.lower() in self.names:
            return "brand_exists"
        self.names.add(name.lower())
        if key is not None:
            self.kept[key] = name
        return "made"


async def test_however_requests_are_repeated_each_key_acts_once(market, member):
    """Any sequence of keys and bodies, some of them wrong, against what a list of first answers says."""
    loop = asyncio.get_running_loop()

    async def example(steps):
        ada, model = await member(), Model()
        for key, name in steps:
            headers = ada.headers if key is None else keyed(ada, key)
            answer = await market.post(BRANDS, json={"name": name}, headers=headers)
            body = answer.json()
            said = body.get("code") or ("replayed" if "idempotent-replayed" in answer.headers else "made")
            assert said == model.answer(key, name), steps
        assert await total(market, ada) == len(model.names)

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def examples(steps):
        asyncio.run_coroutine_threadsafe(example(steps), loop).result()

    await asyncio.to_thread(examples)

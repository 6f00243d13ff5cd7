"""Searching knowledge: what is found, by whom, how it is shown, and what a brief gets."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.knowledge.schemas import Chunk
from tandem.market_ai.knowledge.service import retrieve
from tests.market_ai.conftest import MakeMember, Member

SEARCH = "/api/knowledge/search"
BAKERY = """# Bread

We bake sourdough bread at four in the morning. It rests for two days.

# Christmas

## Stollen

Our stollen is baked in September and ripens for eight weeks. Three hundred are made each year.

## Delivery

Orders are delivered on the day before Christmas Eve. Delivery is free in Leipzig.
"""


class Shop:
    """A member, and what they do."""

    def __init__(self, market: httpx2.AsyncClient, who: Member, url: str) -> None:
        self.market, self.who, self.url = market, who, url

    async def add(self, text: str, **fields: Any) -> str:
        body = {"title": "Untold", "text": text, "format": "markdown", "language": "english"} | fields
        answer = await self.market.post("/api/knowledge/documents/text", headers=self.who.headers, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def find(self, words: str, **query: Any) -> dict[str, Any]:
        answer = await self.market.get(SEARCH, headers=self.who.headers, params={"q": words} | query)
        assert answer.status_code == 200, (words, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    async def headings(self, words: str, **query: Any) -> list[str]:
        return [hit["heading"][-1] for hit in (await self.find(words, **query))["items"]]

    async def retrieve(self, text: str, *, brand: str | None = None, limit: int = 6) -> list[Chunk]:
        connection = await asyncpg.connect(**parse_database_url(self.url).asyncpg_args)
        try:
            brand_id = UUID(brand) if brand else None
            return await retrieve(connection, self.who.org_id, text=text, brand_id=brand_id, limit=limit)
        finally:
            await connection.close()

    async def brand(self, name: str) -> str:
        connection = await asyncpg.connect(**parse_database_url(self.url).asyncpg_args)
        brand_id = uuid4()
        sql = "INSERT INTO brands (org_id, id, name) VALUES ($1, $2, $3)"
        await connection.execute(sql, self.who.org_id, brand_id, name)
        await connection.close()
        return str(brand_id)


@pytest.fixture
async def shop(market: httpx2.AsyncClient, member: MakeMember, market_url: str) -> Shop:
    return Shop(market, await member(), market_url)


async def test_words_are_found_in_their_forms_wherever_they_stand(shop: Shop) -> None:
    document = await shop.add(BAKERY, title="Ada's Bakery")
    assert await shop.headings("baking") == ["Bread", "Stollen"]
    assert await shop.headings("stollen") == ["Stollen"]
    assert await shop.headings("christmas stollen") == ["Stollen"]
    assert (await shop.headings("bakery leipzig"))[0] == "Delivery"  # the title counts too
    (hit,) = (await shop.find("ripens"))["items"]
    assert (hit["document_id"], hit["title"], hit["heading"], hit["position"], hit["page"]) == (
        *(document, "Ada's Bakery", ["Christmas", "Stollen"], 2, None),
    )
    assert "stollen is baked in September and <mark>ripens</mark> for eight weeks." in hit["snippet"]
    assert hit["rank"] > 0


async def test_a_search_knows_phrases_alternatives_and_exclusions(shop: Shop) -> None:
    await shop.add(BAKERY)
    for words, headings in [
        ('"eight weeks"', ["Stollen"]),
        ('"weeks eight"', []),
        ("sourdough or leipzig", ["Bread", "Delivery"]),
        ("baked -sourdough", ["Stollen"]),
        ("christmas-stollen", ["Stollen"]),
        ("-sourdough", []),
        ("leipzig or -sourdough", []),
    ]:
        found = await shop.find(words)
        assert found["match"] == "all"
        assert sorted(hit["heading"][-1] for hit in found["items"]) == headings, words


async def test_where_nothing_has_all_words_any_will_do(shop: Shop) -> None:
    await shop.add(BAKERY)
    found = await shop.find("sourdough Leipzig umbrella")
    assert found["match"] == "any"
    assert {hit["heading"][-1] for hit in found["items"]} == {"Bread", "Delivery"}
    assert "<mark>sourdough</mark>" in str(found)
    assert await shop.find("umbrella") == {"match": "any", "items": []}


async def test_every_document_is_searched_in_its_own_language(shop: Shop) -> None:
    await shop.add("# Haus\n\nDie Häuser stehen am See.", language="german")
    await shop.add("# House\n\nThe houses stand by the lake.", language="english")
    await shop.add("# Naam\n\nDe boeken staan hier.", language="simple")
    assert await shop.headings("haus") == ["Haus"]
    assert await shop.headings("house") == ["House"]
    assert await shop.headings("boeken") == ["Naam"]
    assert await shop.headings("boek") == []
    document = (await shop.find("boeken"))["items"][0]["document_id"]
    url = f"/api/knowledge/documents/{document}"
    changed = await shop.market.patch(url, headers=shop.who.headers, json={"language": "dutch"})
    assert changed.json()["language"] == "dutch"
    assert await shop.headings("boek") == ["Naam"]


async def test_a_brand_finds_its_own_documents_and_those_of_none(shop: Shop) -> None:
    bread, shoes = await shop.brand("Bread"), await shop.brand("Shoes")
    for heading, brand in (("Bread", bread), ("Shoes", shoes), ("All", None)):
        await shop.add(f"# {heading}\n\nPrices rise for {heading}.", brand_id=brand)
    assert set(await shop.headings("prices", brand_id=bread)) == {"Bread", "All"}
    assert set(await shop.headings("prices")) == {"Bread", "Shoes", "All"}
    assert {one.heading[-1] for one in await shop.retrieve("the prices", brand=shoes)} == {"Shoes", "All"}
    assert {one.heading[-1] for one in await shop.retrieve("the prices")} == {"All"}


async def test_the_best_come_first_and_no_more_than_asked_for(shop: Shop) -> None:
    await shop.add("\n\n".join(f"# Part {n}\n\nbread {'bread ' * n}" for n in range(5)))
    ranks = [hit["rank"] for hit in (await shop.find("bread"))["items"]]
    assert ranks == sorted(ranks, reverse=True)
    assert await shop.headings("bread", limit=2) == ["Part 4", "Part 3"]
    for bad in ({"limit": 0}, {"limit": 101}, {"q": ""}, {"q": "x" * 501}, {"sort": "x"}, {"brand_id": "none"}):
        answer = await shop.market.get(SEARCH, headers=shop.who.headers, params={"q": "x"} | bad)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_payload"), bad


async def test_nothing_of_another_organization_is_found(
    shop: Shop, member: MakeMember, market: httpx2.AsyncClient, market_url: str
) -> None:
    await shop.add(BAKERY)
    other = Shop(market, await member(), market_url)
    assert (await other.find("stollen"))["items"] == []
    assert await other.retrieve("stollen") == []
    await other.add("# Theirs\n\nStollen from elsewhere.")
    assert await other.headings("stollen") == ["Theirs"]
    assert [one.heading for one in await other.retrieve("stollen")] == [("Theirs",)]


async def test_a_snippet_is_safe_html(shop: Shop) -> None:
    evil = "<script>alert('milk')</script> & <b>\"milk\"</b> milk/bread <mark>"
    await shop.add(evil, format="text", title="<i>milk</i>")
    (hit,) = (await shop.find("milk"))["items"]
    snippet = hit["snippet"]
    assert snippet.count("<mark>") == snippet.count("</mark>") == 3
    assert not set(snippet.replace("<mark>", "").replace("</mark>", "")) & set('<>"')
    assert snippet.startswith("script&gt;alert('<mark>milk</mark>')&lt;/script&gt; &amp; &lt;b&gt;&quot;")


async def test_a_brief_gets_what_its_rarest_words_tell_of(shop: Shop) -> None:
    await shop.add(BAKERY, title="Bakery")
    await shop.add("\n\n".join(f"# Story {n}\n\nOur bakery made an email for customers." for n in range(30)))
    brief = (
        "Write a warm e-mail to the customers of our bakery: the Christmas Stollen ripened since September, "
        'and orders placed by the 12th are delivered free. ("Don\'t" mention prices & stay < 100 words!)'
    )
    found = await shop.retrieve(brief, limit=2)
    assert [one.heading for one in found] == [("Christmas", "Stollen"), ("Christmas", "Delivery")]
    first = found[0]
    assert (first.title, first.page, isinstance(first.id, UUID)) == ("Bakery", None, True)
    assert first.text.startswith("Our stollen is baked in September")
    assert len(await shop.retrieve("bakery")) == 6  # a word that all have is better than none


async def test_any_text_can_be_searched_for(shop: Shop) -> None:
    await shop.add("# Plain\n\nplain words " + "x" * 2047 + " " + "語" * 1200)
    assert await shop.headings("plain words") == ["Plain"]
    odd = ["'", "\\", ":*", "!", "()", "<->", "&", "a:*b", "'' | ''", "\\'", '"', "\ud800", "\x00", "x" * 30_000, ""]
    seen: list[str] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.text(st.one_of(st.sampled_from("'\\:*&|!<->()%_ \"a1/.@~or"), st.characters()), min_size=1, max_size=30))
    def collect(text: str) -> None:
        seen.append(text)

    collect()
    connection = await asyncpg.connect(**parse_database_url(shop.url).asyncpg_args)
    try:
        for text in (*odd, *seen):
            await retrieve(connection, shop.who.org_id, text=text, brand_id=None, limit=3)
            found = await retrieve(connection, shop.who.org_id, text=f"plain {text}", brand_id=None, limit=3)
            assert {one.heading for one in found} == {("Plain",)}, text
    finally:
        await connection.close()
    for text in seen[:30]:
        storable = text.encode(errors="replace").decode().replace("\0", " ")
        await shop.find(storable)

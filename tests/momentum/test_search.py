"""Full-text search: what is found, in which order, how it is shown, and that no character is special."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.momentum.making import make_label, make_project, make_task, titles

SPECIAL = [
    "%",
    "_",
    "'",
    '"',
    "\\",
    ":*",
    "&",
    "|",
    "!",
    "<->",
    "(",
    ")",
    "*",
    ":",
    "()",
    "'':*",
    "\\'",
    "!!",
    "\\\\'",
    "--",
    "$",
]


async def test_every_word_is_a_prefix_and_all_must_match(client, ada):
    await make_task(client, "Running shoes", description="for the marathon")
    await make_task(client, "Run errands")
    await make_task(client, "Grunt")
    assert set(await titles(client, search="run")) == {"Running shoes", "Run errands"}
    assert await titles(client, search="RUN mara") == ["Running shoes"]
    assert await titles(client, search="runs") == []
    assert await titles(client, search="run swim") == []


async def test_words_of_any_script_are_found(client, ada):
    for title in ("Äpfel kaufen", "Купить молоко", "Pagar la electricidad", "e-mail anna@example.com", "v2.10 release"):
        await make_task(client, title)
    for words, title in [
        ("äpf", "Äpfel kaufen"),
        ("молок", "Купить молоко"),
        ("electric pag", "Pagar la electricidad"),
        ("anna@example.com", "e-mail anna@example.com"),
        ("v2.10", "v2.10 release"),
    ]:
        assert await titles(client, search=words) == [title]


async def test_punctuation_separates_words_also_where_it_looks_like_a_path_or_a_tag(client, ada):
    for title in ("milk/bread", "fix <urgent> bug", "report.pdf", "room-5", "R&D", "see https://example.com/plans?x=1"):
        await make_task(client, title)
    for words, title in [
        ("bread", "milk/bread"),
        ("milk/bread", "milk/bread"),
        ("urgent", "fix <urgent> bug"),
        ("<urgent>", "fix <urgent> bug"),
        ("pdf", "report.pdf"),
        ("5", "room-5"),
        ("-5", "room-5"),
        ("r&d", "R&D"),
        ("example plans", "see https://example.com/plans?x=1"),
        ("https://example.com/plans?x=1", "see https://example.com/plans?x=1"),
    ]:
        assert await titles(client, search=words) == [title], words
    assert (await highlights(client, search="r&d"))[0]["title"] == "<mark>R</mark>&amp;<mark>D</mark>"
    assert (await highlights(client, search="bread"))[0]["title"] == "milk/<mark>bread</mark>"


async def test_a_hit_in_the_title_ranks_over_one_in_the_description(client, ada):
    await make_task(client, "Below", description="milk")
    await make_task(client, "Buy milk")
    await make_task(client, "Far below", description="not a word about it, then milk")
    assert (await titles(client, search="milk"))[0] == "Buy milk"
    assert await titles(client, search="milk", sort="position") == ["Below", "Buy milk", "Far below"]


async def test_no_character_is_special(client, ada):
    await make_task(client, "plain words")
    await make_task(client, '100% of it_all isn\'t "done" & dusted')
    for text in SPECIAL:
        assert await titles(client, search=text) == [], text  # punctuation alone finds nothing
        assert await titles(client, search=f"{text} plain") == ["plain words"], text
        assert await titles(client, search=f"absent {text} plain") == [], text
    assert await titles(client, search="100%") == ['100% of it_all isn\'t "done" & dusted']
    assert await titles(client, search="plain | dusted") == []
    assert await titles(client, search="!plain") == ["plain words"]


async def test_nothing_typed_is_no_search(client, ada):
    await make_task(client, "here")
    assert await titles(client, search="") == ["here"]
    assert await titles(client, search="   ") == []


async def test_the_owner_that_each_task_carries_in_its_index_is_no_word(client, ada):
    await make_task(client, "plain")
    for text in ("u", "us", "user", "user:", f"user:{ada.id}", ada.id, f" {ada.id}", ada.id[:1]):
        if not "plain".startswith(text.strip().lower()):
            assert await titles(client, search=text) == [], text


async def test_any_text_can_be_searched_for(client, ada):
    await make_task(client, "plain")
    seen = []

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.text(
            st.one_of(
                st.sampled_from("'\\:*&|!<->()%_ \"a1/.@~"),
                st.characters(exclude_characters="\x00", exclude_categories=["Cs"]),
            ),
            max_size=30,
        )
    )
    def collect(text):
        seen.append(text)

    collect()
    for text in seen:
        response = await client.get("/api/tasks", params={"search": text})
        assert response.status_code == 200, text


async def highlights(client, **query):
    return [t["highlight"] for t in (await client.get("/api/tasks", params=query)).json()["items"]]


async def test_what_was_found_is_marked(client, ada):
    await make_task(client, "Buy oat milk", description="The milkman is late. Milk!")
    assert await highlights(client, search="milk") == [
        {"title": "Buy oat <mark>milk</mark>", "description": "<mark>milkman</mark> is late. <mark>Milk</mark>"}
    ]
    assert "highlight" not in (await client.get("/api/tasks")).json()["items"][0]


async def test_a_highlight_is_safe_html(client, ada):
    evil = "<script>alert('milk')</script> & <b>\"milk\"</b> \x02fake\x03 <mark>"
    await make_task(client, evil, description="milk " + evil)
    (highlight,) = await highlights(client, search="milk")
    for text in highlight.values():
        assert text.count("<mark>") == text.count("</mark>") > 0
        rest = text.replace("<mark>", "").replace("</mark>", "")
        assert not set(rest) & set('<>"\x02\x03')
    assert highlight["title"].startswith("&lt;script&gt;alert('<mark>milk</mark>')&lt;/script&gt; &amp; &lt;b&gt;")


async def test_a_long_description_is_cut_to_what_was_found(client, ada):
    await make_task(client, "Long", description="filler " * 500 + "needle " + "filler " * 500)
    (highlight,) = await highlights(client, search="needle")
    assert "<mark>needle</mark>" in highlight["description"]
    assert len(highlight["description"]) < 300


async def test_the_tasks_of_others_are_not_found(client, ada, bob):
    await client.post("/api/tasks", json={"title": "secret plan"}, headers=bob.headers)
    assert await titles(client, search="secret") == []
    found = await client.get("/api/tasks", params={"search": "secret"}, headers=bob.headers)
    assert found.json()["total"] == 1


async def test_search_follows_changes(client, ada):
    task = await make_task(client, "before")
    await client.patch(f"/api/tasks/{task['id']}", json={"title": "afterwards"})
    assert await titles(client, search="before") == []
    assert await titles(client, search="after") == ["afterwards"]
    await client.delete(f"/api/tasks/{task['id']}")
    assert await titles(client, search="after") == []


async def test_search_goes_with_filters(client, ada):
    home, red = await make_project(client), await make_label(client)
    await make_task(client, "milk at home", project_id=home["id"], labels=[red["id"]])
    await make_task(client, "milk elsewhere")
    await make_task(client, "bread at home", project_id=home["id"])
    assert await titles(client, search="milk", project=home["id"], label=red["id"], completed="false") == [
        "milk at home"
    ]
    assert await titles(client, search="milk", completed="true") == []


@pytest.mark.parametrize("sort", [None, "relevance", "title", "-due"])
async def test_search_pages_by_cursor_over_equal_ranks(client, ada, sort):
    operations = [
        {"op": "create", "data": {"title": f"milk {n}", "description": "milk " * (n % 3)}} for n in range(11)
    ] + [{"op": "create", "data": {"title": "bread"}}]
    await client.post("/api/tasks/bulk", json={"operations": operations})
    query = {"search": "milk"} | ({"sort": sort} if sort else {})
    whole = (await client.get("/api/tasks", params=query)).json()
    found, cursor = [], ""
    while cursor is not None:
        page = (await client.get("/api/tasks", params=query | {"limit": 3, "cursor": cursor})).json()
        found += page["items"]
        cursor = page["next_cursor"]
    assert found == whole["items"]
    assert whole["total"] == 11


@pytest.mark.parametrize("word", ["x" * 2000, "x" * 2029, "x" * 2040, "x" * 2047, "x" * 9000, "語" * 680, "語" * 3000])
async def test_a_very_long_word_is_kept_though_nobody_finds_it(client, ada, word):
    task = await make_task(client, "Long", description=f"before {word} after")
    assert task["description"] == f"before {word} after"
    assert await titles(client, search="before after") == ["Long"]

"""Lists of tasks: filters, sorting, paging by number and by cursor."""

import base64
import json
from uuid import uuid4

import pytest

from tests.momentum.making import make_label, make_project, make_task, problem, titles

SORTS = ["position", "created_at", "updated_at", "due", "priority", "title"]


async def pages_by_cursor(client, limit, **query):
    """Every item, following `next_cursor`."""
    items, cursor = [], ""
    while cursor is not None:
        response = await client.get("/api/tasks", params={**query, "limit": limit, "cursor": cursor})
        assert response.status_code == 200, response.text
        page = response.json()
        assert (page["total"], page["page"], page["pages"]) == (None, None, None)
        assert len(page["items"]) == limit or page["next_cursor"] is None
        items += page["items"]
        cursor = page["next_cursor"]
    return items


async def pages_by_number(client, limit, **query):
    first = (await client.get("/api/tasks", params={**query, "limit": limit})).json()
    items = list(first["items"])
    for page in range(2, first["pages"] + 1):
        items += (await client.get("/api/tasks", params={**query, "limit": limit, "page": page})).json()["items"]
    assert len(items) == first["total"]
    return items


@pytest.fixture
async def varied(client, ada):
    """Twenty-one tasks with many ties in everything that can be sorted by."""
    operations = [
        {
            "op": "create",
            "data": {
                "title": ["apple", "Banana", "cherry 🍒"][n % 3],
                "priority": ["low", "medium", "high", "urgent"][n % 4],
                "due_date": [None, "2026-12-24", "2026-01-01"][n % 3],
                "due_time": [None, "09:00", None, "08:00", None, None][n % 6] if n % 3 else None,
            },
        }
        for n in range(21)
    ]
    result = (await client.post("/api/tasks/bulk", json={"operations": operations})).json()
    assert result["failed"] == 0, result
    return [r["task"] for r in result["results"]]


async def test_every_filter_finds_what_it_names(client, ada):
    home = await make_project(client)
    red, blue = await make_label(client), await make_label(client)
    await make_task(client, "in home", project_id=home["id"])
    await make_task(client, "red", labels=[red["id"]])
    both = await make_task(client, "red and blue", labels=[red["id"], blue["id"]])
    await make_task(client, "urgent", priority="urgent")
    await make_task(client, "low", priority="low")
    await make_task(client, "done", completed=True)
    await make_task(client, "below", parent_id=both["id"])
    everything = {"in home", "red", "red and blue", "urgent", "low", "done", "below"}
    expected = [
        ({"project": home["id"]}, {"in home"}),
        ({"project": "none"}, everything - {"in home"}),
        ({"project": str(uuid4())}, set()),
        ({"label": red["id"]}, {"red", "red and blue"}),
        ({"label": [red["id"], blue["id"]]}, {"red and blue"}),
        ({"priority": "URGENT"}, {"urgent"}),
        ({"priority": ["urgent", "low"]}, {"urgent", "low"}),
        ({"completed": "true"}, {"done"}),
        ({"completed": "false"}, everything - {"done"}),
        ({"parent": both["id"]}, {"below"}),
        ({"parent": "none"}, everything - {"below"}),
        ({}, everything),
    ]
    for query, found in expected:
        response = await client.get("/api/tasks", params=query)
        assert {t["title"] for t in response.json()["items"]} == found, query
        assert response.json()["total"] == len(found)


async def test_due_before_and_after_take_a_day_or_an_instant(client, ada):
    await make_task(client, "never")
    await make_task(client, "all day", due_date="2026-12-24")
    await make_task(client, "morning", due_date="2026-12-24", due_time="08:00", timezone="Europe/Berlin")
    await make_task(client, "day after", due_date="2026-12-25")
    expected = [
        ({"due_before": "2026-12-24"}, []),
        ({"due_before": "2026-12-25"}, ["all day", "morning"]),
        ({"due_after": "2026-12-24"}, ["day after"]),
        ({"due_after": "2026-12-23", "due_before": "2026-12-25"}, ["all day", "morning"]),
        ({"due_before": "2026-12-24T07:00:00Z"}, []),
        ({"due_before": "2026-12-24T07:00:01Z"}, ["morning"]),
        ({"due_before": "2026-12-24T08:00:01+01:00"}, ["morning"]),
        ({"due_after": "2026-12-24T06:59:59Z"}, ["morning", "day after"]),
    ]
    for query, found in expected:
        assert await titles(client, **query) == found, query


async def test_a_bound_without_a_zone_or_a_real_day_is_refused(client, ada):
    for bound in ("2026-12-24T09:00:00", "2026-02-30", "tomorrow", "20261224", "1795312800", "0001-01-01"):
        response = client.get("/api/tasks", params={"due_before": bound})
        assert await problem(response) == (422, "invalid_payload"), bound


async def test_filters_combine(client, ada):
    home = await make_project(client)
    red = await make_label(client)
    wanted = {"project_id": home["id"], "labels": [red["id"]], "priority": "high", "due_date": "2026-12-24"}
    await make_task(client, "match", **wanted)
    for field, other in [("project_id", None), ("labels", []), ("priority", "low"), ("due_date", None)]:
        await make_task(client, f"other {field}", **{**wanted, field: other})
    await make_task(client, "done", **wanted, completed=True)
    query = {
        "project": home["id"],
        "label": red["id"],
        "priority": "high",
        "due_after": "2026-12-01",
        "completed": "false",
    }
    assert await titles(client, **query) == ["match"]


def _sort_key(sort):
    infinitely_late = ("9999-12-31", "24:00:00")
    due = {"-due": ("0000-00-00", "00:00:00")}.get(sort, infinitely_late)
    rank = ["low", "medium", "high", "urgent"]
    return {
        "position": lambda t: (t["position"], t["id"]),
        "created_at": lambda t: (t["created_at"], t["id"]),
        "updated_at": lambda t: (t["version"], t["id"]),
        "due": lambda t: (t["due_date"] or due[0], t["due_time"] or due[1], t["id"]),
        "priority": lambda t: (rank.index(t["priority"]), t["id"]),
        "title": lambda t: (t["title"].lower(), t["id"]),
    }[sort.removeprefix("-")]


async def test_pages_by_number_and_by_cursor_give_the_sorted_list(client, varied):
    for sort in [*SORTS, *(f"-{name}" for name in SORTS)]:
        expected = sorted(varied, key=_sort_key(sort), reverse=sort.startswith("-"))
        assert await pages_by_number(client, 5, sort=sort) == expected, sort
        for limit in (1, 7, 21, 50):
            assert await pages_by_cursor(client, limit, sort=sort) == expected, (sort, limit)


async def test_tasks_without_a_day_come_last_either_way(client, varied):
    for sort in ("due", "-due"):
        days = [t["due_date"] for t in await pages_by_cursor(client, 8, sort=sort)]
        assert days[:14] == sorted(days[:14], reverse=sort.startswith("-"))
        assert days[14:] == [None] * 7


async def test_a_cursor_neither_skips_nor_repeats_when_rows_change_between_pages(client, ada):
    tasks = [await make_task(client, f"{n:02}") for n in range(9)]
    first = (await client.get("/api/tasks", params={"limit": 3, "cursor": "", "sort": "title"})).json()
    await client.delete(f"/api/tasks/{tasks[0]['id']}")  # by page number, this would hide 03
    await client.delete(f"/api/tasks/{tasks[2]['id']}")  # the row that the cursor stands on
    await make_task(client, "00 new")  # and this would repeat 02
    rest = (await client.get("/api/tasks", params={"cursor": first["next_cursor"], "sort": "title"})).json()
    assert [t["title"] for t in rest["items"]] == [f"{n:02}" for n in range(3, 9)]


async def test_a_cursor_fits_into_a_query_even_for_the_longest_titles(client, ada):
    for n in range(3):
        await make_task(client, str(n) + "🍒" * 199)
    assert [t["title"][0] for t in await pages_by_cursor(client, 1, sort="title")] == ["0", "1", "2"]


def made_up(*values):
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


UUID0 = "00000000-0000-0000-0000-000000000000"
BAD_CURSORS = [
    ("position", "garbage"),
    ("position", "!!!"),
    ("position", "é"),
    ("position", made_up()),
    ("position", made_up("position")),
    ("position", made_up("position", "V")),
    ("position", made_up("position", "V", UUID0, "more")),
    ("position", made_up("title", "V", UUID0)),
    ("position", made_up("position", "V", "not a uuid")),
    ("position", made_up("position", "V", None)),
    ("position", made_up("position", None, UUID0)),
    ("position", made_up("position", 7, UUID0)),
    ("position", made_up("position", ["V"], UUID0)),
    ("position", made_up("position", {"a": 1}, UUID0)),
    ("position", made_up("position", "\x00", UUID0)),
    ("position", made_up("position", "\ud800", UUID0)),
    ("position", base64.urlsafe_b64encode(b'["position", NaN, ""]').decode()),
    ("created_at", made_up("created_at", "yesterday or so", UUID0)),
    ("created_at", made_up("created_at", "2026-13-01", UUID0)),
    ("-created_at", made_up("created_at", "2026-01-01", UUID0)),
    ("updated_at", made_up("updated_at", "1.5", UUID0)),
    ("updated_at", made_up("updated_at", "9" * 30, UUID0)),
    ("due", made_up("due", "2026-01-01", "25:00", UUID0)),
    ("due", made_up("due", "9999999-01-01", "09:00", UUID0)),
    ("priority", made_up("priority", "colossal", UUID0)),
]


async def test_a_cursor_that_is_not_ours_is_refused(client, ada):
    for sort, cursor in BAD_CURSORS:
        response = client.get("/api/tasks", params={"sort": sort, "cursor": cursor})
        assert await problem(response) == (400, "invalid_cursor"), (sort, cursor)


async def test_a_cursor_is_bound_to_its_sort_order(client, ada):
    for title in "ab":
        await make_task(client, title)
    cursor = (await client.get("/api/tasks", params={"limit": 1, "sort": "title"})).json()["next_cursor"]
    assert await titles(client, sort="title", cursor=cursor) == ["b"]
    for sort in ("-title", "position"):
        assert await problem(client.get("/api/tasks", params={"sort": sort, "cursor": cursor})) == (
            400,
            "invalid_cursor",
        )


async def test_a_cursor_of_another_user_shows_only_ones_own_tasks(client, ada, bob):
    for n in range(3):
        await make_task(client, f"ada {n}")
    await client.post("/api/tasks", json={"title": "bob"}, headers=bob.headers)
    cursor = (await client.get("/api/tasks", params={"limit": 1, "sort": "title"})).json()["next_cursor"]
    found = await client.get("/api/tasks", params={"sort": "title", "cursor": cursor}, headers=bob.headers)
    assert [t["title"] for t in found.json()["items"]] == ["bob"]


async def test_the_headers_count_the_whole_list(client, varied):
    response = await client.get("/api/tasks", params={"limit": 5, "page": 3})
    assert (response.headers["x-total-count"], response.headers["x-page-number"]) == ("21", "3")
    body = response.json()
    assert (body["total"], body["page"], body["limit"], body["pages"], len(body["items"])) == (21, 3, 5, 5, 5)
    by_cursor = await client.get("/api/tasks", params={"limit": 5, "cursor": ""})
    assert "x-total-count" not in by_cursor.headers


async def test_a_page_past_the_end_is_empty(client, varied):
    body = (await client.get("/api/tasks", params={"page": 1_000_000})).json()
    assert (body["items"], body["total"], body["next_cursor"]) == ([], 21, None)


async def test_an_empty_list_has_no_pages(client, ada):
    body = (await client.get("/api/tasks")).json()
    assert body == {"items": [], "total": 0, "page": 1, "limit": 50, "pages": 0, "next_cursor": None}


BAD_QUERIES = [
    {"limit": "0"}, {"limit": "201"}, {"limit": "-1"}, {"limit": "ten"}, {"limit": "1e9"}, {"page": "0"},
    {"page": "1000001"}, {"page": "99999999999999999999"}, {"sort": "colour"}, {"sort": "relevance"},
    {"completed": "perhaps"}, {"priority": "colossal"}, {"project": "7"}, {"label": "x"}, {"overdue": ""},
    {"unknown": "1"}, {"Limit": "5"}, {"cursor": "x" * 2001}, {"search": "x" * 501},
]  # fmt: skip


async def test_a_parameter_that_is_unknown_or_out_of_bounds_is_refused(client, ada):
    for query in BAD_QUERIES:
        response = await client.get("/api/tasks", params=query)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_payload"), query
        assert response.json()["errors"][0]["field"].split(".")[0] in {*query, "query"}


async def test_the_bounds_themselves_are_allowed(client, varied):
    assert len((await client.get("/api/tasks", params={"limit": 1})).json()["items"]) == 1
    assert len((await client.get("/api/tasks", params={"limit": 200})).json()["items"]) == 21


async def test_a_trailing_slash_answers_the_same(client, ada):
    task = (await client.post("/api/tasks/", json={"title": "Slash"})).json()
    for url in (
        "/api/tasks",
        f"/api/tasks/{task['id']}",
        "/api/projects",
        "/api/labels",
        "/api/settings",
        "/api/trash",
    ):
        plain, slashed = await client.get(url), await client.get(url + "/")
        assert (slashed.status_code, slashed.json()) == (200, plain.json()), url


async def test_what_is_in_the_trash_is_not_listed(client, ada):
    gone, _ = await make_task(client, "gone"), await make_task(client, "here")
    await client.delete(f"/api/tasks/{gone['id']}")
    assert await titles(client) == ["here"]
    assert await titles(client, sort="-created_at") == ["here"]


async def test_the_trash_pages_by_cursor_the_latest_first(client, ada):
    tasks = [await make_task(client, str(n)) for n in range(5)]
    await client.post("/api/tasks/bulk-delete", json={"task_ids": [t["id"] for t in tasks[:2]]})  # at one moment
    for task in tasks[2:]:
        await client.delete(f"/api/tasks/{task['id']}")
    found, cursor = [], ""
    while cursor is not None:
        page = (await client.get("/api/trash", params={"limit": 2, "cursor": cursor})).json()
        found += [t["title"] for t in page["items"]]
        cursor = page["next_cursor"]
    assert found[:3] == ["4", "3", "2"]
    assert sorted(found[3:]) == ["0", "1"]

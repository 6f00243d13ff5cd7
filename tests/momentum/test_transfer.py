"""Export and import: everything comes out, goes in once, and a file that is wrong changes nothing."""

import csv
import io
import json
from uuid import uuid4

import pytest

from tests.momentum.making import make_label, make_project, make_task, problem, titles

HEADER = [
    "id", "title", "description", "completed", "completed_at", "priority", "project", "labels", "parent_id",
    "due_date", "due_time", "timezone", "due_at", "created_at", "updated_at",
]  # fmt: skip


async def export(client, headers=None):
    response = await client.get("/api/export", headers=headers)
    assert response.status_code == 200
    assert response.headers["content-disposition"].startswith('attachment; filename="momentum-')
    return response.json()


async def imported(client, data, headers=None):
    response = await client.post("/api/import", json=data, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def bare(data):
    """An export without what a row gets in each account anew."""
    kinds = {kind: data[kind] for kind in ("projects", "labels", "tasks")}
    return {"settings": data["settings"]} | {
        kind: [{k: v for k, v in row.items() if k not in {"version", "updated_at", "position"}} for row in rows]
        for kind, rows in kinds.items()
    }


async def newest(database, user):
    return await database.fetchval("SELECT coalesce(max(seq), 0) FROM changes WHERE user_id = $1", user.id)


@pytest.fixture
async def everything(client, ada):
    """One of each kind of thing a user can have; the export of it."""
    await client.patch("/api/settings", json={"timezone": "Europe/Berlin", "week_start": "sunday"})
    home = await make_project(client, "Home", color="#1971c2", description="**ours**")
    inner = await make_project(client, "Inner", parent_id=home["id"])
    await client.patch(f"/api/projects/{inner['id']}", json={"archived": True})
    red, blue = await make_label(client, "red", color="#ff0000"), await make_label(client, "Blau, ü")
    top = await make_task(client, "Top 🍒", project_id=home["id"], labels=[red["id"], blue["id"]], priority="urgent")
    below = await make_task(client, "Below", parent_id=top["id"], description="line\nline")
    await make_task(client, "Timed", due_date="2026-10-25", due_time="02:30", completed=True)
    gone = await make_task(client, "Gone")
    await client.delete(f"/api/tasks/{gone['id']}")
    await client.post(f"/api/tasks/{below['id']}/move", json={"before": top["id"]})
    return await export(client)


async def test_another_account_gets_everything_in_the_same_order(client, everything, bob):
    result = await imported(client, everything, bob.headers)
    assert result["imported"] == {"projects": 2, "labels": 2, "tasks": 4}
    assert result["skipped"] == {"projects": 0, "labels": 0, "tasks": 0}
    assert bare(await export(client, bob.headers)) == bare(everything)
    for url in ("/api/tasks", "/api/projects", "/api/trash"):
        hers, his = (await client.get(url)).json(), (await client.get(url, headers=bob.headers)).json()
        assert [row["id"] for row in his["items"]] == [row["id"] for row in hers["items"]]
    assert (await client.get("/api/settings", headers=bob.headers)).json()["timezone"] == "Europe/Berlin"


async def test_ones_own_file_changes_nothing(client, everything, ada, database):
    before = await newest(database, ada)
    result = await imported(client, everything)
    assert result["imported"] == {"projects": 0, "labels": 0, "tasks": 0}
    assert result["skipped"] == {"projects": 2, "labels": 2, "tasks": 4}
    assert await newest(database, ada) == before
    assert await export(client) | {"exported_at": None} == everything | {"exported_at": None}


async def test_importing_twice_changes_nothing_the_second_time(client, everything, bob, database):
    await imported(client, everything, bob.headers)
    before = await newest(database, bob)
    assert (await imported(client, everything, bob.headers))["imported"] == {"projects": 0, "labels": 0, "tasks": 0}
    assert await newest(database, bob) == before


async def test_what_is_already_there_is_not_overwritten(client, everything, ada):
    task = everything["tasks"][0]
    await client.patch(f"/api/tasks/{task['id']}", json={"title": "Changed since"})
    await client.patch("/api/settings", json={"timezone": "Asia/Tokyo"})
    await imported(client, everything)
    assert (await client.get(f"/api/tasks/{task['id']}")).json()["title"] == "Changed since"
    assert (await client.get("/api/settings")).json()["timezone"] == "Asia/Tokyo"


async def test_an_import_brings_back_what_was_deleted_for_good(client, everything, ada):
    await client.post("/api/tasks/bulk-delete", json={"task_ids": [t["id"] for t in everything["tasks"]]})
    await client.delete("/api/trash")
    assert (await imported(client, everything))["imported"]["tasks"] == 4
    assert bare(await export(client)) == bare(everything)


def data_of(**kinds):
    return {"format": "tandem.momentum/1", **kinds}


async def test_labels_of_the_same_name_become_one(client, ada):
    """Also where Python and Postgres disagree about lower case: the unique index is Postgres's."""
    for name in ("Errand", "ΑΣ", "İstanbul"):
        mine = await make_label(client, name)
        theirs = str(uuid4())
        data = data_of(
            labels=[{"id": theirs, "name": name.upper() if name == "Errand" else name}],
            tasks=[{"id": str(uuid4()), "title": "x", "labels": [theirs]}],
        )
        assert (await imported(client, data))["skipped"]["labels"] == 1
        assert (await client.get("/api/tasks", params={"label": mine["id"]})).json()["total"] == 1, name


async def test_references_to_what_is_nowhere_are_dropped(client, ada, bob):
    his = await make_project(client)
    unknown = {"project_id": str(uuid4()), "parent_id": str(uuid4()), "labels": [str(uuid4())]}
    foreign = {"project_id": his["id"]}
    data = data_of(
        tasks=[{"id": str(uuid4()), "title": title, **refs} for title, refs in (("a", unknown), ("b", foreign))],
        projects=[{"id": str(uuid4()), "name": "p", "parent_id": str(uuid4())}],
    )
    await imported(client, data, bob.headers)
    items = (await client.get("/api/tasks", headers=bob.headers)).json()["items"]
    assert [(t["title"], t["project_id"], t["parent_id"], t["labels"]) for t in items] == [
        ("a", None, None, []),
        ("b", None, None, []),
    ]


async def test_the_ids_of_others_are_free(client, everything, ada, bob):
    """The same ids in two accounts are two tasks."""
    task = everything["tasks"][0]
    await imported(client, everything, bob.headers)
    await client.patch(f"/api/tasks/{task['id']}", json={"title": "bob's"}, headers=bob.headers)
    assert (await client.get(f"/api/tasks/{task['id']}")).json()["title"] == task["title"]


def chain(length, circle=False):
    ids = [str(uuid4()) for _ in range(length)]
    parents = [ids[-1] if circle else None, *ids]
    return [{"id": i, "title": "x", "parent_id": parent} for i, parent in zip(ids, parents, strict=False)]


async def test_circles_and_deep_nesting_are_refused_and_nothing_is_imported(client, ada, database):
    def named(rows):
        return [{"name": row["title"]} | {k: row[k] for k in ("id", "parent_id")} for row in rows]

    label = {"id": str(uuid4()), "name": "first"}
    for rows in (chain(6), chain(1, circle=True), chain(3, circle=True), list(reversed(chain(6)))):
        for data in (data_of(tasks=rows, labels=[label]), data_of(projects=named(rows), labels=[label])):
            response = await client.post("/api/import", json=data)
            assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "too_deep")
    assert await newest(database, ada) == 0
    deepest = data_of(tasks=list(reversed(chain(5))), projects=named(chain(5)))
    assert (await imported(client, deepest))["imported"] == {"projects": 5, "labels": 0, "tasks": 5}
    below = data_of(tasks=[{"id": str(uuid4()), "title": "6", "parent_id": deepest["tasks"][0]["id"]}])
    assert await problem(client.post("/api/import", json=below)) == (422, "invalid_payload")


async def test_a_live_task_never_lands_inside_the_trash(client, ada):
    parent, child = str(uuid4()), str(uuid4())
    rows = [
        {"id": parent, "title": "in the trash", "deleted_at": "2026-11-01T00:00:00Z"},
        {"id": child, "title": "alive", "parent_id": parent},
    ]
    await imported(client, data_of(tasks=rows))
    await client.delete("/api/trash")
    assert (await client.get(f"/api/tasks/{child}")).json()["parent_id"] is None
    other = await make_task(client, "in the trash now")
    await client.delete(f"/api/tasks/{other['id']}")
    await imported(client, data_of(tasks=[{"id": str(uuid4()), "title": "alive too", "parent_id": other["id"]}]))
    await client.delete("/api/trash")
    assert await titles(client) == ["alive", "alive too"]


async def test_a_file_without_positions_keeps_its_order_and_of_one_id_the_first(client, ada):
    rows = [{"id": str(uuid4()), "title": title} for title in "cab"]
    await imported(client, data_of(tasks=[*rows, rows[0] | {"title": "again"}]))
    assert await titles(client) == ["c", "a", "b"]


async def test_a_file_with_one_wrong_value_changes_nothing(client, everything, bob, database):
    task = everything["tasks"][0]
    for wrong in (
        {"title": ""}, {"title": None}, {"title": "x" * 201}, {"id": "7"}, {"priority": "colossal"}, {"labels": "red"},
        {"due_date": "2026-02-30"}, {"timezone": "Mars"}, {"created_at": "2026-01-01T00:00:00"}, {"surprise": 1},
        {"deleted_at": 5}, {"completed_at": "yesterday"}, {"description": "nul \x00"},
    ):  # fmt: skip
        data = everything | {"tasks": [*everything["tasks"][1:], task | wrong]}
        assert await problem(client.post("/api/import", json=data, headers=bob.headers)) == (422, "invalid_payload"), (
            wrong
        )
    for body in (everything | {"format": "other/1"}, everything | {"users": []}, {}, []):
        assert await problem(client.post("/api/import", json=body, headers=bob.headers)) == (422, "invalid_payload")
    assert await newest(database, bob) == 0


async def test_five_thousand_tasks_are_streamed_and_imported(client, ada, bob, database):
    await database.execute(
        "INSERT INTO tasks (user_id, id, title) SELECT $1, gen_random_uuid(), 'task ' || n FROM generate_series(1, 5000) n",
        ada.id,
    )
    async with client.stream("GET", "/api/export") as response:
        assert "content-length" not in response.headers
        text = "".join([chunk async for chunk in response.aiter_text()])
    data = json.loads(text)
    assert len({task["id"] for task in data["tasks"]}) == 5000
    assert (await imported(client, data, bob.headers))["imported"]["tasks"] == 5000
    mine = await database.fetch("SELECT title FROM tasks WHERE user_id = $1 ORDER BY position", ada.id)
    his = await database.fetch("SELECT title FROM tasks WHERE user_id = $1 ORDER BY position", bob.id)
    assert his == mine
    lines = (await client.get("/api/export", params={"format": "csv"})).text.splitlines()
    assert len(lines) == 5001


async def test_a_csv_has_a_line_for_every_task_that_is_not_in_the_trash(client, everything):
    response = await client.get("/api/export", params={"format": "csv"})
    assert response.headers["content-type"].startswith("text/csv")
    assert response.headers["content-disposition"].endswith('.csv"')
    header, *rows = csv.reader(io.StringIO(response.text, newline=""), strict=True)
    assert header == HEADER
    by_title = {row[1]: dict(zip(header, row, strict=True)) for row in rows}
    assert set(by_title) == {"Top 🍒", "Below", "Timed"}
    top = by_title["Top 🍒"]
    assert (top["project"], top["labels"], top["priority"], top["completed"]) == (
        "Home",
        "Blau, ü, red",
        "urgent",
        "false",
    )
    assert by_title["Below"]["description"] == "line\nline"
    timed = by_title["Timed"]
    due = (timed["due_date"], timed["due_time"], timed["timezone"], timed["due_at"])
    assert due == ("2026-10-25", "02:30:00", "Europe/Berlin", "2026-10-25T00:30:00+00:00")


async def test_a_csv_quotes_what_it_must_and_disarms_formulas(client, ada):
    for title in ('say "hi", twice', "=1+1", "+1", "-1", "@SUM(A1)", "a=1"):
        await make_task(client, title, description="=HYPERLINK(A1)")
    text = (await client.get("/api/export", params={"format": "csv"})).text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["title"] for row in rows] == ['say "hi", twice', "'=1+1", "'+1", "'-1", "'@SUM(A1)", "a=1"]
    assert {row["description"] for row in rows} == {"'=HYPERLINK(A1)"}
    assert text.count("\r\n") == 7


async def test_an_export_holds_nothing_of_others(client, everything, bob):
    assert bare(await export(client, bob.headers)) == {"settings": None, "projects": [], "labels": [], "tasks": []}
    assert await problem(client.get("/api/export", params={"format": "xml"})) == (422, "invalid_payload")


async def test_a_child_may_come_a_thousand_rows_before_its_parent(client, ada, monkeypatch):
    monkeypatch.setattr("tandem.momentum.transfer.service.ROWS_AT_ONCE", 2)
    parent, child = str(uuid4()), str(uuid4())
    rows = [{"id": child, "title": "child", "parent_id": parent, "position": "1"}]
    rows += [{"id": str(uuid4()), "title": f"between {n}", "position": f"2{n}"} for n in range(5)]
    rows += [{"id": parent, "title": "parent", "position": "3"}]
    data = {"format": "tandem.momentum/1", "tasks": rows}
    assert (await imported(client, data))["imported"]["tasks"] == 7
    assert (await client.get(f"/api/tasks/{child}")).json()["parent_id"] == parent
    assert (await titles(client))[0] == "child"


@pytest.mark.parametrize(
    ("kind", "most", "code"), [("labels", 500, "too_many_labels"), ("projects", 1000, "too_many_projects")]
)
async def test_an_import_keeps_to_the_limits_of_an_account(client, ada, kind, most, code):
    rows = [{"id": str(uuid4()), "name": f"{kind} {n}"} for n in range(most)]
    await imported(client, {"format": "tandem.momentum/1", kind: rows})
    one_more = {"format": "tandem.momentum/1", kind: [{"id": str(uuid4()), "name": "one more"}]}
    refused = await client.post("/api/import", json=one_more)
    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert (await client.get(f"/api/{kind}")).json()["total"] == most

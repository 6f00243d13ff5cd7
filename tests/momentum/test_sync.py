"""The change log and GET /api/sync: every write is in it, in order, once, and a reader misses nothing."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tandem.momentum.tasks.service import purge_trash
from tests.momentum.making import make_label, make_project, make_task, problem


async def sync(client, since=0, **query):
    response = await client.get("/api/sync", params={"since": since, **query})
    assert response.status_code == 200, response.text
    return response.json()


async def news(client, since):
    """(entity, op) of what came after `since`, and the next `since`."""
    page = await sync(client, since)
    return [(c["entity"], c["op"]) for c in page["changes"]], page["next_since"]


@pytest.fixture
async def log(database, ada):
    """Ada's change log."""

    async def rows(after=0):
        sql = "SELECT * FROM changes WHERE user_id = $1 AND seq > $2 ORDER BY seq"
        return [
            dict(row) | {k: row[k] and json.loads(row[k]) for k in ("before", "after")}
            for row in await database.fetch(sql, ada.id, after)
        ]

    return rows


async def test_a_new_account_has_nothing_to_sync(client, ada):
    assert await sync(client) == {"changes": [], "next_since": 0, "has_more": False}


async def test_every_kind_of_write_appears(client, ada, database):
    seen = 0
    task, other = None, None

    async def wrote(*expected):
        nonlocal seen
        found, seen = await news(client, seen)
        assert found == list(expected)

    task = await make_task(client)
    await wrote(("task", "upsert"))
    url = f"/api/tasks/{task['id']}"
    for request in (
        client.patch(url, json={"title": "Other"}),
        client.put(url, json={"title": "Replaced"}),
        client.post(f"{url}/complete"),
        client.post(f"{url}/reopen"),
        client.post(f"{url}/move", json={}),
        client.delete(url),
        client.post(f"{url}/restore"),
    ):
        assert (await request).status_code < 300
        await wrote(("task", "upsert"))

    project = await make_project(client)
    await wrote(("project", "upsert"))
    await client.patch(url, json={"project_id": project["id"]})
    await wrote(("task", "upsert"))
    await client.delete(f"/api/projects/{project['id']}")
    await wrote(("task", "upsert"), ("project", "delete"))  # the foreign key's own update is one too

    label = await make_label(client)
    await client.patch(url, json={"labels": [label["id"]]})
    await wrote(("label", "upsert"), ("task", "upsert"))
    await client.delete(f"/api/labels/{label['id']}")
    await wrote(("task", "upsert"), ("label", "delete"))

    await client.patch("/api/settings", json={"timezone": "Asia/Tokyo"})
    await wrote(("settings", "upsert"))
    other = await make_task(client, "below", parent_id=task["id"])
    operations = [{"op": "complete", "id": task["id"]}, {"op": "delete", "id": other["id"]}]
    await client.post("/api/tasks/bulk", json={"operations": operations})
    await wrote(("task", "upsert"), ("task", "upsert"))
    await client.post("/api/tasks/bulk-delete", json={"task_ids": [task["id"]]})
    await wrote(("task", "upsert"))
    await client.delete("/api/trash")
    await wrote(("task", "delete"), ("task", "delete"))
    rows = [{"id": str(uuid4()), "title": "imported"}]
    await client.post("/api/import", json={"format": "tandem.momentum/1", "tasks": rows})
    await wrote(("task", "upsert"))
    await database.execute("UPDATE tasks SET deleted_at = now() - interval '31 days' WHERE user_id = $1", ada.id)
    await wrote(("task", "upsert"))
    assert await purge_trash(database) == 1
    await wrote(("task", "delete"))


async def test_what_is_synced_is_what_the_api_shows(client, ada):
    project, label = await make_project(client), await make_label(client)
    task = await make_task(
        client, project_id=project["id"], labels=[label["id"]], due_date="2026-12-24", due_time="09:00"
    )
    settings = (await client.patch("/api/settings", json={"week_start": "sunday"})).json()
    data = [change["data"] for change in (await sync(client))["changes"]]
    assert data == [project, label, task, settings]


async def test_an_entity_appears_once_where_its_latest_change_stands(client, ada):
    first, second = await make_task(client, "first"), await make_task(client, "second")
    for n in range(3):
        await client.patch(f"/api/tasks/{first['id']}", json={"title": f"first {n}"})
    page = await sync(client)
    assert [(c["id"], c["version"], c["data"]["title"]) for c in page["changes"]] == [
        (second["id"], 2, "second"),
        (first["id"], 5, "first 2"),
    ]
    assert (page["next_since"], page["has_more"]) == (5, False)
    assert (await sync(client, 5))["changes"] == []


async def test_a_client_in_the_trash_is_an_upsert_and_gone_for_good_a_deletion(client, ada):
    task = await make_task(client)
    await client.delete(f"/api/tasks/{task['id']}")
    (change,) = (await sync(client))["changes"]
    assert change["op"] == "upsert"
    assert change["data"]["deleted_at"] is not None
    await client.delete("/api/trash")
    (change,) = (await sync(client))["changes"]
    assert (change["op"], change["id"], change["data"], change["version"]) == ("delete", task["id"], None, 3)


async def test_an_id_that_is_made_again_after_its_deletion_ends_as_an_upsert(client, ada):
    task_id = str(uuid4())
    for _ in range(2):
        await make_task(client, id=task_id)
        await client.delete(f"/api/tasks/{task_id}")
        await client.delete("/api/trash")
    await make_task(client, id=task_id)
    changes = (await sync(client))["changes"]
    assert [c["op"] for c in changes] == ["delete", "delete", "upsert"]
    assert [c["version"] for c in changes] == [3, 6, 7]


async def test_pages_follow_each_other_without_a_gap(client, ada):
    tasks = [await make_task(client, str(n)) for n in range(7)]
    await client.delete(f"/api/tasks/{tasks[0]['id']}")
    await client.delete("/api/trash")
    for limit in (1, 2, 7, 1000):
        since, versions, more = 0, [], True
        while more:
            page = await sync(client, since, limit=limit)
            assert len(page["changes"]) <= limit
            assert page["has_more"] == (len(versions) + len(page["changes"]) < 7)
            versions += [c["version"] for c in page["changes"]]
            since, more = page["next_since"], page["has_more"]
        assert versions == [2, 3, 4, 5, 6, 7, 9]


async def test_a_place_that_the_log_never_had_asks_for_a_new_start(client, ada):
    task = await make_task(client)
    assert (await sync(client, task["version"]))["changes"] == []
    assert await problem(client.get("/api/sync", params={"since": task["version"] + 1})) == (410, "resync_required")
    for query in (
        {"since": "-1"},
        {"since": "x"},
        {"since": str(2**63)},
        {"limit": "0"},
        {"limit": "1001"},
        {"from": "1"},
    ):
        assert await problem(client.get("/api/sync", params=query)) == (422, "invalid_payload"), query


async def test_a_change_names_its_actor_and_its_time(client, ada, database):
    before = datetime.now(UTC)
    await make_task(client)
    made = (await client.post("/api/tokens", json={"name": "agent", "scopes": ["tasks:write"]})).json()
    by_token = {"Authorization": f"Bearer {made['token']}"}
    assert (await client.post("/api/tasks", json={"title": "x"}, headers=by_token)).status_code == 201
    await database.execute("UPDATE tasks SET title = 'by hand' WHERE title = 'x'")
    session = await database.fetchval('SELECT id FROM "session" WHERE "userId" = $1', ada.id)
    changes = (await sync(client))["changes"]
    assert [c["actor"] for c in changes] == [f"session:{session}", "system"]
    log = await database.fetch("SELECT actor FROM changes WHERE user_id = $1 ORDER BY seq", ada.id)
    assert [row["actor"] for row in log] == [f"session:{session}", f"token:{made['id']}", "system"]
    for change in changes:
        assert (
            before - timedelta(seconds=1)
            < datetime.fromisoformat(change["at"])
            < datetime.now(UTC) + timedelta(seconds=1)
        )


async def test_the_log_holds_the_fields_before_and_after(client, ada, log):
    task = await make_task(client, "old", description="kept")
    url = f"/api/tasks/{task['id']}"
    await client.patch(url, json={"title": "new", "priority": "high"})
    await client.delete(url)
    await client.delete("/api/trash")
    create, update, trash, delete = await log()
    assert [row["op"] for row in (create, update, trash, delete)] == ["create", "update", "update", "delete"]
    assert create["before"] is None
    assert (create["after"]["title"], create["after"]["description"]) == ("old", "kept")
    assert (update["before"], update["after"]) == (
        {"title": "old", "priority": "medium"},
        {"title": "new", "priority": "high"},
    )
    assert trash["before"] == {"deleted_at": None}
    assert delete["after"] is None
    assert (delete["before"]["title"], delete["before"]["description"]) == ("new", "kept")
    assert not {"user_id", "search", "version", "updated_at"} & set(create["after"])


async def test_no_write_goes_around_the_log(client, ada, database, log):
    task = await make_task(client, "through the API")
    await database.execute(
        "UPDATE tasks SET title = 'by hand', version = 99, updated_at = 'epoch' WHERE id = $1", task["id"]
    )
    after = (await client.get(f"/api/tasks/{task['id']}")).json()
    assert (after["title"], after["version"]) == ("by hand", 2)
    assert after["updated_at"] > task["updated_at"]
    await database.execute("UPDATE tasks SET title = title, version = 7 WHERE id = $1", task["id"])  # changes nothing
    await database.execute("INSERT INTO labels (user_id, id, name) VALUES ($1, gen_random_uuid(), 'by hand')", ada.id)
    await database.execute("DELETE FROM tasks WHERE id = $1", task["id"])
    rows = await log(after=1)
    assert [(r["seq"], r["entity"], r["op"]) for r in rows] == [
        (2, "task", "update"),
        (3, "label", "create"),
        (4, "task", "delete"),
    ]
    assert {r["actor"] for r in rows} == {"system"}


async def test_a_write_that_fails_leaves_no_number_behind(client, ada, log):
    await make_task(client)
    assert (await client.post("/api/tasks", json={"title": "x", "project_id": str(uuid4())})).status_code == 404
    operations = [
        {"op": "create", "data": {"title": "one"}},
        {"op": "create", "data": {"title": "lost", "labels": [str(uuid4())]}},
        {"op": "create", "data": {"title": "lost", "project_id": str(uuid4())}},
        {"op": "create", "data": {"title": "two"}},
    ]
    result = (await client.post("/api/tasks/bulk", json={"operations": operations})).json()
    assert [r["status"] for r in result["results"]] == [201, 404, 404, 201]
    assert [(r["seq"], r["after"]["title"]) for r in await log(after=1)] == [(2, "one"), (3, "two")]


async def test_each_user_has_numbers_of_their_own(client, ada, bob):
    await make_task(client)
    mine = (await client.post("/api/tasks", json={"title": "bob's"}, headers=bob.headers)).json()
    assert mine["version"] == 1
    page = (await client.get("/api/sync", headers=bob.headers)).json()
    assert [c["data"]["title"] for c in page["changes"]] == ["bob's"]


async def test_deleting_the_account_leaves_nothing(client, ada, bob, database):
    project, label = await make_project(client), await make_label(client)
    top = await make_task(client, project_id=project["id"], labels=[label["id"]])
    await make_task(client, parent_id=top["id"])
    await make_project(client, "inner", parent_id=project["id"])
    await client.patch("/api/settings", json={"timezone": "Asia/Tokyo"})
    await client.post("/api/tasks", json={"title": "bob's"}, headers=bob.headers)
    await database.execute('DELETE FROM "user" WHERE id = $1', ada.id)
    for table in ("tasks", "projects", "labels", "user_settings", "changes"):
        left = await database.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", ada.id)
        assert left == 0, table
    assert (await client.get("/api/tasks", headers=bob.headers)).json()["total"] == 1
    assert await problem(client.get("/api/sync")) == (401, "unauthorized")

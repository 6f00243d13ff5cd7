"""Tasks through the HTTP API: create, read, change, complete, delete."""

from uuid import UUID, uuid4

import pytest


@pytest.fixture
async def ada(client, sign_up):
    user = await sign_up()
    client.headers.update(user.headers)
    return user


async def make(client, title="Buy milk", **fields):
    response = await client.post("/api/tasks", json={"title": title, **fields})
    assert response.status_code == 201, response.text
    return response.json()


async def test_a_new_task_has_its_defaults_and_an_etag(client, ada):
    response = await client.post("/api/tasks", json={"title": "  Buy milk  "})
    task = response.json()
    assert response.status_code == 201
    assert response.headers["etag"] == f'"{task["version"]}"'
    assert UUID(task["id"]).version == 7
    kept = {k: task[k] for k in ("title", "description", "completed", "completed_at", "priority", "labels", "due_at")}
    assert kept == {
        "title": "Buy milk", "description": "", "completed": False, "completed_at": None,
        "priority": "medium", "labels": [], "due_at": None,
    }  # fmt: skip


async def test_a_task_is_read_back_as_it_was_answered(client, ada):
    task = await make(client, description="two **litres**", priority="HIGH", due_date="2026-12-24", due_time="09:30")
    response = await client.get(f"/api/tasks/{task['id']}")
    assert response.json() == task
    assert task["priority"] == "high"
    assert (task["due_date"], task["due_time"], task["timezone"]) == ("2026-12-24", "09:30:00", "UTC")
    assert task["due_at"] == "2026-12-24T09:30:00+00:00"


async def test_a_retried_create_with_the_clients_id_finds_the_first_task(client, ada):
    task_id = str(uuid4())
    first = await client.post("/api/tasks", json={"id": task_id, "title": "Once"})
    again = await client.post("/api/tasks", json={"id": task_id, "title": "Once"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert (await client.get("/api/tasks")).json()["total"] == 1


async def test_patch_touches_only_what_was_sent(client, ada):
    task = await make(client, description="keep me", priority="high", due_date="2026-12-24", due_time="08:00")
    patched = (await client.patch(f"/api/tasks/{task['id']}", json={"title": "New"})).json()
    changed = {k for k in task if task[k] != patched[k]}
    assert changed == {"title", "version", "updated_at"}


async def test_patch_null_clears(client, ada):
    task = await make(client, description="gone", priority="high", due_date="2026-12-24", due_time="08:00")
    patched = (await client.patch(f"/api/tasks/{task['id']}", json={"due_date": None, "description": None})).json()
    assert (patched["due_date"], patched["due_time"], patched["due_at"], patched["description"]) == (
        None,
        None,
        None,
        "",
    )
    assert patched["priority"] == "high"


async def test_put_replaces_what_it_does_not_name(client, ada):
    task = await make(client, description="gone", priority="high")
    replaced = (await client.put(f"/api/tasks/{task['id']}", json={"title": "Only this"})).json()
    assert (replaced["title"], replaced["description"], replaced["priority"]) == ("Only this", "", "medium")


async def test_a_change_to_an_older_version_is_refused(client, ada):
    task = await make(client)
    url = f"/api/tasks/{task['id']}"
    mine = {"If-Match": f'"{task["version"]}"'}
    assert (await client.patch(url, json={"title": "A"}, headers=mine)).status_code == 200
    late = await client.patch(url, json={"title": "B"}, headers=mine)
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    assert (await client.get(url)).json()["title"] == "A"


async def test_an_unchanged_task_is_a_304(client, ada):
    task = await make(client)
    response = await client.get(f"/api/tasks/{task['id']}", headers={"If-None-Match": f'"{task["version"]}"'})
    assert (response.status_code, response.content) == (304, b"")


async def test_writing_what_is_already_there_makes_no_new_version(client, ada):
    task = await make(client, "Same")
    again = await client.patch(f"/api/tasks/{task['id']}", json={"title": "Same"})
    assert again.json() == task


async def test_completing_twice_keeps_the_first_moment(client, ada):
    task = await make(client)
    done = (await client.post(f"/api/tasks/{task['id']}/complete")).json()
    again = (await client.post(f"/api/tasks/{task['id']}/complete")).json()
    assert done["completed"] is True
    assert again == done
    reopened = (await client.post(f"/api/tasks/{task['id']}/reopen")).json()
    assert (reopened["completed"], reopened["completed_at"]) == (False, None)


async def test_a_deleted_task_can_be_restored_with_its_subtasks(client, ada):
    parent = await make(client, "Parent")
    child = await make(client, "Child", parent_id=parent["id"])
    assert (await client.delete(f"/api/tasks/{parent['id']}")).status_code == 204
    assert (await client.get(f"/api/tasks/{child['id']}")).status_code == 404
    assert {t["title"] for t in (await client.get("/api/trash")).json()["items"]} == {"Parent", "Child"}
    assert (await client.post(f"/api/tasks/{parent['id']}/restore")).status_code == 200
    assert (await client.get(f"/api/tasks/{child['id']}")).json()["parent_id"] == parent["id"]


async def test_a_subtask_restored_alone_leaves_its_deleted_parent(client, ada):
    parent = await make(client, "Parent")
    child = await make(client, "Child", parent_id=parent["id"])
    await client.delete(f"/api/tasks/{parent['id']}")
    restored = (await client.post(f"/api/tasks/{child['id']}/restore")).json()
    assert (restored["parent_id"], restored["deleted_at"]) == (None, None)


async def test_subtasks_go_five_levels_deep(client, ada):
    parent = None
    for level in range(5):
        parent = (await make(client, f"Level {level}", parent_id=parent))["id"]
    sixth = await client.post("/api/tasks", json={"title": "Level 6", "parent_id": parent})
    assert (sixth.status_code, sixth.json()["code"]) == (409, "too_deep")


async def test_a_task_cannot_be_inside_itself(client, ada):
    top = await make(client, "Top")
    below = await make(client, "Below", parent_id=top["id"])
    circle = await client.patch(f"/api/tasks/{top['id']}", json={"parent_id": below["id"]})
    assert (circle.status_code, circle.json()["code"]) == (409, "circular_parent")


async def test_a_subtask_follows_its_parent_to_another_project(client, ada):
    project = (await client.post("/api/projects", json={"name": "Home"})).json()
    top = await make(client, "Top")
    below = await make(client, "Below", parent_id=top["id"])
    moved = await client.post(f"/api/tasks/{top['id']}/move", json={"project_id": project["id"]})
    assert moved.json()["project_id"] == project["id"]
    assert (await client.get(f"/api/tasks/{below['id']}")).json()["project_id"] == project["id"]


async def test_moving_puts_a_task_before_or_after_another(client, ada):
    a, b, c = [await make(client, title) for title in "ABC"]
    await client.post(f"/api/tasks/{c['id']}/move", json={"before": a["id"]})
    await client.post(f"/api/tasks/{a['id']}/move", json={"after": b["id"]})
    titles = [t["title"] for t in (await client.get("/api/tasks")).json()["items"]]
    assert titles == ["C", "B", "A"]
    await client.post(f"/api/tasks/{c['id']}/move", json={})
    assert [t["title"] for t in (await client.get("/api/tasks")).json()["items"]] == ["B", "A", "C"]


async def test_inserting_at_one_spot_forever_never_breaks_the_order(client, ada, monkeypatch):
    monkeypatch.setattr("tandem.momentum.ordering.MAX_LENGTH", 20)  # reached after some forty moves, not a thousand
    first = await make(client, "first")
    moving = [await make(client, str(n)) for n in range(2)]
    lengths = []
    for n in range(120):
        response = await client.post(f"/api/tasks/{moving[n % 2]['id']}/move", json={"after": first["id"]})
        assert response.status_code == 200, response.text
        lengths.append(len(response.json()["position"]))
    assert max(lengths) == 20
    assert lengths.count(13) > 1, "it never had to renumber"
    order = [t["title"] for t in (await client.get("/api/tasks")).json()["items"]]
    assert order == ["first", "1", "0"]


async def test_an_unknown_project_label_or_parent_is_a_404_and_changes_nothing(client, ada):
    for field, value in (("project_id", str(uuid4())), ("labels", [str(uuid4())]), ("parent_id", str(uuid4()))):
        response = await client.post("/api/tasks", json={"title": "x", field: value})
        assert response.status_code == 404, (field, response.text)
    assert (await client.get("/api/tasks")).json()["total"] == 0


async def test_bulk_operations_succeed_and_fail_one_by_one(client, ada):
    task = await make(client)
    operations = [
        {"op": "create", "data": {"title": "New"}},
        {"op": "complete", "id": task["id"]},
        {"op": "update", "id": str(uuid4()), "data": {"title": "Nobody's"}},
        {"op": "create", "data": {"title": "Lost", "project_id": str(uuid4())}},
        {"op": "update", "id": task["id"], "data": {"title": "Stale"}, "if_match": task["version"]},
        {"op": "move", "id": task["id"], "data": {}},
        {"op": "delete", "id": task["id"]},
    ]
    result = (await client.post("/api/tasks/bulk", json={"operations": operations})).json()
    assert [r["status"] for r in result["results"]] == [201, 200, 404, 404, 412, 200, 204]
    assert (result["succeeded"], result["failed"]) == (4, 3)
    assert [t["title"] for t in (await client.get("/api/tasks")).json()["items"]] == ["New"]


async def test_bulk_delete_names_what_it_did_not_find(client, ada):
    tasks = [await make(client, str(n)) for n in range(3)]
    missing = str(uuid4())
    ids = [t["id"] for t in tasks[:2]] + [missing]
    result = (await client.post("/api/tasks/bulk-delete", json={"task_ids": ids})).json()
    assert result == {"deleted": 2, "not_found": [missing]}
    assert (await client.get("/api/tasks")).json()["total"] == 1


async def test_emptying_the_trash_is_for_good(client, ada):
    task = await make(client)
    await client.delete(f"/api/tasks/{task['id']}")
    assert (await client.delete("/api/trash")).status_code == 204
    assert (await client.get("/api/trash")).json()["total"] == 0
    assert (await client.post(f"/api/tasks/{task['id']}/restore")).status_code == 404


async def test_a_task_restored_to_a_place_taken_meanwhile_goes_to_the_end(client, ada):
    first, _, gone, other = [await make(client, title) for title in ("first", "second", "gone", "other")]
    await client.post(f"/api/tasks/{gone['id']}/move", json={"after": first["id"]})
    await client.delete(f"/api/tasks/{gone['id']}")
    await client.post(f"/api/tasks/{other['id']}/move", json={"after": first["id"]})
    await client.post(f"/api/tasks/{gone['id']}/restore")
    tasks = (await client.get("/api/tasks")).json()["items"]
    assert [t["title"] for t in tasks] == ["first", "other", "second", "gone"]
    assert len({t["position"] for t in tasks}) == 4

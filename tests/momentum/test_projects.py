"""Projects: nesting, order, archive, deletion."""

from uuid import uuid4

from tests.momentum.making import make_project, make_task, problem, titles


async def names(client, **query):
    return [p["name"] for p in (await client.get("/api/projects", params=query)).json()["items"]]


async def test_a_project_is_read_back_as_it_was_answered(client, ada):
    made = await client.post("/api/projects", json={"name": " Home ", "color": "#1971c2", "description": "ours"})
    project = made.json()
    read = await client.get(f"/api/projects/{project['id']}")
    assert (made.status_code, read.json()) == (201, project)
    assert made.headers["etag"] == read.headers["etag"] == f'"{project["version"]}"'
    unchanged = await client.get(f"/api/projects/{project['id']}", headers={"If-None-Match": read.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    await client.patch(f"/api/projects/{project['id']}", json={"description": "yours"})
    changed = await client.get(f"/api/projects/{project['id']}", headers={"If-None-Match": read.headers["etag"]})
    assert (changed.status_code, changed.json()["description"]) == (200, "yours")
    assert (project["name"], project["color"], project["archived"], project["parent_id"]) == (
        "Home",
        "#1971c2",
        False,
        None,
    )


async def test_a_retried_create_finds_the_first_project(client, ada):
    body = {"id": str(uuid4()), "name": "Once"}
    first, again = [await client.post("/api/projects", json=body) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert await names(client) == ["Once"]


async def test_bad_values_are_refused_and_change_nothing(client, ada):
    project = await make_project(client, "Kept")
    for body in ({}, {"name": None}, {"name": ""}, {"name": "x" * 101}, {"color": "red"}, {"color": "#12345"},
                 {"parent_id": 7}, {"archived": "yes"}, {"archived": None}, {"position": "V"}, {"version": 1}):  # fmt: skip
        assert await problem(client.patch(f"/api/projects/{project['id']}", json=body)) == (422, "invalid_payload"), (
            body
        )
    assert (await client.get(f"/api/projects/{project['id']}")).json() == project
    assert await problem(client.post("/api/projects", json={"color": "#123456"})) == (422, "invalid_payload")


async def test_projects_nest_five_levels_deep(client, ada):
    parent = None
    line = []
    for level in range(5):
        parent = (await make_project(client, f"Level {level}", parent_id=parent))["id"]
        line.append(parent)
    assert await problem(client.post("/api/projects", json={"name": "6", "parent_id": parent})) == (
        409,
        "project_too_deep",
    )
    other = await make_project(client, "Other")
    await make_project(client, "Inside other", parent_id=other["id"])
    url = f"/api/projects/{other['id']}"
    assert await problem(client.patch(url, json={"parent_id": line[3]})) == (409, "project_too_deep")
    assert (await client.patch(url, json={"parent_id": line[2]})).status_code == 200


async def test_a_project_cannot_be_inside_itself(client, ada):
    top = await make_project(client, "Top")
    middle = await make_project(client, "Middle", parent_id=top["id"])
    low = await make_project(client, "Low", parent_id=middle["id"])
    for parent in (top, middle, low):
        response = client.patch(f"/api/projects/{top['id']}", json={"parent_id": parent["id"]})
        assert await problem(response) == (409, "circular_project")


async def test_a_project_moves_to_the_top_with_null(client, ada):
    top = await make_project(client, "Top")
    below = await make_project(client, "Below", parent_id=top["id"], color="#123456")
    moved = (await client.patch(f"/api/projects/{below['id']}", json={"parent_id": None})).json()
    assert (moved["parent_id"], moved["color"], moved["name"]) == (None, "#123456", "Below")


async def test_an_unknown_parent_is_a_404(client, ada, bob):
    others = await client.post("/api/projects", json={"name": "Bob's"}, headers=bob.headers)
    for parent in (str(uuid4()), others.json()["id"]):
        assert await problem(client.post("/api/projects", json={"name": "x", "parent_id": parent})) == (
            404,
            "not_found",
        )
    assert await names(client) == []


async def test_moving_puts_a_project_before_or_after_another(client, ada):
    a, b, c = [await make_project(client, name) for name in "ABC"]
    await client.post(f"/api/projects/{c['id']}/move", json={"before": a["id"]})
    await client.post(f"/api/projects/{a['id']}/move", json={"after": b["id"]})
    assert await names(client) == ["C", "B", "A"]
    await client.post(f"/api/projects/{c['id']}/move", json={})
    assert await names(client) == ["B", "A", "C"]
    url = f"/api/projects/{a['id']}/move"
    assert await problem(client.post(url, json={"before": b["id"], "after": c["id"]})) == (422, "invalid_payload")
    assert await problem(client.post(url, json={"before": a["id"]})) == (409, "conflict")
    assert await problem(client.post(url, json={"before": str(uuid4())})) == (404, "not_found")


async def test_archiving_hides_a_project_and_keeps_its_tasks(client, ada):
    project = await make_project(client)
    await make_project(client, "Other")
    await make_task(client, "inside", project_id=project["id"])
    url = f"/api/projects/{project['id']}"
    archived = (await client.patch(url, json={"archived": True})).json()
    again = (await client.patch(url, json={"archived": True})).json()
    assert archived["archived"] is True
    assert again == archived  # the first moment stays
    assert await names(client, archived="false") == ["Other"]
    assert await names(client, archived="true") == ["Home"]
    assert await titles(client, project=project["id"]) == ["inside"]
    assert (await client.patch(url, json={"archived": False})).json()["archived_at"] is None


async def test_deleting_a_project_keeps_its_tasks_and_lifts_the_projects_inside(client, ada):
    top = await make_project(client, "Top")
    middle = await make_project(client, "Middle", parent_id=top["id"])
    low = await make_project(client, "Low", parent_id=middle["id"])
    task = await make_task(client, "kept", project_id=middle["id"])
    assert (await client.delete(f"/api/projects/{middle['id']}")).status_code == 204
    assert (await client.get(f"/api/projects/{low['id']}")).json()["parent_id"] == top["id"]
    kept = (await client.get(f"/api/tasks/{task['id']}")).json()
    assert kept["project_id"] is None
    assert kept["version"] > task["version"]
    assert await problem(client.delete(f"/api/projects/{middle['id']}")) == (404, "not_found")


async def test_deleting_a_project_can_take_its_tasks_to_the_trash(client, ada):
    project = await make_project(client)
    parent = await make_task(client, "inside", project_id=project["id"])
    await make_task(client, "below", parent_id=parent["id"])
    await make_task(client, "outside")
    assert (await client.delete(f"/api/projects/{project['id']}", params={"tasks": "trash"})).status_code == 204
    assert await titles(client) == ["outside"]
    restored = (await client.post(f"/api/tasks/{parent['id']}/restore")).json()
    assert restored["project_id"] is None
    assert set(await titles(client)) == {"inside", "below", "outside"}
    response = client.delete(f"/api/projects/{project['id']}", params={"tasks": "burn"})
    assert await problem(response) == (422, "invalid_payload")


async def test_every_change_to_a_project_can_depend_on_its_version(client, ada):
    project = await make_project(client)
    url = f"/api/projects/{project['id']}"
    stale = {"If-Match": f'"{project["version"]}"'}
    assert (await client.patch(url, json={"name": "New"}, headers=stale)).status_code == 200
    for request in (
        client.patch(url, json={"name": "Late"}, headers=stale),
        client.post(f"{url}/move", json={}, headers=stale),
        client.delete(url, headers=stale),
    ):
        assert await problem(request) == (412, "precondition_failed")
    assert await names(client) == ["New"]
    assert (await client.delete(url, headers={"If-Match": "*"})).status_code == 204


async def test_a_subtask_stays_in_its_parents_project(client, ada):
    home, work = await make_project(client, "Home"), await make_project(client, "Work")
    parent = await make_task(client, "Parent", project_id=home["id"])
    child = await make_task(client, "Child", parent_id=parent["id"])
    url = f"/api/tasks/{child['id']}"
    assert child["project_id"] == home["id"]
    for wanted in (work["id"], None):
        assert await problem(client.patch(url, json={"project_id": wanted})) == (409, "project_of_parent")
        assert await problem(client.post(f"{url}/move", json={"project_id": wanted})) == (409, "project_of_parent")
    replaced = await client.put(url, json={"title": "Child", "parent_id": parent["id"]})
    assert replaced.json()["project_id"] == home["id"]
    freed = (await client.patch(url, json={"parent_id": None, "project_id": work["id"]})).json()
    assert (freed["parent_id"], freed["project_id"]) == (None, work["id"])


async def test_a_user_has_a_thousand_projects_at_most(client, ada, database):
    await database.execute(
        "INSERT INTO projects (user_id, id, name) SELECT $1, gen_random_uuid(), n FROM generate_series(1, 999) n",
        ada.id,
    )
    await make_project(client, "the last")
    assert await problem(client.post("/api/projects", json={"name": "one more"})) == (409, "too_many_projects")

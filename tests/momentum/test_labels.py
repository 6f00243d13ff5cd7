"""Labels: unique names, deletion from tasks, limits."""

from uuid import uuid4

from tests.momentum.making import make_label, make_task, problem


async def names(client):
    return [label["name"] for label in (await client.get("/api/labels")).json()["items"]]


async def test_labels_are_listed_by_name_whatever_the_case(client, ada):
    for name in ("errand", "Call", "b"):
        await make_label(client, name)
    response = await client.get("/api/labels")
    assert [label["name"] for label in response.json()["items"]] == ["b", "Call", "errand"]
    assert response.headers["x-total-count"] == "3"
    second = (await client.get("/api/labels", params={"limit": 1, "page": 2})).json()
    assert ([label["name"] for label in second["items"]], second["pages"]) == (["Call"], 3)


async def test_a_name_is_unique_whatever_its_case_and_its_blanks(client, ada, bob):
    await make_label(client, "Errand")
    other = await make_label(client, "other")
    for name in ("Errand", "errand", " ERRAND "):
        assert await problem(client.post("/api/labels", json={"name": name})) == (409, "label_exists")
        assert await problem(client.patch(f"/api/labels/{other['id']}", json={"name": name})) == (409, "label_exists")
    same = await client.patch(f"/api/labels/{other['id']}", json={"name": "OTHER"})
    assert same.json()["name"] == "OTHER"
    assert (await client.post("/api/labels", json={"name": "Errand"}, headers=bob.headers)).status_code == 201


async def test_a_retried_create_finds_the_first_label(client, ada):
    body = {"id": str(uuid4()), "name": "once"}
    first, again = [await client.post("/api/labels", json=body) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()


async def test_an_unchanged_label_is_a_304(client, ada):
    label = await make_label(client, "same")
    url, mine = f"/api/labels/{label['id']}", {"If-None-Match": f'"{label["version"]}"'}
    assert (await client.get(url, headers=mine)).status_code == 304
    await client.patch(url, json={"name": "other"})
    assert (await client.get(url, headers=mine)).json()["name"] == "other"


async def test_patch_touches_only_what_was_sent_and_null_clears_the_colour(client, ada):
    label = await make_label(client, "errand", color="#e8590c")
    url = f"/api/labels/{label['id']}"
    assert (await client.patch(url, json={"name": "errands"})).json()["color"] == "#e8590c"
    cleared = (await client.patch(url, json={"color": None})).json()
    assert (cleared["name"], cleared["color"]) == ("errands", None)
    assert (await client.get(url)).json() == cleared
    for body in ({}, {"name": ""}, {"name": None}, {"color": "orange"}, {"tasks": []}):
        assert await problem(client.patch(url, json=body)) == (422, "invalid_payload"), body


async def test_deleting_a_label_takes_it_off_every_task(client, ada):
    gone, kept = await make_label(client), await make_label(client)
    both = await make_task(client, "both", labels=[gone["id"], kept["id"]])
    in_trash = await make_task(client, "in trash", labels=[gone["id"]])
    without = await make_task(client, "without", labels=[kept["id"]])
    await client.delete(f"/api/tasks/{in_trash['id']}")
    assert (await client.delete(f"/api/labels/{gone['id']}")).status_code == 204
    after = (await client.get(f"/api/tasks/{both['id']}")).json()
    assert after["labels"] == [kept["id"]]
    assert after["version"] > both["version"]
    assert (await client.get(f"/api/tasks/{without['id']}")).json() == without
    restored = (await client.post(f"/api/tasks/{in_trash['id']}/restore")).json()
    assert restored["labels"] == []
    assert await problem(client.get(f"/api/labels/{gone['id']}")) == (404, "not_found")


async def test_every_change_to_a_label_can_depend_on_its_version(client, ada):
    label = await make_label(client, "old")
    url = f"/api/labels/{label['id']}"
    stale = {"If-Match": f'"{label["version"]}"'}
    assert (await client.patch(url, json={"name": "new"}, headers=stale)).status_code == 200
    assert await problem(client.patch(url, json={"name": "late"}, headers=stale)) == (412, "precondition_failed")
    assert await problem(client.delete(url, headers=stale)) == (412, "precondition_failed")
    assert await names(client) == ["new"]


async def test_a_task_carries_each_label_once_and_fifty_at_most(client, ada, database):
    label = await make_label(client)
    task = await make_task(client, labels=[label["id"], label["id"].upper()])
    assert task["labels"] == [label["id"]]
    many = [str(uuid4()) for _ in range(51)]
    assert await problem(client.post("/api/tasks", json={"title": "x", "labels": many})) == (422, "invalid_payload")
    await database.execute(
        "INSERT INTO labels (user_id, id, name) SELECT $1, i, i::text FROM unnest($2::uuid[]) i", ada.id, many
    )
    assert len((await make_task(client, labels=many[:50]))["labels"]) == 50


async def test_the_labels_of_others_cannot_be_used(client, ada, bob):
    others = (await client.post("/api/labels", json={"name": "bob's"}, headers=bob.headers)).json()
    assert await problem(client.post("/api/tasks", json={"title": "x", "labels": [others["id"]]})) == (404, "not_found")
    task = await make_task(client)
    response = client.patch(f"/api/tasks/{task['id']}", json={"labels": [others["id"]]})
    assert await problem(response) == (404, "not_found")
    assert (await client.get("/api/tasks", params={"label": others["id"]})).json()["total"] == 0


async def test_a_user_has_five_hundred_labels_at_most(client, ada, database):
    await database.execute(
        "INSERT INTO labels (user_id, id, name) SELECT $1, gen_random_uuid(), n FROM generate_series(1, 499) n", ada.id
    )
    last = await make_label(client, "the last")
    assert await problem(client.post("/api/labels", json={"name": "one more"})) == (409, "too_many_labels")
    assert (await client.delete(f"/api/labels/{last['id']}")).status_code == 204
    await make_label(client, "one more")

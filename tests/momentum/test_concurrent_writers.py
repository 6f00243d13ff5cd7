"""Many clients of one user at once, over real connections: nothing is missed, nothing deadlocks, nothing is left behind."""

import asyncio
import json
import random
import sys
from collections import Counter
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2
import pytest

from tests.builders import SECRET
from tests.servers import RunningServer, clean_environment, free_port

WRITERS = 8
TABLES = {"task": "tasks", "project": "projects", "label": "labels", "settings": "user_settings"}
dice = random.Random(20261122)  # noqa: S311 - no secret is made of it
HIDDEN = {"user_id", "version", "created_at", "updated_at", "search"}


@pytest.fixture
def server(database_url, tmp_path):
    """A server process with a database connection for every client."""
    port = free_port()
    environment = clean_environment(
        DATABASE_URL=database_url,
        SESSION_HASH_SECRET=SECRET,
        RATE_LIMIT="1000000/minute",
        SQLALCHEMY_POOL_SIZE="14",
        LOG_LEVEL="warning",
    )
    command = [sys.executable, "-m", "tandem", "serve", "momentum", "--port", str(port)]
    with RunningServer(command, port, environment, tmp_path) as server:
        yield server


@asynccontextmanager
async def calling(server, user):
    async with httpx2.AsyncClient(base_url=server.url, headers=user.headers, timeout=60) as client:
        yield client


async def changes_of(database, user):
    rows = await database.fetch("SELECT * FROM changes WHERE user_id = $1 ORDER BY seq", user.id)
    return [dict(row) | {k: json.loads(row[k] or "null") for k in ("before", "after")} for row in rows]


async def require_a_log_that_explains_everything(database, user):
    """Numbers without a gap, each `before` what stood there, and all together the tables as they are."""
    state = {}
    log = await changes_of(database, user)
    assert [row["seq"] for row in log] == list(range(1, len(log) + 1))
    for row in log:
        entity = (row["entity"], row["entity_id"])
        there = state.get(entity)
        if row["op"] == "create":
            assert there is None
            state[entity] = row["after"]
        elif row["op"] == "delete":
            assert state.pop(entity) == row["before"]
        else:
            assert row["before"] == {k: there[k] for k in row["before"]}
            state[entity] = there | row["after"]
    for entity, table in TABLES.items():
        rows = await database.fetch(f"SELECT to_jsonb(t)::text AS row FROM {table} t WHERE user_id = $1", user.id)
        found = [json.loads(row["row"]) for row in rows]
        actual = {row.get("id", "settings"): {k: v for k, v in row.items() if k not in HIDDEN} for row in found}
        assert actual == {entity_id: data for (kind, entity_id), data in state.items() if kind == entity}
        latest = {row["entity_id"]: row["seq"] for row in log if row["entity"] == entity}
        assert all(row["version"] == latest[row.get("id", "settings")] for row in found)


class Reader:
    """A front end that keeps a copy by asking for what is new, and notes every number it was given."""

    def __init__(self, client, limit):
        self.client, self.limit = client, limit
        self.since, self.copy, self.seen = 0, {}, []

    async def page(self):
        response = await self.client.get("/api/sync", params={"since": self.since, "limit": self.limit})
        assert response.status_code == 200, response.text
        page = response.json()
        versions = [change["version"] for change in page["changes"]]
        assert versions == sorted(set(versions))
        assert all(version > self.since for version in versions)
        assert page["next_since"] == (versions[-1] if versions else self.since)
        for change in page["changes"]:
            self.copy[change["entity"], change["id"]] = change["data"]
        self.seen += versions
        self.since = page["next_since"]
        return page["has_more"] or bool(versions)

    async def read_until(self, done):
        while not done.is_set():
            await self.page()
        while await self.page():
            pass


async def write(client, number, versions):
    """Half of the writers only create: what they made never changes again, so each number must reach every reader."""
    mine = []
    for n in range(40):
        if number % 2 or not mine:
            response = await client.post("/api/tasks", json={"title": f"{number}.{n}"})
        else:
            response = await client.patch(f"/api/tasks/{dice.choice(mine)}", json={"title": f"{number}.{n}"})
        assert response.status_code in {200, 201}, response.text
        if not number % 2:
            mine.append(response.json()["id"])
        versions.append(response.json()["version"])


async def test_no_reader_misses_a_change_of_eight_concurrent_writers(server, sign_up, database):
    user = await sign_up()
    versions, done = [], asyncio.Event()
    async with calling(server, user) as client:
        readers = [Reader(client, limit) for limit in (3, 50, 1000)]
        reading = [asyncio.create_task(reader.read_until(done)) for reader in readers]
        await asyncio.gather(*(write(client, number, versions) for number in range(WRITERS)))
        done.set()
        await asyncio.gather(*reading)
        everything = Reader(client, 1000)
        await everything.page()
    assert sorted(versions) == list(range(1, WRITERS * 40 + 1))
    for reader in readers:
        assert reader.copy == everything.copy
        assert set(everything.seen) <= set(reader.seen)
        assert len(reader.seen) == len(set(reader.seen))
    assert len(readers[1].seen) > len(everything.seen)  # it did read while others wrote
    await require_a_log_that_explains_everything(database, user)


class Chaos:
    """Requests drawn at random over one user's tasks, projects and labels, some of them long gone."""

    def __init__(self, client):
        self.client = client
        self.ids = {"tasks": [], "projects": [], "labels": []}
        self.statuses = Counter()

    def any(self, kind):
        return dice.choice(self.ids[kind]) if self.ids[kind] else str(uuid4())

    async def send(self, method, path, body=None, **params):
        response = await self.client.request(method, f"/api/{path}", json=body, params=params)
        self.statuses[response.status_code] += 1
        assert response.status_code < 500, (method, path, body, response.text)
        return response

    async def make(self, kind, body):
        response = await self.send("POST", kind, body)
        if response.status_code == 201:
            self.ids[kind].append(response.json()["id"])

    async def make_task(self):
        task = {"title": "x", "labels": [self.any("labels")] if self.ids["labels"] else []}
        parent = {"parent_id": self.any("tasks")} if dice.random() < 0.4 else {}
        await self.make("tasks", task | parent)

    async def bulk(self):
        kinds = ("complete", "reopen", "delete", "restore", "move")
        operations = []
        for _ in range(8):
            op = dice.choice(kinds)
            operation = {"op": op, "id": self.any("tasks")}
            operations.append(operation | ({"data": {"after": self.any("tasks")}} if op == "move" else {}))
        await self.send("POST", "tasks/bulk", {"operations": operations})

    async def one(self):
        task = f"tasks/{self.any('tasks')}"
        tasks = [self.any("tasks") for _ in range(5)]
        choices = [
            (8, self.make_task),
            (2, lambda: self.make("projects", {"name": "p"})),
            (2, lambda: self.make("labels", {"name": str(uuid4())})),
            (4, lambda: self.send("PATCH", task, {"title": "y", "labels": [self.any("labels")]})),
            (3, lambda: self.send("PATCH", task, {"parent_id": self.any("tasks")})),
            (3, lambda: self.send("POST", f"{task}/move", {"before": self.any("tasks")})),
            (3, lambda: self.send("POST", f"{task}/move", {"project_id": self.any("projects"), "parent_id": None})),
            (2, lambda: self.send("DELETE", task)),
            (2, lambda: self.send("POST", f"{task}/restore")),
            (3, self.bulk),
            (2, lambda: self.send("POST", "tasks/bulk-delete", {"task_ids": tasks})),
            (2, lambda: self.send("DELETE", f"labels/{self.any('labels')}")),
            (
                1,
                lambda: self.send("DELETE", f"projects/{self.any('projects')}", tasks=dice.choice(["keep", "trash"])),
            ),
            (1, lambda: self.send("DELETE", "trash")),
            (1, lambda: self.send("PATCH", "settings", {"week_start": dice.choice(["monday", "sunday"])})),
            (1, self.import_tasks),
            (2, lambda: self.send("GET", "tasks", search="x", sort="title")),
        ]
        weights, actions = zip(*choices, strict=True)
        await dice.choices(actions, weights)[0]()

    async def import_tasks(self):
        rows = [{"id": str(uuid4()), "title": "imported", "parent_id": self.any("tasks")} for _ in range(3)]
        await self.send("POST", "import", {"format": "tandem.momentum/1", "tasks": rows})


async def test_mixed_writes_neither_deadlock_nor_leave_the_log(server, sign_up, database):
    user = await sign_up()

    async def work(chaos):
        for _ in range(60):
            await chaos.one()

    async with calling(server, user) as client:
        chaos = Chaos(client)
        await asyncio.gather(*(work(chaos) for _ in range(WRITERS)))
        assert chaos.statuses[200] + chaos.statuses[201] + chaos.statuses[204] > 200, chaos.statuses
        reader = Reader(client, 100)
        while await reader.page():
            pass
    await require_a_log_that_explains_everything(database, user)
    for entity, table in TABLES.items():
        rows = await database.fetch(f"SELECT to_jsonb(t) ->> 'id' AS id FROM {table} t WHERE user_id = $1", user.id)
        there = {(entity, row["id"] or "settings") for row in rows}
        assert {key for key, data in reader.copy.items() if key[0] == entity and data is not None} == there
    alive_in_trash = """SELECT count(*) FROM tasks t JOIN tasks p ON p.user_id = t.user_id AND p.id = t.parent_id
                         WHERE t.deleted_at IS NULL AND p.deleted_at IS NOT NULL"""
    assert await database.fetchval(alive_in_trash) == 0


async def test_an_account_can_be_deleted_while_its_clients_write(server, sign_up, database):
    statuses = Counter()

    async def work(client, tasks):
        while True:
            made = await client.post("/api/tasks", json={"title": "x"})
            patched = await client.patch(f"/api/tasks/{dice.choice(tasks)}", json={"title": str(uuid4())})
            bulk = [{"op": "update", "id": task, "data": {"title": str(uuid4())}} for task in tasks[:5]]
            changed = await client.post("/api/tasks/bulk", json={"operations": bulk})
            answers = [r.status_code for r in (made, patched, changed)]
            statuses.update(answers)
            if made.status_code == 401:
                return

    for _ in range(4):
        user = await sign_up()
        async with calling(server, user) as client:
            tasks = [(await client.post("/api/tasks", json={"title": str(n)})).json()["id"] for n in range(10)]
            working = [asyncio.create_task(work(client, tasks)) for _ in range(WRITERS)]
            await asyncio.sleep(0.2)
            await database.execute('DELETE FROM "user" WHERE id = $1', user.id)
            await asyncio.gather(*working)
        for table in (*TABLES.values(), "changes"):
            assert await database.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", user.id) == 0
    assert set(statuses) <= {200, 201, 401, 404}, statuses
    assert statuses[201] > 20

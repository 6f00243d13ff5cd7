"""What a request costs in round trips: every statement that reaches Postgres is counted on the pooled connections."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import event

from tests.momentum.making import make_label, make_task

SESSION = 'SELECT id, "userId"'


@pytest.fixture
def statements(app, client):
    """`async with statements() as seen:` collects the statements of all pooled connections."""
    seen: list[str] = []
    logged = set()

    def log(record):
        seen.append(" ".join(record.query.split()))

    @event.listens_for(app.state.database.engine, "checkout")
    def watch(dbapi_connection, record, proxy):
        if id(dbapi_connection) not in logged:
            logged.add(id(dbapi_connection))
            dbapi_connection.driver_connection.add_query_logger(log)

    @asynccontextmanager
    async def collect():
        await asyncio.sleep(0)  # asyncpg calls its loggers from the event loop
        seen.clear()
        yield seen
        await asyncio.sleep(0)

    return collect


async def kinds(statements, request):
    """The first words of every statement that the request costs."""
    async with statements() as seen:
        response = await request
    assert response.status_code < 300, response.text
    assert seen[0].startswith(SESSION), seen  # the credential, before anything else
    return [statement.split()[0].rstrip(";") for statement in seen]


async def test_a_list_costs_one_statement_beside_the_session(client, ada, statements):
    for query in (
        {},
        {"cursor": ""},
        {"search": "milk", "completed": "false", "sort": "due"},
        {"page": 2, "overdue": "true"},
    ):
        assert await kinds(statements, client.get("/api/tasks", params=query)) == ["SELECT", "SELECT"], query


async def test_a_read_costs_one_statement_beside_the_session(client, ada, statements):
    task = await make_task(client)
    for url in (f"/api/tasks/{task['id']}", "/api/projects", "/api/labels", "/api/settings", "/api/trash"):
        assert await kinds(statements, client.get(url)) == ["SELECT", "SELECT"], url
    assert len(await kinds(statements, client.get("/api/sync"))) == 2
    assert len(await kinds(statements, client.get("/api/statistics"))) == 2


async def test_a_create_is_one_insert_in_a_transaction(client, ada, statements):
    await make_task(client)  # asyncpg looks a new connection's types up once
    for fields in ({}, {"description": "two", "priority": "high", "due_date": "2026-12-24", "completed": True}):
        request = client.post("/api/tasks", json={"title": "Buy milk", **fields})
        assert await kinds(statements, request) == ["SELECT", "BEGIN", "INSERT", "COMMIT"], fields


async def test_the_change_log_costs_a_patch_no_round_trip(client, ada, statements):
    task = await make_task(client)
    url = f"/api/tasks/{task['id']}"
    reading, writing = ["SELECT", "BEGIN", "SELECT"], ["UPDATE", "COMMIT"]
    assert await kinds(statements, client.patch(url, json={"title": "Other"})) == reading + writing
    assert await kinds(statements, client.post(f"{url}/complete")) == reading + writing
    label = await make_label(client)
    response = client.patch(url, json={"labels": [label["id"]], "priority": "low"})
    assert await kinds(statements, response) == [*reading, "SELECT", *writing]  # are these labels hers?
    assert await kinds(statements, client.delete(url)) == [*reading, "WITH", "COMMIT"]


async def test_a_bulk_delete_is_one_update_however_many_tasks(client, ada, statements):
    tasks = [(await make_task(client, str(n)))["id"] for n in range(20)]
    for ids in (tasks[:1], tasks[1:]):
        request = client.post("/api/tasks/bulk-delete", json={"task_ids": ids})
        assert await kinds(statements, request) == ["SELECT", "BEGIN", "SELECT", "SELECT", "WITH", "COMMIT"]


async def test_a_refused_write_is_rolled_back(client, ada, statements):
    task = await make_task(client)
    async with statements() as seen:
        response = await client.patch(f"/api/tasks/{task['id']}", json={"title": "x"}, headers={"If-Match": '"0"'})
    assert response.status_code == 412
    assert [statement.split()[0].rstrip(";") for statement in seen] == ["SELECT", "BEGIN", "SELECT", "ROLLBACK"]

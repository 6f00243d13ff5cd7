"""Momentum's contract, where it takes more than one request to see: bulk writes, sync, and what is exported."""

import json
from typing import Any

import pytest

from tandem.momentum.labels.schemas import LabelOut, LabelPage
from tandem.momentum.preferences.schemas import PreferencesOut
from tandem.momentum.projects.schemas import ProjectOut, ProjectPage
from tandem.momentum.statistics.schemas import StatisticsOut
from tandem.momentum.sync.schemas import SyncPage
from tandem.momentum.tasks.schemas import BulkResult, TaskOut, TaskPage
from tandem.momentum.transfer.schemas import ImportData, ImportResult
from tests.conformance.conforming import conforms
from tests.conformance.conftest import Serving
from tests.conformance.live import LiveServer
from tests.conformance.momentum import Momentum, MomentumOwned

TASK_DETAILS = {
    "title": "All of it",
    "description": "two **litres**",
    "priority": "urgent",
    "due_date": "2026-12-24",
    "due_time": "09:30:15",
    "timezone": "Europe/Berlin",
}


@pytest.fixture(scope="module")
def service() -> Momentum:
    return Momentum()


@pytest.fixture(scope="module")
def mine(serving: Serving, service: Momentum) -> MomentumOwned:
    """With a task that has everything, one with nothing, one that is done, and settings."""
    server = serving(service)
    mine = service.furnish(server)
    user = mine.user
    server.api(user, "PATCH", "/api/settings", json={"timezone": "America/New_York", "week_start": "sunday"})
    everything = {**TASK_DETAILS, "parent_id": mine.task, "project_id": mine.project, "labels": [mine.label]}
    server.api(user, "POST", "/api/tasks", json=everything)
    server.api(user, "POST", f"/api/tasks/{mine.subtask}/complete")
    archived = server.api(
        user, "POST", "/api/projects", json={"name": "Old", "color": "#1971c2", "parent_id": mine.project}
    )
    server.api(user, "PATCH", f"/api/projects/{archived['id']}", json={"archived": True})
    gone = server.api(user, "POST", "/api/labels", json={"name": "gone", "color": "#e8590c"})
    server.api(user, "DELETE", f"/api/labels/{gone['id']}")
    return mine


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/api/tasks", TaskPage),
        ("/api/tasks?cursor=&limit=1", TaskPage),
        ("/api/tasks?search=litres", TaskPage),
        ("/api/tasks?search=nothing-at-all", TaskPage),
        ("/api/tasks/{mine.task}", TaskOut),
        ("/api/trash", TaskPage),
        ("/api/projects", ProjectPage),
        ("/api/projects/{mine.project}", ProjectOut),
        ("/api/labels", LabelPage),
        ("/api/labels/{mine.label}", LabelOut),
        ("/api/settings", PreferencesOut),
        ("/api/sync", SyncPage),
        ("/api/statistics?days=3", StatisticsOut),
    ],
)
def test_a_read_has_exactly_the_documented_fields(
    server: LiveServer, mine: MomentumOwned, path: str, model: Any
) -> None:
    response = server.http.get(server.url + path.format(mine=mine), headers=mine.user.headers, timeout=30)
    assert response.ok
    conforms(model, response.content)


def test_an_empty_account_has_the_documented_fields_too(server: LiveServer) -> None:
    user = server.sign_up()
    pages = {"/api/tasks": TaskPage, "/api/projects": ProjectPage, "/api/labels": LabelPage, "/api/sync": SyncPage}
    pages |= {"/api/settings": PreferencesOut, "/api/statistics": StatisticsOut}
    for path, model in pages.items():
        conforms(model, server.http.get(server.url + path, headers=user.headers, timeout=30).content)


def test_only_search_results_are_highlighted(server: LiveServer, mine: MomentumOwned) -> None:
    plain = server.api(mine.user, "GET", "/api/tasks")["items"]
    found = server.api(mine.user, "GET", "/api/tasks?search=litres")["items"]
    assert [task["highlight"]["description"] for task in found] == ["<mark>litres</mark>"]
    assert all("highlight" not in task for task in plain)


def test_a_write_has_exactly_the_documented_fields(server: LiveServer, mine: MomentumOwned) -> None:
    def send(method: str, path: str, body: Any, status: int) -> bytes:
        response = server.http.request(method, server.url + path, json=body, headers=mine.user.headers, timeout=30)
        assert response.status_code == status, response.text
        return response.content

    task = send("POST", "/api/tasks", TASK_DETAILS, 201)
    conforms(TaskOut, task)
    url = f"/api/tasks/{json.loads(task)['id']}"
    for method, path, body in (
        ("PUT", url, {"title": "Put"}),
        ("PATCH", url, {"labels": [mine.label]}),
        ("POST", f"{url}/move", {}),
        ("POST", f"{url}/complete", None),
        ("POST", f"{url}/reopen", None),
    ):
        conforms(TaskOut, send(method, path, body, 200))
    operations = [
        {"op": "complete", "id": mine.task},
        {"op": "delete", "id": mine.trashed},
        {"op": "create", "data": TASK_DETAILS},
    ]
    result = conforms(BulkResult, send("POST", "/api/tasks/bulk", {"operations": operations}, 200))
    assert [outcome.status for outcome in result.results] == [200, 404, 201]
    send("DELETE", url, None, 204)
    conforms(TaskOut, send("POST", f"{url}/restore", None, 200))
    project = send("POST", "/api/projects", {"name": "New"}, 201)
    conforms(ProjectOut, project)
    project_url = f"/api/projects/{json.loads(project)['id']}"
    conforms(ProjectOut, send("PATCH", project_url, {"name": "Newer"}, 200))
    conforms(ProjectOut, send("POST", f"{project_url}/move", {"before": mine.project}, 200))
    label = send("POST", "/api/labels", {"name": "new"}, 201)
    conforms(LabelOut, label)
    conforms(LabelOut, send("PATCH", f"/api/labels/{json.loads(label)['id']}", {"color": "#ffffff"}, 200))
    conforms(PreferencesOut, send("PATCH", "/api/settings", {"week_start": "monday"}, 200))


def test_every_change_that_sync_tells_of_is_the_entity_as_its_own_api_shows_it(
    server: LiveServer, mine: MomentumOwned
) -> None:
    changes = server.api(mine.user, "GET", "/api/sync?limit=1000")["changes"]
    models = {"task": TaskOut, "project": ProjectOut, "label": LabelOut}
    seen = set()
    for change in changes:
        seen.add((change["entity"], change["op"]))
        if change["op"] == "upsert" and change["entity"] in models:
            conforms(models[change["entity"]], json.dumps(change["data"]).encode())
            assert change["data"]["version"] == change["version"]
        if change["data"] and not change["data"].get("deleted_at") and change["entity"] in models:
            assert server.api(mine.user, "GET", f"/api/{change['entity']}s/{change['id']}") == change["data"]
    assert seen >= {(entity, "upsert") for entity in ("task", "project", "label", "settings")} | {("label", "delete")}


def test_an_export_is_an_import_without_a_field_more(server: LiveServer, mine: MomentumOwned) -> None:
    export = server.http.get(f"{server.url}/api/export", headers=mine.user.headers, timeout=30)
    data = ImportData.model_validate_json(export.content, extra="forbid")
    assert data.tasks
    assert data.projects
    assert data.labels
    assert data.settings is not None
    answer = server.http.post(
        f"{server.url}/api/import",
        data=export.content,
        headers={**server.sign_up().headers, "Content-Type": "application/json"},
        timeout=30,
    )
    result = conforms(ImportResult, answer.content)
    assert (result.imported.tasks, result.skipped.tasks) == (len(data.tasks), 0)

"""What is documented is what is sent: the JSON that Postgres writes has exactly the fields of the response models."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel, TypeAdapter
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from tandem.core.errors import all_problems
from tandem.momentum.labels.schemas import LabelOut, LabelPage
from tandem.momentum.preferences.schemas import PreferencesOut
from tandem.momentum.projects.schemas import ProjectOut, ProjectPage
from tandem.momentum.statistics.schemas import StatisticsOut
from tandem.momentum.sync.schemas import SyncPage
from tandem.momentum.tasks.schemas import BulkResult, TaskOut, TaskPage
from tandem.momentum.transfer.schemas import ImportData, ImportResult
from tests.conformance.live import LiveServer
from tests.conformance.operations import DOCUMENT, METHODS, Owned, furnish

TASK_DETAILS = {
    "title": "All of it",
    "description": "two **litres**",
    "priority": "urgent",
    "due_date": "2026-12-24",
    "due_time": "09:30:15",
    "timezone": "Europe/Berlin",
}
ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"


@pytest.fixture(scope="module")
def mine(server: LiveServer) -> Owned:
    """With a task that has everything, one with nothing, one that is done, and settings."""
    mine = furnish(server)
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
    server: LiveServer, mine: Owned, path: str, model: type[BaseModel]
) -> None:
    response = server.http.get(server.url + path.format(mine=mine), headers=mine.user.headers, timeout=30)
    assert response.ok
    _conforms(model, response.content)


def test_an_empty_account_has_the_documented_fields_too(server: LiveServer) -> None:
    user = server.sign_up()
    pages = {"/api/tasks": TaskPage, "/api/projects": ProjectPage, "/api/labels": LabelPage, "/api/sync": SyncPage}
    pages |= {"/api/settings": PreferencesOut, "/api/statistics": StatisticsOut}
    for path, model in pages.items():
        _conforms(model, server.http.get(server.url + path, headers=user.headers, timeout=30).content)


def test_only_search_results_are_highlighted(server: LiveServer, mine: Owned) -> None:
    plain = server.api(mine.user, "GET", "/api/tasks")["items"]
    found = server.api(mine.user, "GET", "/api/tasks?search=litres")["items"]
    assert [task["highlight"]["description"] for task in found] == ["<mark>litres</mark>"]
    assert all("highlight" not in task for task in plain)


def test_a_write_has_exactly_the_documented_fields(server: LiveServer, mine: Owned) -> None:
    def send(method: str, path: str, body: Any, status: int) -> bytes:
        response = server.http.request(method, server.url + path, json=body, headers=mine.user.headers, timeout=30)
        assert response.status_code == status, response.text
        return response.content

    task = send("POST", "/api/tasks", TASK_DETAILS, 201)
    _conforms(TaskOut, task)
    url = f"/api/tasks/{json.loads(task)['id']}"
    for method, path, body in (
        ("PUT", url, {"title": "Put"}),
        ("PATCH", url, {"labels": [mine.label]}),
        ("POST", f"{url}/move", {}),
        ("POST", f"{url}/complete", None),
        ("POST", f"{url}/reopen", None),
    ):
        _conforms(TaskOut, send(method, path, body, 200))
    operations = [
        {"op": "complete", "id": mine.task},
        {"op": "delete", "id": mine.trashed},
        {"op": "create", "data": TASK_DETAILS},
    ]
    result = _conforms(BulkResult, send("POST", "/api/tasks/bulk", {"operations": operations}, 200))
    assert [outcome.status for outcome in result.results] == [200, 404, 201]
    send("DELETE", url, None, 204)
    _conforms(TaskOut, send("POST", f"{url}/restore", None, 200))
    project = send("POST", "/api/projects", {"name": "New"}, 201)
    _conforms(ProjectOut, project)
    project_url = f"/api/projects/{json.loads(project)['id']}"
    _conforms(ProjectOut, send("PATCH", project_url, {"name": "Newer"}, 200))
    _conforms(ProjectOut, send("POST", f"{project_url}/move", {"before": mine.project}, 200))
    label = send("POST", "/api/labels", {"name": "new"}, 201)
    _conforms(LabelOut, label)
    _conforms(LabelOut, send("PATCH", f"/api/labels/{json.loads(label)['id']}", {"color": "#ffffff"}, 200))
    _conforms(PreferencesOut, send("PATCH", "/api/settings", {"week_start": "monday"}, 200))


def test_every_change_that_sync_tells_of_is_the_entity_as_its_own_api_shows_it(server: LiveServer, mine: Owned) -> None:
    changes = server.api(mine.user, "GET", "/api/sync?limit=1000")["changes"]
    models = {"task": TaskOut, "project": ProjectOut, "label": LabelOut}
    seen = set()
    for change in changes:
        seen.add((change["entity"], change["op"]))
        if change["op"] == "upsert" and change["entity"] in models:
            _conforms(models[change["entity"]], json.dumps(change["data"]).encode())
            assert change["data"]["version"] == change["version"]
        if change["data"] and not change["data"].get("deleted_at") and change["entity"] in models:
            assert server.api(mine.user, "GET", f"/api/{change['entity']}s/{change['id']}") == change["data"]
    assert seen >= {(entity, "upsert") for entity in ("task", "project", "label", "settings")} | {("label", "delete")}


def test_an_export_is_an_import_without_a_field_more(server: LiveServer, mine: Owned) -> None:
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
    result = _conforms(ImportResult, answer.content)
    assert (result.imported.tasks, result.skipped.tasks) == (len(data.tasks), 0)


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [f"{list(e.instance_path)}: {e.message}" for e in OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)] == []


def test_every_schema_in_the_document_is_valid_json_schema() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name


def test_every_reference_in_the_document_leads_somewhere() -> None:
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    used = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT)))
    assert used <= known
    assert known - used == set(), "nothing uses these schemas"


def test_every_operation_has_a_name_of_its_own_that_a_client_can_use() -> None:
    names = [operation["operationId"] for operation in _operations()]
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


def test_every_example_in_the_document_is_valid() -> None:
    checked = 0
    for schema, example in _examples(DOCUMENT):
        checked += 1
        whole = {**schema, "components": DOCUMENT["components"]}
        errors = jsonschema_rs.Draft202012Validator(whole, validate_formats=True).iter_errors(example)
        assert [error.message for error in errors] == [], example
    assert checked > 40


def test_every_write_has_an_example_of_its_body() -> None:
    without = []
    for operation in _operations():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content and not ("examples" in content or any(True for _ in _examples(_resolved(content["schema"])))):
            without.append(operation["operationId"])
    assert without == []


def test_every_code_that_the_document_shows_is_explained_in_the_docs() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", ERRORS.read_text(), re.MULTILINE))
    shown = {
        code
        for operation in _operations()
        for answer in operation["responses"].values()
        for code in answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    assert shown <= documented
    raised = {problem.code for problem in all_problems() if problem.__module__.startswith("tandem.")}
    assert raised <= documented


def test_every_conflict_that_a_feature_raises_is_shown_by_an_operation() -> None:
    """Else a client would not know what to expect where."""
    shown = json.dumps(DOCUMENT["paths"])
    features = {
        p.code for p in all_problems() if p.__module__.startswith(("tandem.momentum", "tandem.accounts.tokens"))
    }
    assert {code for code in features if f"urn:tandem:error:{code}" not in shown} == set()


def _conforms(model: type[BaseModel], content: bytes) -> Any:
    parsed = TypeAdapter(model).validate_json(content, strict=True, extra="forbid")
    sent = json.loads(content)
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    assert required <= sent.keys()
    return parsed


def _operations() -> list[dict[str, Any]]:
    return [path[method] for path in DOCUMENT["paths"].values() for method in METHODS if method in path]


def _resolved(schema: dict[str, Any]) -> Any:
    name = schema.get("$ref", "").rpartition("/")[2]
    return DOCUMENT["components"]["schemas"][name] if name else schema


def _examples(node: Any) -> Any:
    """Pairs of a schema and an example of it: of the schema itself, of a parameter or of a body."""
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list):
            yield from ((node, example) for example in node["examples"])
        elif isinstance(node.get("examples"), dict) and isinstance(node.get("schema"), dict):
            yield from ((node["schema"], example["value"]) for example in node["examples"].values())
        for value in node.values():
            yield from _examples(value)
    elif isinstance(node, list):
        for value in node:
            yield from _examples(value)

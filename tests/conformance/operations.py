"""Every operation of Momentum with valid requests for it, in which every field that can hold an id holds one.

`operations()` comes from the OpenAPI document; `test_isolation` fails for an operation, or an id in one, without a
request here.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tandem.core.ids import uuid7
from tandem.momentum.main import build
from tests.builders import User
from tests.conformance.live import LiveServer, momentum_settings

DOCUMENT: dict[str, Any] = build(momentum_settings()).openapi()
METHODS = ("get", "put", "post", "delete", "patch")
_ID_NAME = re.compile(r"(^|_)ids?$|[a-z]Id$|^token$|^label$|^labels$")

Place = tuple[str | int, ...]  # ("path", "task_id"), ("query", "project"), ("body", "labels", 0)


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    definition: dict[str, Any] = field(hash=False, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def body_schema(self) -> dict[str, Any] | None:
        """The JSON Schema of its body, references unresolved."""
        content = self.definition.get("requestBody", {}).get("content", {})
        schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
        return schema

    @property
    def id_places(self) -> set[Place]:
        """Where a request may name something by its id; 0 stands for any index of an array."""
        places: set[Place] = set()
        for parameter in self.definition.get("parameters", []):
            if parameter["in"] == "path" or (parameter["in"] == "query" and _is_id(parameter, parameter["schema"])):
                places.add((parameter["in"], parameter["name"]))
        if self.body_schema is not None:
            places |= {("body", *place) for place in _ids_of(self.body_schema)}
        return places


def operations() -> list[Operation]:
    return [
        Operation(method.upper(), path, DOCUMENT["paths"][path][method])
        for path in DOCUMENT["paths"]
        for method in METHODS
        if method in DOCUMENT["paths"][path]
    ]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _variants(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    schema = resolved(schema)
    nested = [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("allOf", [])]
    if not nested:
        yield schema
    for part in nested:
        yield from _variants(part)


def _ids_of(schema: dict[str, Any]) -> Iterator[Place]:
    for variant in _variants(schema):
        for name, value in variant.get("properties", {}).items():
            if _is_id({"name": name}, value):
                is_list = any(v.get("type") == "array" for v in _variants(value))
                yield (name, 0) if is_list and not _objects_in(value) else (name,)
            yield from ((name, *rest) for rest in _ids_of(value))
        if variant.get("type") == "array":
            yield from ((0, *rest) for rest in _ids_of(variant["items"]))


def _objects_in(schema: dict[str, Any]) -> bool:
    return any(
        "properties" in item for v in _variants(schema) if v.get("type") == "array" for item in _variants(v["items"])
    )


def _is_id(parameter: dict[str, Any], schema: dict[str, Any]) -> bool:
    if _objects_in(schema):
        return False
    shapes = [*_variants(schema)]
    shapes += [item for shape in shapes if shape.get("type") == "array" for item in _variants(shape["items"])]
    return any(s.get("format") == "uuid" for s in shapes) or bool(_ID_NAME.search(parameter["name"]))


@dataclass(frozen=True)
class Owned:
    """What one user has. Ids, and `token` and `session` as /api/auth and /api/tokens name them."""

    user: User
    task: str
    subtask: str
    trashed: str
    project: str
    label: str
    token: str
    session: str

    def path_of(self, operation: Operation) -> dict[str, str]:
        task = self.trashed if operation.path.endswith("/restore") else self.task
        return {"task_id": task, "project_id": self.project, "label_id": self.label, "token_id": self.token}


def furnish(server: LiveServer, word: str = "ordinary", *, credentials: bool = False) -> Owned:
    """A new user with something of every kind, `word` in all of its texts; with `credentials` an API token too."""
    user = server.sign_up()
    task, subtask, trashed, project, label = ids = [str(uuid7()) for _ in range(5)]
    mine = {
        "format": "tandem.momentum/1",
        "projects": [{"id": project, "name": f"{word} project", "description": word}],
        "labels": [{"id": label, "name": f"{word} label"}],
        "tasks": [
            {"id": task, "title": f"{word} task", "description": word, "project_id": project, "labels": [label]},
            {"id": subtask, "title": f"{word} subtask", "parent_id": task, "position": "b"},
            {"id": trashed, "title": f"{word} waste", "deleted_at": "2026-11-01T00:00:00Z"},
        ],
    }
    server.api(user, "POST", "/api/import", json=mine)
    token = session = "none"
    if credentials:
        token = server.api(user, "POST", "/api/tokens", json={"name": word, "scopes": ["tasks:read"]})["id"]
        session = server.api(user, "GET", "/api/auth/list-sessions")[0]["id"]
    return Owned(user, *ids, token, session)


@dataclass(frozen=True)
class Sent:
    """A request: `query` and `body` of an operation on what its path names."""

    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None


def requests_for(mine: Owned) -> dict[str, list[Sent]]:
    """Valid requests of every operation that takes a body or a query; what is not here takes neither."""
    new = str(uuid7())
    task = {"title": "Buy milk", "project_id": mine.project, "labels": [mine.label]}
    subtask = {"title": "Buy oat milk", "parent_id": mine.task}
    moves = [{"project_id": mine.project, "before": mine.subtask}, {"parent_id": None, "after": mine.subtask}]
    imported = {
        "format": "tandem.momentum/1",
        "projects": [{"id": new, "name": "Imported", "parent_id": mine.project}],
        "labels": [{"id": new, "name": f"imported {uuid.uuid4()}"}],
        "tasks": [
            {"id": new, "title": "Imported", "project_id": mine.project, "labels": [mine.label]},
            {"id": str(uuid7()), "title": "Imported", "parent_id": mine.task},
        ],
    }
    operations = [
        {"op": "create", "data": {**task, "id": new}},
        {"op": "create", "data": subtask},
        {"op": "update", "id": mine.task, "data": task},
        {"op": "update", "id": mine.trashed, "data": {"title": "In the trash"}},
        {"op": "update", "id": mine.subtask, "data": {"parent_id": mine.task}},
        *({"op": "move", "id": mine.task, "data": data} for data in moves),
        {"op": "move", "id": mine.subtask, "data": {"parent_id": mine.task}},
        *({"op": op, "id": mine.task} for op in ("complete", "reopen", "delete")),
        {"op": "restore", "id": mine.trashed},
    ]
    return {
        "GET /api/tasks": [
            Sent({"project": mine.project}),
            Sent({"parent": mine.task}),
            Sent({"label": mine.label}),
            Sent({"search": "ordinary", "sort": "relevance"}),
        ],
        "POST /api/tasks": [Sent(body={**task, "id": new}), Sent(body=subtask)],
        "POST /api/tasks/bulk": [Sent(body={"operations": [operation]}) for operation in operations],
        "POST /api/tasks/bulk-delete": [Sent(body={"task_ids": [mine.task]})],
        "PUT /api/tasks/{task_id}": [Sent(body=task), Sent(body={"title": "x", "parent_id": None})],
        "PATCH /api/tasks/{task_id}": [Sent(body=task), Sent(body={"parent_id": None})],
        "POST /api/tasks/{task_id}/move": [Sent(body=body) for body in moves],
        "GET /api/trash": [Sent({"limit": 10})],
        "GET /api/projects": [Sent({"archived": "false"})],
        "POST /api/projects": [Sent(body={"id": new, "name": "Home", "parent_id": mine.project})],
        "PATCH /api/projects/{project_id}": [Sent(body={"name": "Home"}), Sent(body={"parent_id": None})],
        "POST /api/projects/{project_id}/move": [Sent(body={"before": None}), Sent(body={"after": None})],
        "DELETE /api/projects/{project_id}": [Sent({"tasks": "trash"}), Sent({"tasks": "keep"})],
        "GET /api/labels": [Sent({"limit": 10})],
        "POST /api/labels": [Sent(body={"id": new, "name": "errand"})],
        "PATCH /api/labels/{label_id}": [Sent(body={"name": "errands"})],
        "PATCH /api/settings": [Sent(body={"timezone": "Europe/Berlin"})],
        "GET /api/statistics": [Sent({"days": 7})],
        "GET /api/sync": [Sent({"limit": 1000})],
        "GET /api/export": [Sent({"format": "json"}), Sent({"format": "csv"})],
        "POST /api/import": [Sent(body=imported)],
        "POST /api/tokens": [Sent(body={"name": "Phone", "scopes": ["tasks:read"]})],
        "GET /api/tokens": [Sent({"limit": 10})],
        "POST /api/auth/sign-up/email": [
            Sent(body={"name": "Ada", "email": f"{uuid.uuid4()}@example.com", "password": "correct horse battery"})
        ],
        "POST /api/auth/sign-in/email": [Sent(body={"email": mine.user.email, "password": "correct horse battery"})],
        "POST /api/auth/revoke-session": [Sent(body={"token": mine.session})],
        "POST /api/auth/change-password": [Sent(body={"currentPassword": "wrong horse", "newPassword": "right horse"})],
        "POST /api/auth/update-user": [Sent(body={"name": "Ada Lovelace"})],
        "POST /api/auth/delete-user": [Sent(body={"password": "correct horse battery"})],
    }

"""Momentum, as the black-box tests know it."""

import uuid
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from tandem.core.ids import uuid7
from tandem.momentum.main import build
from tandem.momentum.settings import MomentumSettings
from tests.conformance.account_requests import account_requests
from tests.conformance.live import NOWHERE, LiveServer, values_for
from tests.conformance.operations import Operation, Place, Sent
from tests.conformance.service import NOTHING, Owned, Service


@dataclass(frozen=True)
class MomentumOwned(Owned):
    """`token` and `session` are as /api/tokens and /api/auth name them."""

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


class Momentum(Service):
    name, package, clones = "momentum", "tandem.momentum", "clones"
    full_tables = {"user", "session", "tasks", "projects", "labels", "changes", "api_tokens"}
    views = ("/api/sync?limit=1000",)
    somewhere = "/api/tasks"
    sweeping = ("DELETE /api/trash", "POST /api/auth/revoke-other-sessions", "POST /api/auth/revoke-sessions")
    main_writes = {
        "POST /api/tasks", "PATCH /api/tasks/{task_id}", "PUT /api/tasks/{task_id}", "POST /api/tasks/bulk",
        "POST /api/tasks/{task_id}/move", "POST /api/projects", "POST /api/labels", "PATCH /api/settings",
        "POST /api/import", "POST /api/tokens",
    }  # fmt: skip

    def build(self, database_url: str = NOWHERE, **values: Any) -> FastAPI:
        return build(MomentumSettings(**values_for(database_url, **values)))

    def furnish(self, server: LiveServer, word: str = "ordinary", *, whole: bool = False) -> MomentumOwned:
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
        token = session = NOTHING
        if whole:
            token = server.api(user, "POST", "/api/tokens", json={"name": word, "scopes": ["tasks:read"]})["id"]
            session = server.api(user, "GET", "/api/auth/list-sessions")[0]["id"]
        return MomentumOwned(user, *ids, token, session)

    def ids_like(self, operation: Operation, place: Place, bob: MomentumOwned) -> list[str]:
        if operation.path == "/api/auth/revoke-session":
            return [bob.session, bob.user.token]
        kinds = {"project": bob.project, "label": bob.label, "token": bob.token}
        return [*(one for kind, one in kinds.items() if kind in f"{operation.path} {place}"), bob.task, bob.trashed]

    def searches_for(self, server: LiveServer, bob: MomentumOwned, word: str) -> dict[str, list[Sent]]:
        page = server.api(bob.user, "GET", "/api/tasks?cursor=&limit=1")
        assert page["next_cursor"]
        searches = [Sent({"search": text}) for text in (word, "user", bob.user.id, f"user:{bob.user.id}")]
        return {"GET /api/tasks": [*searches, Sent({"cursor": page["next_cursor"]})]}

    def same_name(self, word: str) -> dict[str, Any]:
        return {"/api/labels": {"name": f"{word} label"}}

    def requests_for(self, mine: MomentumOwned) -> dict[str, list[Sent]]:
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
        return account_requests(mine.user, mine.session) | {
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
        }

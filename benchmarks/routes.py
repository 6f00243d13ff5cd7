"""What is asked of each server: the routes that are measured, and the requests that go to them in turn."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.load import Request
from benchmarks.seeds import User

PER_USER = 4  # requests of each user in a round trip through the list


@dataclass(frozen=True)
class Route:
    """`target` bounds the CPU time as a multiple of the raw request's; None where nothing is promised."""

    name: str
    against: str  # the raw server's name for the request it is compared with
    target: float | None
    requests: Callable[[list[User]], list[Request]]


def _get(path: Callable[[User, int], str]) -> Callable[[list[User]], list[Request]]:
    return lambda users: [Request("GET", path(u, n), u.token) for n in range(PER_USER) for u in users]


def _create(users: list[User]) -> list[Request]:
    return [Request("POST", "/api/tasks", u.token, _new_task(n)) for n in range(PER_USER) for u in users]


def _patch(users: list[User]) -> list[Request]:
    """Every request changes something: each task is met again under another title."""
    return [
        Request("PATCH", f"/api/tasks/{u.task_ids[n]}", u.token, json.dumps({"title": f"Renamed {name}"}))
        for name in ("once", "twice")
        for n in range(PER_USER)
        for u in users
    ]


def _new_task(number: int) -> str:
    return json.dumps({"title": f"New task {number}", "description": "What there is to say about it: " + "word " * 12})


RAW: dict[str, Callable[[list[User]], list[Request]]] = {
    "list": lambda users: [Request("GET", f"/list/{u.id}") for u in users],
    "get": lambda users: [Request("GET", f"/get/{u.id}/{u.task_ids[n]}") for n in range(PER_USER) for u in users],
    "insert": lambda users: [Request("POST", f"/create/{u.id}", body=_new_task(0)) for u in users],
}

ROUTES = (
    Route("list of 50", "list", 4.5, _get(lambda _u, _n: "/api/tasks")),
    Route("list of 50 with cursor", "list", None, _get(lambda u, _n: f"/api/tasks?cursor={u.deep_cursor}")),
    Route("get one", "get", 4.5, _get(lambda u, n: f"/api/tasks/{u.task_ids[n]}")),
    Route("create", "insert", 7.0, _create),
    Route("patch", "insert", None, _patch),
    Route("search", "list", None, _get(lambda _u, n: f"/api/tasks?search=number+{100 + n}")),
    Route("sync, 10 changes", "list", None, _get(lambda u, _n: f"/api/sync?since={u.tasks // 2}&limit=10")),
)

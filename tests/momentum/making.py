"""Tasks, projects and labels made through the API; each call gives the entity, and fails the test on an error."""

from itertools import count
from typing import Any

_numbers = count(1)


async def make_task(client: Any, title: str = "Buy milk", **fields: Any) -> dict[str, Any]:
    return await _post(client, "/api/tasks", {"title": title, **fields})


async def make_project(client: Any, name: str = "Home", **fields: Any) -> dict[str, Any]:
    return await _post(client, "/api/projects", {"name": name, **fields})


async def make_label(client: Any, name: str | None = None, **fields: Any) -> dict[str, Any]:
    return await _post(client, "/api/labels", {"name": name or f"label {next(_numbers)}", **fields})


async def titles(client: Any, **query: Any) -> list[str]:
    """Of the first page of a list."""
    response = await client.get("/api/tasks", params=query)
    assert response.status_code == 200, response.text
    return [task["title"] for task in response.json()["items"]]


async def problem(request: Any) -> tuple[int, str]:
    """Status and code of what a request answers."""
    response = await request
    return response.status_code, response.json()["code"]


async def _post(client: Any, url: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post(url, json=body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made

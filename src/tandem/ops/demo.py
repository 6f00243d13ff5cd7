"""`tandem demo momentum`: an account that looks lived in, made through the public API.

Ids are derived from names, so running it again finds what is there and only brings the dates back to around today.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID, uuid5

from fastapi import FastAPI

from tandem.core.operator_error import OperatorError
from tandem.core.settings import load_settings
from tandem.ops.in_process import Answer, call
from tandem.ops.serve import ready_database
from tandem.ops.services import Service
from tandem.ops.target import Progress

EMAIL = "demo@example.com"
PASSWORD = "tandem-demo-password"  # noqa: S105 - printed for whoever runs it; there is no demo in production
NAMESPACE = UUID("6f0c3c2a-4a53-4d1c-9a5e-2f6f3f6b7c11")

LABELS = {"errand": "#e8590c", "deep work": "#1971c2", "waiting": "#868e96", "5 minutes": "#2f9e44"}


@dataclass(frozen=True)
class Task:
    """`due` is days from today."""

    title: str
    due: int | None = None
    time: str | None = None
    priority: str = "medium"
    labels: tuple[str, ...] = ()
    done: bool = False
    note: str = ""
    subtasks: tuple[str, ...] = field(default=())


PROJECTS: dict[str, tuple[str, tuple[Task, ...]]] = {
    "Home": (
        "#2f9e44",
        (
            Task("Water the plants on the balcony", 0, labels=("5 minutes",)),
            Task("Book a plumber for the kitchen tap", 1, "09:30", "high", ("errand",)),
            Task("Return the library books", -2, priority="high", labels=("errand",), note="The two on *sourdough*."),
            Task("Change the smoke alarm's battery", -6, done=True, labels=("5 minutes",)),
            Task(
                "Plan grandmother's 80th birthday",
                due=21,
                note="About 25 guests.",
                subtasks=("Draw up the guest list", "Reserve the garden room", "Order the cake"),
            ),
        ),
    ),
    "Spring newsletter": (
        "#1971c2",
        (
            Task("Outline the lead article", -1, priority="high", labels=("deep work",), done=True),
            Task("Write the lead article", 2, priority="urgent", labels=("deep work",), note="900 words, two quotes."),
            Task("Ask Mira for the product photos", 0, "14:00", labels=("waiting",)),
            Task("Proof-read everything once on paper", 5, labels=("deep work",)),
            Task("Send to the list", 7, "08:00", "urgent"),
        ),
    ),
    "Half marathon": (
        "#e8590c",
        (
            Task("Register before the price goes up", -9, done=True, labels=("5 minutes",)),
            Task("Easy run, 8 km", 0, "18:30"),
            Task("Intervals, 6 x 800 m", 2, "18:30", "high"),
            Task("Long run, 16 km", 4, "09:00", "high"),
            Task("Buy new running shoes", 10, labels=("errand",)),
        ),
    ),
}
INBOX = (
    Task("Renew the passport", 30, priority="high", note="Photos must be under six months old."),
    Task("Read the paper on vector clocks", labels=("deep work",)),
    Task("Call the bank about the card fee", -1, "11:00", "urgent"),
    Task("Back up the photo library", 14, priority="low"),
)


class DemoError(OperatorError):
    """The demo account could not be made; the message says why."""


@dataclass(frozen=True)
class Made:
    email: str
    password: str
    projects: int
    labels: int
    tasks: int


def refresh(service: Service, on_progress: Progress) -> Made:
    """Raises DemoError, and what a missing database raises."""
    if service.name != "momentum":
        raise DemoError(f"there is no demo of {service.title}: `tandem demo momentum`")
    settings = load_settings(service.settings_class)
    if settings.deployed:
        raise DemoError(f"ENVIRONMENT is {settings.environment}: an account with a public password has no place there")
    with ready_database(service, settings, on_progress):
        os.environ["LOG_LEVEL"] = "ERROR"  # of this command; every call would log a line
        quiet = load_settings(service.settings_class).model_copy(update={"rate_limit": "100000/minute"})
        app: FastAPI = import_module(service.app.partition(":")[0]).build(quiet)
        return asyncio.run(_fill(app, on_progress))


async def _fill(app: FastAPI, on_progress: Progress) -> Made:
    async with app.router.lifespan_context(app):
        account = Account(app, await _sign_in(app))
        for name, color in LABELS.items():
            await account.create("labels", name, {"name": name, "color": color})
        for name, (color, tasks) in PROJECTS.items():
            on_progress(name)
            project = await account.create("projects", name, {"name": name, "color": color})
            for task in tasks:
                await account.add(task, project)
        for task in INBOX:
            await account.add(task, None)
        return Made(EMAIL, PASSWORD, len(PROJECTS), len(LABELS), account.tasks)


async def _sign_in(app: FastAPI) -> str:
    """The token of a session of the demo user, who is signed up when missing."""
    about = {"email": EMAIL, "password": PASSWORD}
    signed = await call(app, "POST", "/api/auth/sign-up/email", about | {"name": "Demo"})
    if signed.status == 422:
        signed = await call(app, "POST", "/api/auth/sign-in/email", about)
    if signed.status == 404:
        raise DemoError("AUTH_BUILTIN is false, so this server makes no accounts")
    if signed.status != 200:
        raise DemoError(f"{EMAIL} cannot sign in with the demo password ({signed.status}); delete that account first")
    return str(signed.body["token"])


class Account:
    """The demo user's side of the API."""

    def __init__(self, app: FastAPI, token: str) -> None:
        self._app, self._token = app, token
        self.tasks = 0

    async def create(self, kind: str, name: str, body: dict[str, Any]) -> str:
        """The id of what is there now, made or found."""
        own_id = str(uuid5(NAMESPACE, f"{kind}/{name}"))
        await self._send("POST", f"/api/{kind}", body | {"id": own_id})
        return own_id

    async def add(self, task: Task, project: str | None) -> None:
        own_id = await self.create("tasks", task.title, dict(self._body(task, project)))
        self.tasks += 1
        when = {"due_date": _day(task), "due_time": task.time, "completed": task.done}
        await self._send("PATCH", f"/api/tasks/{own_id}", when, allowed=(404,))  # 404: they put it into the trash
        for title in task.subtasks:
            await self.create("tasks", title, {"title": title, "parent_id": own_id})
            self.tasks += 1

    def _body(self, task: Task, project: str | None) -> Iterator[tuple[str, Any]]:
        yield "title", task.title
        yield "description", task.note
        yield "priority", task.priority
        yield "labels", [str(uuid5(NAMESPACE, f"labels/{name}")) for name in task.labels]
        yield "due_date", _day(task)
        yield "due_time", task.time
        if project is not None:
            yield "project_id", project

    async def _send(self, method: str, path: str, body: dict[str, Any], allowed: tuple[int, ...] = ()) -> Answer:
        answer = await call(self._app, method, path, body, token=self._token)
        if answer.status >= 400 and answer.status not in allowed:
            raise DemoError(f"{method} {path} was refused: {answer.status} {answer.body}")
        return answer


def _day(task: Task) -> str | None:
    """By this machine's calendar: the demo is looked at where it was made."""
    return None if task.due is None else (date.today() + timedelta(days=task.due)).isoformat()  # noqa: DTZ011

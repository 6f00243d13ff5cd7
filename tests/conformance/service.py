"""What the black-box tests know of a service: how it is built, what a user of it can own, and requests for all of it.

The tests know nothing else; they run for every service of `services.py`.
"""

import re
import secrets
import string
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import requests
from fastapi import FastAPI
from fastapi.routing import APIRoute

from tandem.accounts.dependencies import PER_ADDRESS, PER_EMAIL, PER_USER
from tandem.core.ids import uuid7
from tandem.core.ratelimit import Limit
from tests.builders import User, text_id
from tests.conformance.live import NOWHERE, LiveServer
from tests.conformance.operations import Document, Operation, Place, Sent, operations_of, resolved

PASSWORD = "correct horse battery"
NOTHING = "none"  # in place of an id of what somebody does not have
_ALPHABET = dict.fromkeys(string.digits, string.digits) | dict.fromkeys(string.ascii_letters, string.ascii_letters)


@dataclass(frozen=True)
class Owned(ABC):
    """What one user has: ids by their kind, each a text."""

    user: User

    @abstractmethod
    def path_of(self, operation: Operation) -> dict[str, str]:
        """What the operation's path names, and it may name more."""

    @property
    def owners(self) -> list[str]:
        """The ids under which tables have what is theirs."""
        return [self.user.id]

    @property
    def words(self) -> dict[str, str]:
        """Every text by which they could be recognized, by its role."""
        mine: dict[str, str] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            texts = vars(value) if isinstance(value, User) else {"": value}
            mine |= {f"{one.name}.{role}": text for role, text in texts.items() if role != "name" and text != NOTHING}
        return mine


class Service(ABC):
    """Stateless but for its OpenAPI document, which is made once."""

    name: ClassVar[str]
    package: ClassVar[str]
    clones: ClassVar[str]  # the fixture of its databases
    limits: ClassVar[tuple[Limit, ...]] = (PER_ADDRESS, PER_EMAIL, PER_USER)  # else most answers would be 429
    full_tables: ClassVar[set[str]]  # those in which `furnish` leaves a row
    views: ClassVar[tuple[str, ...]]  # addresses that together show whatever a user has but for credentials
    sweeping: ClassVar[tuple[str, ...]]  # operations about everything that is one's own
    ends_the_session: ClassVar[set[str]] = {
        "sign_out", "revoke_sessions", "revoke_session", "delete_user", "change_password",
    }  # fmt: skip
    before: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # what must be done to a thing before an operation is possible
    main_writes: ClassVar[set[str]]  # those that are sent arbitrary JSON
    somewhere: ClassVar[str]  # an address that answers GET and POST
    bad_files: ClassVar[tuple[Any, ...]] = ()  # (name, content, type) that no upload takes
    needs_a_password: ClassVar[set[str]] = {
        "POST /api/auth/sign-in/email", "POST /api/auth/change-password", "POST /api/auth/delete-user",
    }  # fmt: skip  # users of these tests are made without one

    @abstractmethod
    def build(self, database_url: str = NOWHERE, **values: Any) -> FastAPI: ...

    @abstractmethod
    def furnish(self, server: LiveServer, word: str = "ordinary", *, whole: bool = False) -> Owned:
        """A new user with something of every kind, `word` in all texts; `whole`: also what is dear to make."""

    @abstractmethod
    def requests_for(self, mine: Any) -> dict[str, list[Sent]]:
        """Valid requests of each operation that takes a body or a query, every field that can hold an id holding one.

        What is not here takes neither.
        """

    @abstractmethod
    def ids_like(self, operation: Operation, place: Place, bob: Any) -> list[str]:
        """Those of Bob's ids that somebody would try there."""

    @abstractmethod
    def searches_for(self, server: LiveServer, bob: Any, word: str) -> dict[str, list[Sent]]:
        """Lists, asked for things of Bob's by what they say or by whose they are."""

    @abstractmethod
    def same_name(self, word: str) -> dict[str, Any]:
        """Bodies by address for things that may be called as `furnish` called Bob's."""

    @cached_property
    def app(self) -> FastAPI:
        """Without a database."""
        return self.build()

    @cached_property
    def document(self) -> Document:
        return self.app.openapi()

    @cached_property
    def operations(self) -> list[Operation]:
        return operations_of(self.document)

    @cached_property
    def routes(self) -> dict[str, APIRoute]:
        """By operation, as in "GET /api/tasks"."""
        routes = (route for route in self.app.routes if isinstance(route, APIRoute))
        return {f"{method} {route.path}": route for route in routes for method in route.methods if method != "HEAD"}

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        return resolved(self.document, schema)

    def sent(self, mine: Owned, operation: Operation) -> list[Sent]:
        return self.requests_for(mine).get(str(operation), [Sent()])

    def needs_the_whole(self, operation: Operation) -> bool:
        """Whether its requests name what only `furnish(…, whole=True)` gives."""
        return operation.path.startswith(("/api/auth", "/api/tokens"))

    def views_after(self, operation: Operation) -> list[str]:
        credentials = ["/api/tokens", "/api/auth/list-sessions"]
        return [*self.views, *(credentials if operation.path.startswith(("/api/auth", "/api/tokens")) else [])]

    def prepare(self, server: LiveServer, mine: Owned, operation: Operation) -> None:
        """Bring what the operation is about into a state that allows it."""
        for step in self.before.get(str(operation), ()):
            method, _, path = step.partition(" ")
            server.api(mine.user, method, path.format_map(mine.path_of(operation)))

    def __str__(self) -> str:
        return self.name


def send(  # noqa: PLR0917 - a request is what it takes
    server: LiveServer,
    mine: Owned,
    operation: Operation,
    sent: Sent,
    path: Mapping[str, str] | None = None,
    headers: Mapping[str, str | bytes] | None = None,
) -> requests.Response:
    every = mine.user.headers | sent.header | (headers or {})
    return server.http.request(
        operation.method,
        address(server, mine, operation, path),
        params=sent.query,
        json=sent.body,
        files=None if sent.form is None else parts(sent.form),
        headers=every,
        timeout=30,
        allow_redirects=False,  # what is elsewhere is not this service's
    )


def address(server: LiveServer, mine: Owned, operation: Operation, path: Mapping[str, str] | None = None) -> str:
    return server.url + operation.path.format_map(mine.path_of(operation) if path is None else path)


def parts(form: Mapping[str, Any]) -> dict[str, Any]:
    """As requests wants them: a text is a part without a file name, and a lone surrogate travels as its bytes."""
    return {name: (None, as_bytes(value)) if isinstance(value, str) else value for name, value in form.items()}


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def look_alike(value: str) -> str:
    """An id of nobody's that looks like this one."""
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
        return str(uuid7())
    if re.fullmatch(r"[0-9A-Za-z]{32}", value):
        return text_id()
    return "".join(secrets.choice(_ALPHABET.get(character, character)) for character in value)


def path_parameters(path: str) -> Iterator[str]:
    yield from re.findall(r"{(\w+)}", path)

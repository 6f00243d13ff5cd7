"""User A can never see, change or infer what is user B's, or B's organization's.

Every operation is tried with each of B's ids wherever it can name something by an id: in the path, in the query, in a
header and in the body. A gets exactly the answer, and is left with exactly the data, as with an id that does not exist.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.conftest import Serving
from tests.conformance.live import LiveServer
from tests.conformance.operations import METHODS, Operation, Place, Sent
from tests.conformance.service import Owned, Service, look_alike, send
from tests.conformance.services import for_operations, for_services
from tests.conformance.tables import Tables

SECRET_WORD = "zanzibar"
CONDITIONS = ({}, {"If-Match": "*"}, {"If-None-Match": "*"})
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(\+00:00|Z)?")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Others:
    """People who try. Who was refused, and left as before, tries again; others are replaced."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._ready: dict[tuple[str, bool], Owned] = {}

    def take(self, service: Service, operation: Operation) -> Owned:
        key = service.name, service.needs_the_whole(operation)
        if key not in self._ready:
            self._ready[key] = service.furnish(self._serving(service), whole=key[1])
        return self._ready[key]

    def replace(self, mine: Owned) -> None:
        self._ready = {key: one for key, one in self._ready.items() if one is not mine}


@pytest.fixture(scope="module")
def others(serving: Serving) -> Others:
    return Others(serving)


@pytest.fixture
def bob(furnished: Callable[[Service, str], Owned], service: Service) -> Owned:
    return furnished(service, SECRET_WORD)


@pytest.fixture(autouse=True)
def nothing_of_bobs_changes(service: Service, bob: Owned, tables: Tables) -> Iterator[None]:
    before = tables.rows_of(*bob.owners)
    assert service.full_tables == {table for table, rows in before.items() if rows}
    yield
    assert tables.rows_of(*bob.owners) == before


@for_services
def test_the_document_lists_every_route(service: Service) -> None:
    assert set(service.routes) == {str(operation) for operation in service.operations}
    assert {method.upper() for method in METHODS} >= {operation.method for operation in service.operations}


@for_services
def test_every_operation_and_every_id_in_it_has_a_request(service: Service, bob: Owned) -> None:
    """Fails for a new operation with a body or an id that `requests_for` does not cover."""
    prepared = service.requests_for(bob)
    uncovered = [
        f"{operation}: {place}"
        for operation in service.operations
        for place in operation.id_places
        if place[0] not in {"path", "header"}
        and not any(sent.real_places(place) for sent in prepared.get(str(operation), []))
    ]
    with_body = [o for o in service.operations if o.body_schema is not None or o.form_schema is not None]
    without = [str(operation) for operation in with_body if str(operation) not in prepared]
    unknown = set(prepared) - set(service.routes)
    assert (uncovered, without, unknown) == ([], [], set())


@for_operations(lambda operation: operation.id_places)
def test_an_id_of_another_is_as_good_as_one_that_does_not_exist(  # noqa: PLR0917 - fixtures
    service: Service, operation: Operation, server: LiveServer, tables: Tables, bob: Owned, others: Others
) -> None:
    def seen(place: Place, index: int, foreign: str, condition: dict[str, str]) -> Any:
        """What somebody gets and has after the request with `foreign` at `place`, in terms that two users share."""
        mine = others.take(service, operation)
        sent, path = copy.deepcopy(service.sent(mine, operation)[index]), mine.path_of(operation)
        if place[0] == "path":
            path[str(place[1])] = foreign
        elif place[0] == "header":
            sent.header[str(place[1])] = foreign
        for real in sent.real_places(place):
            sent.put(real, foreign)
        before = tables.rows_of(*mine.owners)
        response = send(server, mine, operation, sent, path, condition)
        after = ["as before"]
        if before != tables.rows_of(*mine.owners):
            others.replace(mine)
            after = [server.http.get(server.url + view, headers=mine.user.headers, timeout=30).text for view in views]
        return _impersonal(mine, foreign, [response.status_code, sorted(response.headers), response.text, *after])

    views = service.views_after(operation)
    for place in sorted(operation.id_places, key=str):
        for index, sent in enumerate(service.sent(bob, operation)):
            if index > 0 if place[0] in {"path", "header"} else not sent.real_places(place):
                continue
            for condition in CONDITIONS if place[0] == "path" and index == 0 else CONDITIONS[:1]:
                nobodys: dict[str, Any] = {}
                for theirs in service.ids_like(operation, place, bob):
                    unknown = look_alike(theirs)
                    shape = re.sub(r"\w", "x", theirs)
                    if shape not in nobodys:
                        nobodys[shape] = seen(place, index, unknown, condition)
                    answer = seen(place, index, theirs, condition)
                    assert answer == nobodys[shape], f"{operation} {place} {theirs}"
                    _says_nothing_of(bob, json.dumps(answer), theirs)


@for_operations(lambda operation: operation.method == "GET" and "{" not in operation.path)
def test_no_list_shows_anything_of_another(
    service: Service, operation: Operation, server: LiveServer, bob: Owned, others: Others
) -> None:
    mine = others.take(service, operation)
    for sent in [*service.sent(mine, operation), Sent()]:
        response = send(server, mine, operation, sent)
        assert response.status_code in {200, 401, 422}
        _says_nothing_of(bob, response.text)
    for sent in service.searches_for(server, bob, SECRET_WORD).get(str(operation), []):
        response = send(server, mine, operation, sent)
        assert response.status_code == 200
        for asked in sent.query.values():
            assert "cursor" in sent.query or response.json()["items"] == []
            _says_nothing_of(bob, response.text, asked)


@for_services
def test_what_another_has_does_not_take_its_name(service: Service, server: LiveServer, bob: Owned) -> None:
    mine = service.furnish(server)
    for path, body in service.same_name(SECRET_WORD).items():
        server.api(mine.user, "POST", path, json=body)


@for_services
def test_emptying_and_revoking_everything_is_about_ones_own(service: Service, server: LiveServer, bob: Owned) -> None:
    mine = service.furnish(server)
    for operation in service.sweeping:
        method, _, path = operation.partition(" ")
        server.api(mine.user, method, path)
    server.api(bob.user, "GET", "/api/auth/list-sessions")


def _impersonal(mine: Owned, foreign: str, texts: list[Any]) -> Any:
    """Ids by their role, times by their being times, and all else as it is."""
    text = json.dumps(texts).replace(foreign, "<foreign>")
    for role, value in mine.words.items():
        text = text.replace(value, f"<{role}>")
    text = re.sub(r"session:\w{32}", "session", text)
    text = _TIME.sub("<time>", _UUID.sub("<new id>", text))
    text = re.sub(r'(request_id\\": \\")[0-9a-f]{32}', r"\1", text)
    text = re.sub(r'(last4\\":\\")[^\\]*', r"\1", re.sub(r'(prefix\\":\\")[^\\]*', r"\1", text))
    return json.loads(re.sub(r"imported <new id>", "imported", text))


def _says_nothing_of(bob: Owned, text: str, named: str = "") -> None:
    """`named` is what the caller sent, which an answer may repeat."""
    for secret in (SECRET_WORD, *bob.words.values()):
        if secret != named:
            assert secret not in text

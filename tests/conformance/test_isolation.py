"""User A can never see, change or infer user B's data.

Every operation is tried with each of B's ids wherever it can name something by an id: in the path, in the query and in
the body. A gets exactly the answer, and is left with exactly the data, as with an id that does not exist.
"""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fastapi.routing import APIRoute

from tandem.core.ids import uuid7
from tandem.momentum.main import build
from tests.builders import text_id
from tests.conformance.live import LiveServer, momentum_settings
from tests.conformance.operations import METHODS, Operation, Owned, Place, Sent, furnish, operations, requests_for
from tests.conformance.tables import Tables

SECRET_WORD = "zanzibar"
WITH_IDS = [operation for operation in operations() if operation.id_places]
CONDITIONS = ({}, {"If-Match": "*"}, {"If-None-Match": "*"})
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(\+00:00|Z)?")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def bob(server: LiveServer) -> Owned:
    return furnish(server, SECRET_WORD, credentials=True)


@pytest.fixture(autouse=True)
def nothing_of_bobs_changes(bob: Owned, tables: Tables) -> Iterator[None]:
    before = tables.rows_of(bob.user.id)
    assert before["tasks"]
    assert before["changes"]
    yield
    assert tables.rows_of(bob.user.id) == before


def test_the_document_lists_every_route() -> None:
    app = build(momentum_settings())
    routes = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods
        if method != "HEAD"
    }
    assert routes == {(operation.method, operation.path) for operation in operations()}
    assert {method.upper() for method in METHODS} >= {method for method, _ in routes}


def test_every_operation_and_every_id_in_it_has_a_request(server: LiveServer) -> None:
    """Fails for a new operation with a body or an id that `requests_for` does not cover."""
    prepared = requests_for(furnish(server))
    uncovered = [
        f"{operation}: {place}"
        for operation in operations()
        for place in operation.id_places
        if place[0] != "path" and not any(_real_places(sent, place) for sent in prepared.get(str(operation), []))
    ]
    without = [str(o) for o in operations() if o.body_schema is not None and str(o) not in prepared]
    assert (uncovered, without) == ([], [])


def test_every_prepared_request_works_for_the_owner(server: LiveServer) -> None:
    """Else the tests here would compare one refusal with another."""
    refused = {}
    for operation in operations():
        for index in range(len(requests_for(furnish(server)).get(str(operation), [Sent()]))):
            mine = furnish(server, credentials=_about_credentials(operation))
            sent = requests_for(mine).get(str(operation), [Sent()])[index]
            response = _send(server, mine, operation, sent, mine.path_of(operation))
            if not response.ok:
                refused[f"{operation} {sent}"] = response.text
    # Those users were made without a password.
    without_password = {"sign-in/email", "change-password", "delete-user"}
    assert not {k: v for k, v in refused.items() if not any(name in k for name in without_password)}


@pytest.mark.parametrize("operation", WITH_IDS, ids=str)
def test_another_users_id_is_as_good_as_one_that_does_not_exist(
    server: LiveServer, bob: Owned, operation: Operation
) -> None:
    for place in sorted(operation.id_places, key=str):
        for theirs, nobodys in _foreign_ids(operation, place, bob):
            for index, sent in enumerate(requests_for(bob).get(str(operation), [Sent()])):
                if place[0] != "path" and not _real_places(sent, place):
                    continue
                for condition in CONDITIONS if place[0] == "path" and index == 0 else CONDITIONS[:1]:
                    seen = [_try(server, operation, place, index, one, condition) for one in (theirs, nobodys)]
                    assert seen[0] == seen[1], f"{operation} {place} {theirs}"
                    _says_nothing_of(bob, json.dumps(seen), theirs)


@pytest.mark.parametrize("operation", [o for o in operations() if o.method == "GET" and "{" not in o.path], ids=str)
def test_no_list_shows_anything_of_another_user(server: LiveServer, bob: Owned, operation: Operation) -> None:
    mine = furnish(server)
    asked = [*requests_for(mine).get(str(operation), [Sent()]), Sent()]
    if operation.path == "/api/tasks":
        asked += [Sent({"search": word}) for word in (SECRET_WORD, "user", bob.user.id, f"user:{bob.user.id}")]
        asked += [Sent({"cursor": cursor}) for cursor in ("", _cursor_of(server, bob))]
    for sent in asked:
        response = _send(server, mine, operation, sent, {})
        assert response.status_code in {200, 401}
        if sent.query.get("search") != bob.user.id:
            _says_nothing_of(bob, response.text)
        elif operation.path == "/api/tasks":
            assert response.json()["items"] == []


def test_a_label_of_another_user_does_not_take_its_name(server: LiveServer, bob: Owned) -> None:
    mine = furnish(server)
    server.api(mine.user, "POST", "/api/labels", json={"name": f"{SECRET_WORD} label"})


def test_emptying_and_revoking_everything_is_about_ones_own(server: LiveServer, bob: Owned) -> None:
    mine = furnish(server)
    server.api(mine.user, "DELETE", "/api/trash")
    for path in ("revoke-other-sessions", "revoke-sessions"):
        server.api(mine.user, "POST", f"/api/auth/{path}")
    server.api(bob.user, "GET", "/api/auth/list-sessions")


def _foreign_ids(operation: Operation, place: Place, bob: Owned) -> list[tuple[str, str]]:
    """Pairs of one of Bob's ids and one of nobody's, which look alike."""
    if operation.path == "/api/auth/revoke-session":
        return [(one, text_id()) for one in (bob.session, bob.user.token)]
    kinds = {"project": bob.project, "label": bob.label, "token": bob.token}
    ids = [one for kind, one in kinds.items() if kind in f"{operation.path} {place}"]
    return [(one, str(uuid7())) for one in (*ids, bob.task, bob.trashed)]


def _try(  # noqa: PLR0917 - these six are the case
    server: LiveServer, operation: Operation, place: Place, index: int, foreign: str, condition: dict[str, str]
) -> Any:
    """What a new user gets and has after the request with `foreign` at `place`, in terms that two users share."""
    mine = furnish(server, credentials=_about_credentials(operation))
    sent = copy.deepcopy(requests_for(mine).get(str(operation), [Sent()])[index])
    path = mine.path_of(operation)
    if place[0] == "path":
        path[str(place[1])] = foreign
    else:
        for real in _real_places(sent, place):
            _put(sent, real, foreign)
    response = _send(server, mine, operation, sent, path, condition)
    views = ["/api/sync?limit=1000"]
    if _about_credentials(operation):
        views += ["/api/tokens", "/api/auth/list-sessions"]
    after = [server.http.get(server.url + view, headers=mine.user.headers, timeout=30).text for view in views]
    return _impersonal(mine, foreign, [response.status_code, sorted(response.headers), response.text, *after])


def _send(  # noqa: PLR0917 - and a request is what it takes
    server: LiveServer,
    mine: Owned,
    operation: Operation,
    sent: Sent,
    path: dict[str, str],
    headers: dict[str, str] | None = None,
) -> requests.Response:
    url = server.url + operation.path.format_map(path)
    every = mine.user.headers | (headers or {})
    return server.http.request(operation.method, url, params=sent.query, json=sent.body, headers=every, timeout=30)


def _about_credentials(operation: Operation) -> bool:
    return operation.path.startswith(("/api/auth", "/api/tokens"))


def _real_places(sent: Sent, place: Place) -> list[Place]:
    """Where this request has the field that `place` describes, 0 being any index."""
    root: Any = {"query": sent.query, "body": sent.body}
    found: list[tuple[Place, Any]] = [((), root)]
    for position, step in enumerate(place):
        following: list[tuple[Place, Any]] = []
        for at, value in found:
            if step == 0 and isinstance(value, list):
                following += [((*at, index), item) for index, item in enumerate(value)]
            elif step != 0 and isinstance(value, dict) and step in value:
                following.append(((*at, step), value[step]))
        found = following
        if not found and position:
            return []
    return [at for at, _ in found]


def _put(sent: Sent, place: Place, value: str) -> None:
    target: Any = {"query": sent.query, "body": sent.body}
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value


def _impersonal(mine: Owned, foreign: str, texts: list[Any]) -> Any:
    """Ids by their role, times by their being times, and all else as it is."""
    text = json.dumps(texts).replace(foreign, "<foreign>")
    for role, value in vars(mine).items():
        if isinstance(value, str):
            text = text.replace(value, f"<{role}>")
    text = text.replace(mine.user.id, "<user>").replace(mine.user.token, "<session token>")
    text = re.sub(r"session:\w{32}", "session", text)
    text = _TIME.sub("<time>", _UUID.sub("<new id>", text))
    text = re.sub(r'(request_id\\": \\")[0-9a-f]{32}', r"\1", text)
    text = re.sub(r'(last4\\":\\")[^\\]*', r"\1", re.sub(r'(prefix\\":\\")[^\\]*', r"\1", text))
    return json.loads(re.sub(r"imported <new id>", "imported", text))


def _says_nothing_of(bob: Owned, text: str, named: str = "") -> None:
    """`named` is the id that the caller sent, which an answer may repeat."""
    for secret in (SECRET_WORD, bob.user.id, bob.user.email, bob.user.token, *vars(bob).values()):
        if isinstance(secret, str) and secret != named:
            assert secret not in text


def _cursor_of(server: LiveServer, bob: Owned) -> str:
    page = server.api(bob.user, "GET", "/api/tasks?cursor=&limit=1")
    assert page["next_cursor"]
    return str(page["next_cursor"])

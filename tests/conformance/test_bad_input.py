"""Bad input of every kind is a clear 4xx on every operation, and changes nothing."""

import contextlib
import copy
import json
import socket
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.live import LiveServer
from tests.conformance.operations import DOCUMENT, METHODS, Operation, Owned, Sent, furnish, operations, requests_for
from tests.conformance.tables import Tables

JSON = {"Content-Type": "application/json"}
WITH_BODY = [operation for operation in operations() if operation.body_schema is not None]
WITH_ID = [operation for operation in operations() if "{" in operation.path]
WITH_QUERY = [o for o in operations() if any(p["in"] == "query" for p in o.definition.get("parameters", []))]
CONDITIONAL = [o for o in operations() if any(p["name"] == "if-match" for p in o.definition.get("parameters", []))]
MAIN_WRITES = [
    operation
    for operation in WITH_BODY
    if str(operation)
    in {
        "POST /api/tasks", "PATCH /api/tasks/{task_id}", "PUT /api/tasks/{task_id}", "POST /api/tasks/bulk",
        "POST /api/tasks/{task_id}/move", "POST /api/projects", "POST /api/labels", "PATCH /api/settings",
        "POST /api/import", "POST /api/tokens",
    }
]  # fmt: skip

NOT_JSON = [
    b"", b" ", b"{", b"{'title': 'a'}", b'{"a": 1} x', b'{"a": 1,}', b"undefined", b"\xff\xfe{}", b'{"a": "\xff"}',
    b'\xef\xbb\xbf{"a": 1}', '{"a": 1}'.encode("utf-16"), b'{"a": "\xed\xa0\x80"}', b'{"a": "\x00"}', b'{"\\ud800": 1}',
    b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000,
]  # fmt: skip
NOT_AN_OBJECT = [b"null", b"[]", b"true", b"5", b'"text"', b'"\\u0000"', b"1e999", b'{"\\u0000": 1}']
# Put in place of a field's value, as JSON text.
NOT_A_VALUE = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b"9" * 5000,
    b"1e999",
    b'"a\\u0000b"',
]
SOME_VALUES: list[Any] = [
    None, True, 5, -1, 0.5, 2**63, 2**64, 10**400, "", " ", "x", "x" * 20_000, "%", "1", "null", "2026-02-30",
    "2026-11-22T09:00:00", "2026-11-22T09:00:00Z", "24:00", "9:00", "0", [], [5], ["x"], [None], {}, {"a": 1}, [[]],
]  # fmt: skip
BAD_IDS = [
    "1", "0", "-1", "9223372036854775808", "9" * 5000, "1.5", "null", "not-a-uuid", "%00", "a%00b", "%ff", "%ed%a0%80",
    "..%2f..%2fetc", "'%20OR%201=1", "%F0%9F%98%80", "0f8fad5b-d9cb-469f-a165-70867728950", "x" * 2000,
]  # fmt: skip
BAD_QUERIES = [
    "%00=1", "unknown=1", "limit=%00", "q=%ff", "%ff=1", "limit=0", "limit=-1", "limit=201x", "limit=1e999", "page=0",
    "page=9223372036854775808", f"page={'9' * 5000}", "limit=NaN", "page=true", "cursor=%00", "sort=%00", "a[b]=1",
]  # fmt: skip
NOT_JSON_TYPES = ["text/plain", "", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "\xff"]


@pytest.fixture(scope="module")
def mine(server: LiveServer) -> Owned:
    return furnish(server, credentials=True)


@pytest.fixture(autouse=True)
def nothing_changes(server: LiveServer, mine: Owned, tables: Tables) -> Iterator[None]:
    before = tables.checksums()
    yield
    assert tables.checksums() == before


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
def test_what_is_no_json_object_is_refused(server: LiveServer, mine: Owned, operation: Operation) -> None:
    for body in NOT_JSON:
        _is_refused(_send(server, mine, operation, body), {400})
    for body in NOT_AN_OBJECT:
        _is_refused(_send(server, mine, operation, body), {400, 422})


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
def test_a_value_that_is_no_json_or_cannot_be_stored_is_refused_in_every_field(
    server: LiveServer, mine: Owned, operation: Operation
) -> None:
    for sent in requests_for(mine)[str(operation)]:
        for changed in _with_each_leaf_replaced(sent.body, "PUT IT HERE"):
            template = json.dumps(changed).encode()
            for value in NOT_A_VALUE:
                body = template.replace(b'"PUT IT HERE"', value)
                _is_refused(_send(server, mine, operation, body), {400, 422})


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
def test_a_value_that_the_document_forbids_is_refused_in_every_field(
    server: LiveServer, mine: Owned, operation: Operation
) -> None:
    schema = {**(operation.body_schema or {}), "components": DOCUMENT["components"]}
    allows = jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid
    tried = 0
    for sent in requests_for(mine)[str(operation)]:
        for value in SOME_VALUES:
            for changed in _with_each_leaf_replaced(sent.body, value):
                if not allows(changed):
                    tried += 1
                    body = json.dumps(changed).encode()
                    _is_refused(_send(server, mine, operation, body), {400, 422})
    assert tried > 5


@pytest.mark.parametrize("operation", [o for o in WITH_BODY if "/auth/" not in o.path], ids=str)
def test_a_field_nobody_knows_is_refused_by_name(server: LiveServer, mine: Owned, operation: Operation) -> None:
    for sent in requests_for(mine)[str(operation)]:
        body = json.dumps({**sent.body, "tilte": "Buy milk"}).encode()
        problem = _is_refused(_send(server, mine, operation, body), {422})
        assert "tilte" in {error["field"] for error in problem["errors"]}


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
def test_a_body_that_is_not_declared_json_is_415(server: LiveServer, mine: Owned, operation: Operation) -> None:
    body = json.dumps(requests_for(mine)[str(operation)][0].body).encode()
    for content_type in NOT_JSON_TYPES:
        _is_refused(_send(server, mine, operation, body, {"Content-Type": content_type}), {415})


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_beyond_the_limit_is_413(server: LiveServer, mine: Owned, operation: Operation, chunked: bool) -> None:
    size = 20_000_001 if operation.path == "/api/import" else 1_000_001
    padded = json.dumps(requests_for(mine)[str(operation)][0].body).encode() + b" " * size
    body = (padded[at : at + 100_000] for at in range(0, len(padded), 100_000)) if chunked else padded
    try:
        response = _send(server, mine, operation, body)
    except requests.ConnectionError:
        return  # the server does not wait for the rest of it
    _is_refused(response, {413})


@pytest.mark.parametrize("operation", WITH_ID, ids=str)
def test_an_id_that_is_none_is_refused(server: LiveServer, mine: Owned, operation: Operation) -> None:
    body = requests_for(mine).get(str(operation), [Sent()])[0].body
    for bad in BAD_IDS:
        path = dict.fromkeys(mine.path_of(operation), bad)
        response = server.http.request(
            operation.method,
            server.url + operation.path.format_map(path),
            json=body,
            headers=mine.user.headers,
            timeout=30,
        )
        _is_refused(response, {404, 422})


@pytest.mark.parametrize("operation", WITH_QUERY, ids=str)
def test_a_query_that_is_not_understood_is_refused(server: LiveServer, mine: Owned, operation: Operation) -> None:
    url = server.url + operation.path.format_map(mine.path_of(operation))
    for query in BAD_QUERIES:
        response = server.http.request(operation.method, f"{url}?{query}", headers=mine.user.headers, timeout=30)
        _is_refused(response, {400, 422})


@pytest.mark.parametrize("operation", CONDITIONAL, ids=str)
def test_a_condition_that_makes_no_sense_is_refused(server: LiveServer, mine: Owned, operation: Operation) -> None:
    body = requests_for(mine).get(str(operation), [Sent()])[0].body
    url = server.url + operation.path.format_map(mine.path_of(operation))
    for tag in ("garbage", '""', '"-1"', '"99999999999999999999999"', "1", 'W/"1"', "\xff", ",", "x" * 5000):
        headers = mine.user.headers | {"If-Match": tag}
        response = server.http.request(operation.method, url, json=body, headers=headers, timeout=30)
        _is_refused(response, {412, 422})


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_a_method_that_an_address_does_not_have_is_405(server: LiveServer, mine: Owned, path: str) -> None:
    url = server.url + path.format_map(dict.fromkeys(("task_id", "project_id", "label_id", "token_id"), mine.task))
    has = {method.upper() for method in DOCUMENT["paths"][path]} | {"HEAD", "OPTIONS"}
    for method in {*(m.upper() for m in METHODS), "TRACE", "PROPFIND"} - has:
        response = server.http.request(method, url, headers=mine.user.headers, timeout=30)
        _is_refused(response, {405})
        assert response.headers["Allow"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nX-Huge: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nCookie: " + b"better-auth.session_token=%ff;" * 100 + b"\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
    ids=["header", "address", "negative", "enormous", "chunk", "bearer", "cookie", "binary"],
)
def test_bytes_that_are_hardly_http_are_no_5xx(server: LiveServer, request_bytes: bytes) -> None:
    port = int(server.url.rpartition(":")[2])
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(request_bytes)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(100)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it need not listen to the end
    assert not answer or (answer[:9], answer[9:10]) == (b"HTTP/1.1 ", b"4")
    assert server.http.get(f"{server.url}/health/live", timeout=10).ok


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.uuids().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("operation", MAIN_WRITES, ids=str)
@settings(
    derandomize=True, max_examples=40, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_arbitrary_json_is_refused_without_a_trace(
    server: LiveServer, mine: Owned, operation: Operation, data: st.DataObject
) -> None:
    """Whole bodies, and valid ones with one value exchanged for anything that the document does not allow there."""
    schema = {**(operation.body_schema or {}), "components": DOCUMENT["components"]}
    body = data.draw(_ANYTHING)
    if data.draw(st.booleans()):
        valid = data.draw(st.sampled_from(requests_for(mine)[str(operation)])).body
        body = data.draw(st.sampled_from(list(_with_each_leaf_replaced(valid, body))))
    text = json.dumps(body)
    if "NaN" not in text and "Infinity" not in text:
        with contextlib.suppress(ValueError):  # jsonschema refuses what is no JSON either
            if jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(body):
                return
    _is_refused(_send(server, mine, operation, text.encode()), {400, 422})


def _send(
    server: LiveServer, mine: Owned, operation: Operation, body: Any, headers: dict[str, str] = JSON
) -> requests.Response:
    url = server.url + operation.path.format_map(mine.path_of(operation))
    return server.http.request(operation.method, url, data=body, headers=mine.user.headers | headers, timeout=30)


def _is_refused(response: requests.Response, statuses: set[int]) -> dict[str, Any]:
    """/api/auth has better-auth's shape, and 400 where the rest of the API has 422."""
    sent = response.request
    what = f"{sent.method} {sent.url[:200]} {bytes(sent.body[:300]) if isinstance(sent.body, bytes) else ''!r}: {response.text}"
    assert response.headers["X-Request-ID"], what
    problem: dict[str, Any] = response.json()
    if "/api/auth/" in sent.url:
        assert response.status_code in (statuses | {400} if 422 in statuses else statuses), what
        assert problem.keys() == {"message", "code"}, what
        return problem
    assert response.status_code in statuses, what
    assert response.headers["Content-Type"] == "application/problem+json", what
    assert problem["status"] == response.status_code, what
    assert problem["request_id"] == response.headers["X-Request-ID"], what
    assert problem["code"], what
    return problem


def _with_each_leaf_replaced(body: Any, value: Any) -> Iterator[Any]:
    """Copies of `body`, each with another value in it exchanged."""
    for place in _places(body):
        changed = copy.deepcopy(body)
        target = changed
        for step in place[:-1]:
            target = target[step]
        target[place[-1]] = value
        yield changed


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from _places(child, (*at, step))

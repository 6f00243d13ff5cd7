"""Bad input of every kind is a clear 4xx on every operation, and changes nothing."""

import contextlib
import copy
import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.core.ids import uuid7
from tests.conformance.live import LiveServer
from tests.conformance.operations import METHODS, Operation
from tests.conformance.service import Owned, Service, address, parts, path_parameters, send
from tests.conformance.services import SERVICES, for_operations, for_services
from tests.conformance.tables import Tables

JSON = {"Content-Type": "application/json"}
MAIN_WRITES = {name for service in SERVICES for name in service.main_writes}
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
# Of each row every field is sent one value that the document forbids there, another one for each field.
SOME_VALUES: dict[str, list[Any]] = {
    "nothing": [None],
    "booleans": [True],
    "numbers": [5, -1, 0.5],
    "enormous numbers": [2**63, 2**64, 10**400],
    "short texts": ["x", "", " ", "%", "1", "null", "0"],
    "long texts": ["x" * 20_000],
    "times": ["2026-02-30", "2026-11-22T09:00:00", "24:00", "9:00", "2026-11-22T09:00:00Z"],
    "arrays": [[5], [], ["x"], [None], [[]]],
    "objects": [{"a": 1}, {}],
}
BAD_IDS = [
    "1", "0", "-1", "9223372036854775808", "9" * 5000, "1.5", "null", "not-a-uuid", "%00", "a%00b", "%ff", "%ed%a0%80",
    "..%2f..%2fetc", "'%20OR%201=1", "%F0%9F%98%80", "0f8fad5b-d9cb-469f-a165-70867728950", "x" * 2000,
]  # fmt: skip
BAD_QUERIES = [
    "%00=1", "unknown=1", "limit=%00", "q=%ff", "%ff=1", "limit=0", "limit=-1", "limit=201x", "limit=1e999", "page=0",
    "page=9223372036854775808", f"page={'9' * 5000}", "limit=NaN", "page=true", "cursor=%00", "sort=%00", "a[b]=1",
]  # fmt: skip
BAD_HEADERS = {
    "if-match": ["garbage", '""', '"-1"', '"99999999999999999999999"', "1", 'W/"1"', "\xff", ",", "x" * 5000],
    "x-organization-id": ["", "garbage", "user:", "%00", "\xff", "\xc3\xa9", "x" * 201, "x" * 5000],
    "idempotency-key": ["", "a b", "\xff", "\xc3\xa9", "x" * 256, "x" * 5000],
    "last-event-id": ["x", "-1", "1.5", "\xff", str(2**63), "9" * 5000],
}
LENIENT_HEADERS = {"if-none-match"}  # what it names just does not match
NOT_JSON_TYPES = ["text/plain", "", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "\xff"]


with_json = for_operations(lambda operation: operation.body_schema is not None)


@pytest.fixture(autouse=True)
def nothing_changes(mine: Owned, tables: Tables) -> Iterator[None]:
    before = tables.checksums()
    yield
    assert tables.checksums() == before


@with_json
def test_what_is_no_json_object_is_refused(server: LiveServer, mine: Owned, operation: Operation) -> None:
    allowed = () if operation.needs_a_body else (b"", b"null")
    for body in NOT_JSON:
        if body not in allowed:
            _is_refused(_send(server, mine, operation, body), {400})
    for body in NOT_AN_OBJECT:
        if body not in allowed:
            _is_refused(_send(server, mine, operation, body), {400, 422})


@with_json
def test_a_value_that_is_no_json_or_cannot_be_stored_is_refused_in_every_field(
    service: Service, server: LiveServer, mine: Owned, operation: Operation
) -> None:
    for sent in service.sent(mine, operation):
        for changed in _with_each_leaf_replaced(sent.body, "PUT IT HERE"):
            template = json.dumps(changed).encode()
            for value in NOT_A_VALUE:
                body = template.replace(b'"PUT IT HERE"', value)
                _is_refused(_send(server, mine, operation, body), {400, 422})


@with_json
def test_a_value_that_the_document_forbids_is_refused_in_every_field(
    service: Service, server: LiveServer, mine: Owned, operation: Operation
) -> None:
    """One of each kind in every place, and every value of a kind in some place."""
    allows = _validator(operation).is_valid
    turns, tried = itertools.count(), 0
    for sent in service.sent(mine, operation):
        for place in _places(sent.body):
            for values in SOME_VALUES.values():
                first = next(turns) % len(values)
                candidates = (_replaced(sent.body, place, value) for value in [*values[first:], *values[:first]])
                forbidden = next((changed for changed in candidates if not allows(changed)), None)
                if forbidden is not None:
                    tried += 1
                    _is_refused(_send(server, mine, operation, json.dumps(forbidden).encode()), {400, 422})
    assert tried > 5


@for_operations(lambda operation: operation.body_schema is not None and "/auth/" not in operation.path)
def test_a_field_nobody_knows_is_refused_by_name(
    service: Service, server: LiveServer, mine: Owned, operation: Operation
) -> None:
    for sent in service.sent(mine, operation):
        body = json.dumps({**sent.body, "tilte": "Buy milk"}).encode()
        problem = _is_refused(_send(server, mine, operation, body), {422})
        assert any(error["field"].endswith("tilte") for error in problem["errors"])


@with_json
def test_a_body_that_is_not_declared_json_is_415(
    service: Service, server: LiveServer, mine: Owned, operation: Operation
) -> None:
    body = json.dumps(service.sent(mine, operation)[0].body).encode()
    for content_type in NOT_JSON_TYPES:
        _is_refused(_send(server, mine, operation, body, {"Content-Type": content_type}), {415})


@for_operations(lambda operation: "requestBody" in operation.definition)
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_beyond_the_limit_is_413(
    service: Service, server: LiveServer, mine: Owned, operation: Operation, chunked: bool
) -> None:
    size = service.app.body_limits.get(operation.path, 1_000_000) + 1
    padded = json.dumps(service.sent(mine, operation)[0].body).encode() + b" " * size
    body = (padded[at : at + 100_000] for at in range(0, len(padded), 100_000)) if chunked else padded
    headers = JSON if operation.form_schema is None else {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        response = _send(server, mine, operation, body, headers)
    except requests.ConnectionError:
        return  # the server does not wait for the rest of it
    # The reader of an upload need not wait for the limit to see that this is none.
    _is_refused(response, {413} if operation.form_schema is None or not chunked else {400, 413})


@for_operations(lambda operation: operation.form_schema is not None)
def test_an_upload_that_is_none_is_refused(
    service: Service, server: LiveServer, mine: Owned, operation: Operation
) -> None:
    valid = service.sent(mine, operation)[0].form
    assert valid is not None
    whole = requests.Request("POST", server.url, files=parts(valid)).prepare()
    assert isinstance(whole.body, bytes)
    content_type = str(whole.headers["Content-Type"])
    boundary = content_type.partition("boundary=")[2].encode()
    for body in (
        b"",
        b"{}",
        b"--" + boundary,
        whole.body.replace(b"\r\n", b""),
        whole.body.replace(boundary, b"other"),
    ):
        _is_refused(_send(server, mine, operation, body, {"Content-Type": content_type}), {400, 422})
    for half in (whole.body[: len(whole.body) // 2], whole.body[:-10]):
        _is_refused(_send(server, mine, operation, half, {"Content-Type": content_type}), {400, 422})
    for declared in (*NOT_JSON_TYPES, "application/json"):
        _is_refused(_send(server, mine, operation, whole.body, {"Content-Type": declared}), {415})
    for declared in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\xff"):
        _is_refused(_send(server, mine, operation, whole.body, {"Content-Type": declared}), {400, 415, 422})


@for_operations(lambda operation: operation.form_schema is not None)
def test_a_part_of_an_upload_that_the_document_forbids_is_refused(
    service: Service, server: LiveServer, mine: Owned, operation: Operation
) -> None:
    schema = operation.resolved(operation.form_schema or {})
    for sent in service.sent(mine, operation):
        form = sent.form or {}
        bad: list[dict[str, Any]] = [{name: form[name] for name in form if name != one} for one in schema["required"]]
        bad += [{**form, "tilte": "Buy milk"}, {**form, "": "nothing"}]
        for name, field in schema["properties"].items():
            if field.get("format") == "binary":
                bad += [{**form, name: value} for value in (*service.bad_files, "a text without a file name")]
                bad.append({**form, f"{name}2": form[name]})
                continue
            allows = _validator(operation, field).is_valid
            values = [*SOME_VALUES["short texts"], *SOME_VALUES["long texts"], "a\x00b", "\udc80"]
            bad += [{**form, name: v} for v in values if {"\x00", "\udc80"} & {*v} or not (v == "" or allows(v))]
        for one in bad:
            answer = server.http.post(
                address(server, mine, operation), files=parts(one), headers=mine.user.headers, timeout=30
            )
            _is_refused(answer, {400, 415, 422})


@for_operations(lambda operation: "{" in operation.path)
def test_an_id_that_is_none_is_refused(service: Service, server: LiveServer, mine: Owned, operation: Operation) -> None:
    sent = service.sent(mine, operation)[0]
    names = list(path_parameters(operation.path))
    for name in names:
        is_number = operation.parameters("path")[name].get("type") == "integer"
        for bad in BAD_IDS:
            if is_number and bad == "1":
                continue
            path = mine.path_of(operation) | {name: bad}
            response = server.http.request(
                operation.method,
                address(server, mine, operation, path),
                json=sent.body,
                headers=mine.user.headers,
                timeout=30,
            )
            _is_refused(response, {404, 422})


@for_operations(lambda operation: operation.parameters("query"))
def test_a_query_that_is_not_understood_is_refused(server: LiveServer, mine: Owned, operation: Operation) -> None:
    url = address(server, mine, operation)
    for query in BAD_QUERIES:
        response = server.http.request(operation.method, f"{url}?{query}", headers=mine.user.headers, timeout=30)
        _is_refused(response, {400, 422})


@for_operations(lambda operation: operation.parameters("header"))
def test_a_header_that_makes_no_sense_is_refused(
    service: Service, server: LiveServer, mine: Owned, operation: Operation
) -> None:
    """If-Match is looked at last, so a thing in a state that forbids the operation anyway may be a 409."""
    sent = service.sent(mine, operation)[0]
    expected = {404, 412, 422} | ({409} if str(operation) in service.before else set())
    for name in operation.parameters("header"):
        for value in () if name.lower() in LENIENT_HEADERS else BAD_HEADERS[name.lower()]:
            _is_refused(send(server, mine, operation, sent, headers={name: value.encode("latin-1")}), expected)


@pytest.mark.parametrize(
    ("service", "path"),
    [pytest.param(s, path, id=f"{s} {path}") for s in SERVICES for path in s.document["paths"]],
)
def test_a_method_that_an_address_does_not_have_is_405(
    service: Service, server: LiveServer, mine: Owned, path: str
) -> None:
    url = server.url + path.format_map({name: str(uuid7()) for name in path_parameters(path)})
    has = {method.upper() for method in service.document["paths"][path]} | {"HEAD", "OPTIONS"}
    for method in {*(m.upper() for m in METHODS), "TRACE", "PROPFIND"} - has:
        response = server.http.request(method, url, headers=mine.user.headers, timeout=30)
        _is_refused(response, {405})
        assert response.headers["Allow"]


@for_services
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /somewhere HTTP/1.1\r\nHost: x\r\nX-Huge: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /somewhere HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /somewhere HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /somewhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /somewhere HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /somewhere HTTP/1.1\r\nHost: x\r\nCookie: " + b"better-auth.session_token=%ff;" * 100 + b"\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
    ids=["header", "address", "negative", "enormous", "chunk", "bearer", "cookie", "binary"],
)
def test_bytes_that_are_hardly_http_are_no_5xx(service: Service, server: LiveServer, request_bytes: bytes) -> None:
    request_bytes = request_bytes.replace(b"/somewhere", service.somewhere.encode())
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


@for_operations(lambda operation: str(operation) in MAIN_WRITES)
@settings(
    derandomize=True, max_examples=25, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_arbitrary_json_is_refused_without_a_trace(
    service: Service, server: LiveServer, mine: Owned, operation: Operation, data: st.DataObject
) -> None:
    """Whole bodies, and valid ones with one value exchanged for anything that the document does not allow there."""
    body = data.draw(_ANYTHING)
    if data.draw(st.booleans()):
        valid = data.draw(st.sampled_from(service.sent(mine, operation))).body
        body = data.draw(st.sampled_from(list(_with_each_leaf_replaced(valid, body))))
    text = json.dumps(body)
    if "NaN" not in text and "Infinity" not in text:
        with contextlib.suppress(ValueError):  # jsonschema refuses what is no JSON either
            if _validator(operation).is_valid(body):
                return
    _is_refused(_send(server, mine, operation, text.encode()), {400, 422})


def _validator(operation: Operation, schema: dict[str, Any] | None = None) -> Any:
    """Of `schema`, or of the operation's body."""
    whole = operation.whole_schema if schema is None else {**schema, "components": operation.document["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def _send(
    server: LiveServer, mine: Owned, operation: Operation, body: Any, headers: dict[str, str] = JSON
) -> requests.Response:
    every = mine.user.headers | headers
    return server.http.request(operation.method, address(server, mine, operation), data=body, headers=every, timeout=30)


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
        yield _replaced(body, place, value)


def _replaced(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    target = changed
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return changed


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from _places(child, (*at, step))

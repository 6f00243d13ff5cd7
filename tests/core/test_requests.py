"""Bad input of every kind is a clear 4xx, and nothing of it reaches a route."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tandem.core.errors import InvalidPayload, MalformedJson
from tandem.core.requests import parse_json
from tests.core import edge_service

URL = "/api/things"
JSON = {"content-type": "application/json"}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    edge_service.received.clear()
    async with edge_service.calling() as client:
        yield client


async def _refused(client: httpx2.AsyncClient, body: bytes, status: int, code: str) -> dict[str, Any]:
    response = await client.post(URL, content=body, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert edge_service.received == []
    problem: dict[str, Any] = response.json()
    return problem


@pytest.mark.parametrize(
    "body",
    [
        b'{"title": NaN}',
        b'{"title": "a", "size": Infinity}',
        b'{"title": "a", "size": -Infinity}',
        b'{"title": "\\ud800"}',
        b'{"title": "\\udc00\\ud800"}',
        b'{"title": "a", "\\ud800": 1}',
        b'{"title": "\xed\xa0\x80"}',
        b'{"title": "\xff"}',
        b"\xff\xfe",
        b'\xef\xbb\xbf{"title": "a"}',
        '{"title": "a"}'.encode("utf-16"),
        b'{"title": "a", "size": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"title":' * 100_000,
        b'{"title": "a", "more": {"x": ' + b"[" * 300 + b"]" * 300 + b"}}",
        b"",
        b" ",
        b'{"title": "a"} x',
        b'{"title": "a",}',
        b"{'title': 'a'}",
        b'{"title": "a\x00b"}',
        b'{"title": "a\nb"}',
        b'{"title": "a"',
        b"undefined",
    ],
)
async def test_what_is_not_strict_json_is_malformed(client: httpx2.AsyncClient, body: bytes) -> None:
    await _refused(client, body, 400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        (b'{"title": "a\\u0000b"}', "title", "nul_character"),
        (b'{"title": "a", "labels": ["b", "\\u0000"]}', "labels.1", "nul_character"),
        (b'{"title": "a", "x\\u0000y": 1}', "body", "nul_character"),
        (b'{"title": "a", "more": {"deep": {"\\u0000": 1}}}', "more.deep", "nul_character"),
        (b'"\\u0000"', "body", "nul_character"),
        (b'{"title": "a", "size": 1e999}', "size", "finite_number"),
        (b'{"title": "a", "more": {"x": -1E+400}}', "more.x", "finite_number"),
        (b'{"title": "a", "size": ' + b"9" * 400 + b".5}", "size", "finite_number"),
    ],
)
async def test_what_postgres_cannot_store_names_its_field(
    client: httpx2.AsyncClient, body: bytes, field: str, code: str
) -> None:
    problem = await _refused(client, body, 422, "invalid_payload")
    assert (problem["errors"][0]["field"], problem["errors"][0]["code"]) == (field, code)


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"1", b"true", b"{}", b'{"title": 1}', b'{"title": ""}'])
async def test_json_of_the_wrong_shape_is_an_invalid_payload(client: httpx2.AsyncClient, body: bytes) -> None:
    problem = await _refused(client, body, 422, "invalid_payload")
    assert all(set(e) == {"field", "message", "code"} for e in problem["errors"])


async def test_an_escaped_backslash_before_u0000_is_ordinary_text(client: httpx2.AsyncClient) -> None:
    response = await client.post(URL, content=rb'{"title": "\\u0000"}', headers=JSON)
    assert response.json()["title"] == r"\u0000"


async def test_every_character_above_nul_survives(client: httpx2.AsyncClient) -> None:
    title = "\x01\x7f\u2028 日本 😀 \uffff"
    response = await client.post(URL, json={"title": title})
    assert (response.status_code, response.json()["title"]) == (201, title)


async def test_a_number_a_double_can_hold_passes(client: httpx2.AsyncClient) -> None:
    response = await client.post(URL, content=b'{"title": "a", "size": 1e300}', headers=JSON)
    assert response.json()["size"] == 1e300


async def test_of_a_repeated_key_the_last_value_counts(client: httpx2.AsyncClient) -> None:
    response = await client.post(URL, content=b'{"title": "first", "title": "last"}', headers=JSON)
    assert response.json()["title"] == "last"


async def test_input_is_never_echoed(client: httpx2.AsyncClient) -> None:
    content = json.dumps({"title": "a", "size": "hunter2-hunter2"}).encode()
    assert "hunter2" not in str(await _refused(client, content, 422, "invalid_payload"))
    assert "hunter2" not in str(await _refused(client, b'{"title": hunter2}', 400, "malformed_json"))


async def test_an_unknown_field_is_named_but_cut_short(client: httpx2.AsyncClient) -> None:
    content = json.dumps({"title": "a", "k" * 5000: 1}).encode()
    problem = await _refused(client, content, 422, "invalid_payload")
    assert problem["errors"][0]["field"] == "k" * 100


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/json",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "json",
        "\xff",
    ],
)
async def test_a_body_that_is_not_declared_json_is_415(client: httpx2.AsyncClient, content_type: str | None) -> None:
    headers = [] if content_type is None else [(b"content-type", content_type.encode("latin-1"))]
    response = await client.post(URL, content=b'{"title": "a"}', headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert edge_service.received == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/merge-patch+json",
    ],
)
async def test_every_spelling_of_json_is_accepted(client: httpx2.AsyncClient, content_type: str) -> None:
    response = await client.post(URL, content=b'{"title": "a"}', headers={"content-type": content_type})
    assert response.status_code == 201


async def test_an_optional_body_may_be_absent_but_not_malformed(client: httpx2.AsyncClient) -> None:
    assert (await client.post(f"{URL}/optional")).json() == {"given": False}
    assert (await client.post(f"{URL}/optional", json={"title": "a"})).json() == {"given": True}
    assert (await client.post(f"{URL}/optional", content=b"{", headers=JSON)).status_code == 400


async def test_a_body_in_chunks_is_put_together(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for part in (b'{"ti', b"", b'tle": "in', b' parts"}'):
            yield part

    response = await client.post(URL, content=chunks(), headers=JSON)
    assert response.json()["title"] == "in parts"


@pytest.mark.parametrize("query", ["q=%00", "q=a%00b&limit=3", "limit=%00"])
async def test_nul_in_a_query_names_the_parameter(client: httpx2.AsyncClient, query: str) -> None:
    response = await client.get(f"{URL}?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == query.split("=", maxsplit=1)[0]


@pytest.mark.parametrize("query", ["q=%ff", "q=%ed%a0%80", "%c3=1", "%00=1"])
async def test_a_query_that_is_not_utf8_text_is_422(client: httpx2.AsyncClient, query: str) -> None:
    response = await client.get(f"{URL}?{query}")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "query")


async def test_percent_encoded_text_in_a_query_is_read(client: httpx2.AsyncClient) -> None:
    response = await client.get(URL, params={"q": "50% 日本 +&="})
    assert response.json()["q"] == "50% 日本 +&="


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/things/%00", 404),
        ("/api/things/a%00b", 404),
        ("/api/things/%ff", 422),
        ("/api/things/17", 422),
        ("/api/things/9223372036854775808", 422),
        ("/api/things/not-a-uuid", 422),
        ("/api/things/" + "a" * 5000, 422),
        ("/api/things/..%2f..%2fetc", 404),
    ],
)
async def test_an_impossible_id_in_a_path_is_404_or_422(client: httpx2.AsyncClient, path: str, status: int) -> None:
    response = await client.get(path)
    assert response.status_code == status


def test_parse_json_gives_python_values() -> None:
    assert parse_json(b'{"a": [1, 2.5, null, true, "\\ud83d\\ude00"]}') == {"a": [1, 2.5, None, True, "😀"]}


def test_a_long_integer_within_a_double_is_no_error() -> None:
    assert parse_json(b"9" * 310) == int("9" * 310)
    with pytest.raises(MalformedJson):
        parse_json(b"9" * 4301)
    with pytest.raises(InvalidPayload):
        parse_json(b"[9" + b"0" * 309 + b".0]")

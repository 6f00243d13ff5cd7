import base64
import json
from typing import Any

import pytest

from tandem.core.paging import InvalidCursor, KeysetQuery, Page, PageQuery, decode_cursor, encode_cursor


@pytest.mark.parametrize("values", [(), (1,), ("2026-11-22T10:00:00Z", "0199-id"), (None, "日本 😀", 2.5, True)])
def test_a_cursor_comes_back_as_it_was_made(values: tuple[Any, ...]) -> None:
    cursor = encode_cursor("created", *values)
    assert decode_cursor(cursor, "created", len(values)) == list(values)
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def _cursor(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "!!!!",
        "\x00",
        "日本",
        "====",
        _cursor(b"{}"),
        _cursor(b'"created"'),
        _cursor(b"[]"),
        _cursor(b'["due", 1]'),
        _cursor(b'["created"]'),
        _cursor(b'["created", 1, 2]'),
        _cursor(b"\xff\xfe"),
        _cursor(b"[" * 1400),
        _cursor(b"[" + b"9" * 5000),
    ],
)
def test_anything_else_is_an_invalid_cursor(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor, "created", 1)


@pytest.mark.parametrize("value", ["\\u0000", "\\ud800"])
def test_a_cursor_cannot_smuggle_in_what_postgres_cannot_store(value: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(_cursor(f'["created", "{value}"]'.encode()), "created", 1)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_a_cursor_holds_no_number_outside_json(value: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(_cursor(f'["created", {value}]'.encode()), "created", 1)


def test_a_forged_cursor_of_the_right_form_is_only_a_place() -> None:
    assert decode_cursor(_cursor(json.dumps(["created", "x"]).encode()), "created", 1) == ["x"]


@pytest.mark.parametrize(("total", "limit", "pages"), [(0, 50, 0), (1, 50, 1), (50, 50, 1), (51, 50, 2), (7, 1, 7)])
def test_a_numbered_page_says_how_many_there_are(total: int, limit: int, pages: int) -> None:
    response = Page('[{"a":1}]', total).response(PageQuery(limit=limit, page=1))
    assert json.loads(response.body) == {
        "items": [{"a": 1}],
        "total": total,
        "page": 1,
        "limit": limit,
        "pages": pages,
    }
    assert (response.headers["x-total-count"], response.headers["x-page-number"]) == (str(total), "1")


def test_a_keyset_page_counts_nothing() -> None:
    response = Page("[]", None, "abc").response(KeysetQuery())
    body = json.loads(response.body)
    assert (body["total"], body["page"], body["pages"], body["next_cursor"]) == (None, None, None, "abc")
    assert "x-total-count" not in response.headers

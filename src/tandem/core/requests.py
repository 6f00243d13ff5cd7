"""What a request may contain, decided once for every feature: strict JSON, and text that Postgres can store.

Accepted is JSON as of RFC 8259 in UTF-8, at most 200 levels deep. Refused with 400 `malformed_json`: NaN and Infinity,
lone surrogates, a byte order mark, integers beyond 4300 digits, trailing text. Refused with 422 `invalid_payload`: the
NUL character and numbers that no double can hold. Of a repeated key the last value counts, as in JavaScript's
`JSON.parse`.
"""

import math
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from pydantic_core import from_json
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from tandem.core.errors import InvalidPayload, MalformedJson, NotFound, UnsupportedMediaType

MAX_FIELD = 100  # characters of a client's own key that an error repeats

# Only a body that matches can hold a NUL or a number beyond a double, and so must be walked through.
_SUSPECT = re.compile(rb"\\u0000|\d[eE]\+?\d{3}|\d{309}")


def parse_json(body: bytes) -> Any:
    """The value of a JSON text; raises MalformedJson or InvalidPayload."""
    if not body:
        raise MalformedJson("The body is empty; send a JSON value")
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedJson(f"The body is not valid JSON: {error}") from None
    if _SUSPECT.search(body):
        for path, message, code in _unstorable(value, ()):
            raise InvalidPayload.of(dotted(path) or "body", message, code)
    return value


async def with_strict_json(scope: Scope, receive: Receive, *, required: bool) -> Receive:
    """Read and check the body ahead of FastAPI; gives the `receive` that hands it on."""
    body = await _whole_body(receive)
    if body or required:
        if body:
            _require_json(scope)
        parse_json(body)
    handed_on = False

    async def replay() -> Message:
        nonlocal handed_on
        if handed_on:
            return await receive()
        handed_on = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def refuse_unreadable_address(scope: Scope) -> None:
    """Raise NotFound for a path, InvalidPayload for a query, that no stored text can equal."""
    if "\x00" in scope["path"]:
        raise NotFound()
    query: bytes = scope["query_string"]
    if b"%" not in query:
        return
    try:
        text = unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise InvalidPayload.of("query", "must be percent-encoded UTF-8", "invalid_encoding") from None
    if "\x00" in text:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        name = next((k for k, v in pairs if "\x00" in v and "\x00" not in k), "query")
        raise InvalidPayload.of(name[:MAX_FIELD], "must not contain the NUL character", "nul_character")


def dotted(path: tuple[int | str, ...]) -> str:
    """`("labels", 0)` as `labels.0`, with a client's own keys cut short."""
    return ".".join(str(part)[:MAX_FIELD] for part in path)


def _unstorable(value: Any, path: tuple[int | str, ...]) -> Iterator[tuple[tuple[int | str, ...], str, str]]:
    if isinstance(value, str):
        if "\x00" in value:
            yield path, "must not contain the NUL character", "nul_character"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, "is too large a number", "finite_number"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unstorable(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if "\x00" in key:
                yield path, "must not have the NUL character in a field name", "nul_character"
            yield from _unstorable(item, (*path, key))


def _content_type(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return bytes(value)
    return b""


def _is_json(content_type: bytes) -> bool:
    if content_type == b"application/json":
        return True
    media_type, _, parameters = content_type.lower().partition(b";")
    media_type = media_type.strip()
    charset = re.search(rb'charset\s*=\s*"?([^\s";]+)', parameters)
    if charset and charset[1] not in {b"utf-8", b"utf8", b"us-ascii"}:
        return False
    return media_type == b"application/json" or (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    )


def _require_json(scope: Scope) -> None:
    if not _is_json(_content_type(scope)):
        raise UnsupportedMediaType()


async def _whole_body(receive: Receive) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return bytes(message.get("body", b""))
    chunks = []
    while message["type"] == "http.request":
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()
    raise ClientDisconnect

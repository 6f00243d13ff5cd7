"""What the loopback OpenAI server says: JSON that fits a schema, and the events of both APIs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]
FILE = {"file_id": "file-1", "filename": "prices.md"}


@dataclass(frozen=True)
class Bill:
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    searches: int = 0


def sample(schema: dict[str, Any], root: dict[str, Any] | None = None, name: str = "text") -> Any:
    """The plainest value that fits: lists have their minimum of items, of objects at least one."""
    root = root or schema
    while "$ref" in schema or "anyOf" in schema:
        ref = schema.get("$ref", "").rsplit("/", 1)[-1]
        schema = root["$defs"][ref] if ref else schema["anyOf"][0]
    kind = schema.get("type")
    if kind == "object":
        return {key: sample(value, root, key) for key, value in schema.get("properties", {}).items()}
    if kind == "array":
        items = schema.get("items", {})
        fewest = 1 if "$ref" in items or items.get("type") == "object" else 0
        return [sample(items, root, name) for _ in range(max(schema.get("minItems", 0), fewest))]
    least = schema.get("minimum", 1)
    text = f"A {name} from the loopback model"[: schema.get("maxLength", 100)]
    plain = {"integer": least, "number": least, "boolean": True, "null": None}.get(str(kind), text)
    return schema.get("const", [*schema.get("enum", []), plain][0])


def pieces(text: str, count: int = 12) -> list[str]:
    size = max(1, -(-len(text) // count))
    return [text[at : at + size] for at in range(0, len(text), size)]


def chat_usage(bill: Bill) -> Event:
    return {
        "prompt_tokens": bill.input_tokens,
        "completion_tokens": bill.output_tokens,
        "total_tokens": bill.input_tokens + bill.output_tokens,
        "prompt_tokens_details": {"cached_tokens": bill.cached_tokens},
    }


def chat_chunk(number: int, model: str, **rest: Any) -> Event:
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": model,
        "service_tier": "default",
        "choices": [],
    } | rest


def chat_delta(delta: Event, finish: str | None = None) -> list[Event]:
    return [{"index": 0, "delta": delta, "finish_reason": finish}]


def response(number: int, model: str, status: str, output: list[Event], bill: Bill | None) -> Event:
    usage = bill and {
        "input_tokens": bill.input_tokens,
        "output_tokens": bill.output_tokens,
        "total_tokens": bill.input_tokens + bill.output_tokens,
        "input_tokens_details": {"cached_tokens": bill.cached_tokens},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return {
        "id": f"resp-{number}",
        "object": "response",
        "created_at": 1_760_000_000,
        "model": model,
        "status": status,
        "output": output,
        "usage": usage,
        "service_tier": "default",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1,
    }


def search_item(number: int, *, done: bool, results: bool) -> Event:
    found = [{**FILE, "score": 0.9, "text": "Stollen costs 12 euros.", "attributes": {}}] if results and done else None
    status = "completed" if done else "in_progress"
    return {"id": f"fs-{number}", "type": "file_search_call", "status": status, "queries": ["q"], "results": found}


def message_item(text: str, *, done: bool, cites: bool = False) -> Event:
    marks = [{"type": "file_citation", "index": 1, **FILE}] if cites else []
    part = {"type": "output_text", "text": text, "annotations": marks}
    status = "completed" if done else "in_progress"
    return {"id": "msg-1", "type": "message", "role": "assistant", "status": status, "content": [part] if done else []}


def response_searches(items: list[Event]) -> Iterator[Event]:
    for index, item in enumerate(items):
        waiting = item | {"status": "in_progress", "results": None}
        yield {"type": "response.output_item.added", "output_index": index, "item": waiting}
        for step in ("in_progress", "searching", "completed"):
            yield {"type": f"response.file_search_call.{step}", "output_index": index, "item_id": item["id"]}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}


def response_text(index: int, text: str, *, cites: bool) -> Iterator[Event]:
    at = {"output_index": index, "item_id": "msg-1", "content_index": 0}
    item, part = message_item(text, done=True, cites=cites), {"type": "output_text", "text": "", "annotations": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": message_item("", done=False)}
    yield {"type": "response.content_part.added", **at, "part": part}
    for piece in pieces(text):
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
    for mark in item["content"][0]["annotations"]:
        added = {"annotation_index": 0, "annotation": mark}
        yield {"type": "response.output_text.annotation.added", **at, **added}
    yield {"type": "response.output_text.done", **at, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": item["content"][0]}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def response_refusal(index: int) -> Iterator[Event]:
    at = {"output_index": index, "item_id": "msg-1", "content_index": 0}
    yield {"type": "response.output_item.added", "output_index": index, "item": message_item("", done=False)}
    yield {"type": "response.refusal.delta", **at, "delta": "I cannot "}
    yield {"type": "response.refusal.done", **at, "refusal": "I cannot help with that."}


def is_text(event: Event) -> bool:
    choice = (event.get("choices") or [{}])[0]
    return event.get("type") == "response.output_text.delta" or bool((choice.get("delta") or {}).get("content"))


def error_body(message: str, kind: str, code: str | None = None) -> Event:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def text_of(body: Event) -> str:
    """All text of a request, as it is charged for."""
    parts = [message.get("content") for message in body.get("messages") or ()]
    given = body.get("input")
    parts += [given] if isinstance(given, str) else [item.get("content") for item in given or ()]
    return "\n".join(p if isinstance(p, str) else json.dumps(p) for p in [body.get("instructions") or "", *parts])


def schema_of(body: Event) -> dict[str, Any] | None:
    chat = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    return chat or ((body.get("text") or {}).get("format") or {}).get("schema")

"""Operations as an OpenAPI document has them, where requests for them name things by id, and sending such requests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

METHODS = ("get", "put", "post", "delete", "patch")
KEY = "{}"  # in a Place: any key of an object
_ID_NAME = re.compile(r"(^|_)ids?$|[a-z]Id$|-Id$|^token$|^labels?$|^organization$")

Place = tuple[str | int, ...]  # ("path", "task_id"), ("query", "project"), ("body", "labels", 0), ("header", "X-…-Id")
Document = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    definition: dict[str, Any] = field(hash=False, compare=False, repr=False)
    document: Document = field(hash=False, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def name(self) -> str:
        return str(self.definition["operationId"])

    @property
    def body_schema(self) -> dict[str, Any] | None:
        """The JSON Schema of its body, references unresolved."""
        return self._content("application/json")

    @property
    def form_schema(self) -> dict[str, Any] | None:
        """The same of an upload."""
        return self._content("multipart/form-data")

    @property
    def needs_a_body(self) -> bool:
        return bool(self.definition.get("requestBody", {}).get("required"))

    @property
    def whole_schema(self) -> dict[str, Any]:
        """`body_schema` for a validator, which can follow its references."""
        return {**(self.body_schema or {}), "components": self.document["components"]}

    def parameters(self, where: str) -> dict[str, dict[str, Any]]:
        """The schemas of its parameters in "path", "query" or "header", by name."""
        found = self.definition.get("parameters", [])
        return {parameter["name"]: parameter["schema"] for parameter in found if parameter["in"] == where}

    @property
    def id_places(self) -> set[Place]:
        """Where a request may name something by its id; 0 stands for any index of an array."""
        places: set[Place] = {("path", name) for name in self.parameters("path")}
        for where in ("query", "header"):
            places |= {(where, name) for name, schema in self.parameters(where).items() if self._is_id(name, schema)}
        for where, body in (("body", self.body_schema), ("form", self.form_schema)):
            if body is not None:
                places |= {(where, *place) for place in self._ids_of(body)}
        return places

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        return resolved(self.document, schema)

    def _content(self, media_type: str) -> dict[str, Any] | None:
        content = self.definition.get("requestBody", {}).get("content", {})
        schema: dict[str, Any] | None = content.get(media_type, {}).get("schema")
        return schema

    def _variants(self, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        schema = self.resolved(schema)
        nested = [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("allOf", [])]
        if not nested:
            yield schema
        for part in nested:
            yield from self._variants(part)

    def _ids_of(self, schema: dict[str, Any]) -> Iterator[Place]:
        for variant in self._variants(schema):
            for name, value in variant.get("properties", {}).items():
                if self._is_id(name, value):
                    is_list = any(v.get("type") == "array" for v in self._variants(value))
                    yield (name, 0) if is_list else (name,)
                yield from ((name, *rest) for rest in self._ids_of(value))
            if variant.get("propertyNames", {}).get("format") == "uuid":
                yield (KEY,)
            if variant.get("type") == "array":
                yield from ((0, *rest) for rest in self._ids_of(variant["items"]))

    def _is_id(self, name: str, schema: dict[str, Any]) -> bool:
        shapes = [*self._variants(schema)]
        items = [item for shape in shapes if shape.get("type") == "array" for item in self._variants(shape["items"])]
        if any("properties" in item for item in items):
            return False
        return any(shape.get("format") == "uuid" for shape in [*shapes, *items]) or bool(_ID_NAME.search(name))


def operations_of(document: Document) -> list[Operation]:
    return [
        Operation(method.upper(), path, document["paths"][path][method], document)
        for path in document["paths"]
        for method in METHODS
        if method in document["paths"][path]
    ]


def resolved(document: Document, schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


@dataclass(frozen=True)
class Sent:
    """A request: what an operation is sent besides what its path names.

    `form` has a text, or (file name, content, content type), for each part of an upload.
    """

    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    form: dict[str, Any] | None = None
    header: dict[str, str] = field(default_factory=dict)

    def real_places(self, place: Place) -> list[Place]:
        """Where this request has the field that `place` describes, 0 being any index and KEY any key."""
        found: list[tuple[Place, Any]] = [((), vars(self))]
        for step in place:
            found = [(next_place, value) for at, value in found for next_place, value in _steps(at, value, step)]
        return [at for at, _ in found]

    def put(self, place: Place, value: Any) -> None:
        """In place; a `place` of `real_places`, but that its last step may be a key to be exchanged: (…, KEY, key)."""
        target: Any = vars(self)
        is_key = KEY in place
        for step in place[: place.index(KEY) if is_key else -1]:
            target = target[step]
        if is_key:
            target[value] = target.pop(place[-1])
        else:
            target[place[-1]] = value


def _steps(at: Place, value: Any, step: str | int) -> Iterator[tuple[Place, Any]]:
    if step == 0 and isinstance(value, list):
        yield from (((*at, index), item) for index, item in enumerate(value))
    elif step == KEY and isinstance(value, dict):
        yield from (((*at, KEY, key), key) for key in value)
    elif isinstance(value, dict) and step in value:
        yield (*at, step), value[step]

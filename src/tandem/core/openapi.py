"""The OpenAPI document: what FastAPI derives from the routes, and the errors and credentials they have in common.

Every operation under /api needs a credential unless its route says `openapi_extra={"security": []}`.
"""

from collections import Counter, defaultdict
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from tandem.core.errors import (
    MEDIA_TYPE,
    ContentTooLarge,
    DatabaseUnavailable,
    Forbidden,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidPayload,
    MalformedJson,
    NotFound,
    PoolExhausted,
    PreconditionFailed,
    Problem,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)
from tandem.core.paging import InvalidCursor

SESSION_COOKIE = "better-auth.session_token"
_METHODS = ("get", "put", "post", "delete", "patch")

_PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details. `code` is stable: decide by it, never by `title` or `detail`.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "urn:tandem:error:<code>"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people; may change."},
        "code": {"type": "string"},
        "request_id": {"type": ["string", "null"], "description": "Also in X-Request-ID and in the service's logs."},
        "errors": {
            "type": "array",
            "description": "The fields at fault, in a 422.",
            "items": {
                "type": "object",
                "required": ["field", "message", "code"],
                "properties": {
                    "field": {"type": "string", "description": "A dotted path, as in `labels.0`."},
                    "message": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
    "additionalProperties": True,
}
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session token, or a personal API token (`tdm_…`).",
    },
    "cookie": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
}


def responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may answer with these problems, an example for each code."""
    by_status: dict[int | str, list[type[Problem]]] = defaultdict(list)
    for problem in problems:
        by_status[problem.status].append(problem)
    return {status: _response(classes) for status, classes in by_status.items()}


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """The document of everything `app` serves."""
    _name_operations(app)
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        separate_input_output_schemas=app.separate_input_output_schemas,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM_SCHEMA
    components["securitySchemes"] = _SECURITY_SCHEMES | components.get("securitySchemes", {})
    for path, operations in document.get("paths", {}).items():
        for method in _METHODS:
            if method in operations:
                _complete(path, operations[method])
    return document


def _complete(path: str, operation: dict[str, Any]) -> None:
    if path.startswith("/api"):
        operation.setdefault("security", [{"bearer": []}, {"cookie": []}])
    else:
        operation.setdefault("security", [])
    answers: dict[str, Any] = operation.setdefault("responses", {})
    if "if-none-match" in _parameters(operation):
        answers.setdefault("304", {"description": "Unchanged: you have this ETag already. No body."})
    if "HTTPValidationError" in str(answers.get("422")):
        del answers["422"]
    for status, answer in responses(*_common_problems(path, operation)).items():
        answers.setdefault(str(status), answer)
    for status, answer in answers.items():
        if status[0] in "45" and "content" not in answer:
            answer["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        answer.setdefault("headers", {}).setdefault(
            "X-Request-ID", {"schema": {"type": "string"}, "description": "Quote it when you report a problem."}
        )


def _common_problems(path: str, operation: dict[str, Any]) -> list[type[Problem]]:
    found: list[type[Problem]] = []
    if "requestBody" in operation:
        found += [MalformedJson, ContentTooLarge, UnsupportedMediaType]
    if "requestBody" in operation or operation.get("parameters"):
        found += [InvalidPayload]
    parameters = _parameters(operation)
    if "cursor" in parameters:
        found += [InvalidCursor]
    if "idempotency-key" in parameters:
        found += [IdempotencyKeyReused, IdempotencyKeyInUse]
    if "if-match" in parameters:
        found += [PreconditionFailed]
    if "{" in path or "x-organization-id" in parameters:
        found += [NotFound]
    if operation["security"]:
        found += [Unauthorized, Forbidden]
    if path.startswith("/api"):
        found += [TooManyRequests, DatabaseUnavailable, PoolExhausted]
    return found


def _parameters(operation: dict[str, Any]) -> set[str]:
    """Their names in lower case, as headers are the same in any."""
    return {parameter["name"].lower() for parameter in operation.get("parameters", [])}


def _response(classes: list[type[Problem]]) -> dict[str, Any]:
    return {
        "description": ". ".join(dict.fromkeys(c.title for c in classes)),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {c.code: {"value": _example(c)} for c in classes},
            }
        },
    }


def _example(cls: type[Problem]) -> dict[str, Any]:
    example = {
        "type": f"urn:tandem:error:{cls.code}",
        "title": cls.title,
        "status": cls.status,
        "detail": cls.title,
        "code": cls.code,
        "request_id": "0f8fad5bd9cb469fa16570867728950e",
    }
    if issubclass(cls, InvalidPayload):
        example["errors"] = [{"field": "title", "message": "Field required", "code": "missing"}]
    return example


def _name_operations(app: FastAPI) -> None:
    """The function's name as operationId, preceded by the tag where two features use the same one."""
    routes = [r for r in app.routes if isinstance(r, APIRoute) and r.include_in_schema and r.operation_id is None]
    names = Counter(r.name for r in routes)
    for route in routes:
        tag = str(route.tags[0]).replace(" ", "_") if route.tags else "api"
        route.operation_id = route.name if names[route.name] == 1 else f"{tag}_{route.name}"

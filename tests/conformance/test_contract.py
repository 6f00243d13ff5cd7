"""What is documented is what is sent: the JSON that Postgres writes has exactly the fields of the response models."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from tandem.core.errors import all_problems
from tests.conformance.conforming import conforms
from tests.conformance.conftest import Serving
from tests.conformance.live import LiveServer
from tests.conformance.operations import Operation
from tests.conformance.service import Owned, Service, send
from tests.conformance.services import for_operations, for_services

ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"


class Owners:
    """Somebody for all requests that change nothing; every other request has somebody of its own."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._ready: dict[tuple[str, bool], Owned] = {}

    def take(self, service: Service, operation: Operation) -> Owned:
        key = service.name, service.needs_the_whole(operation)
        if operation.method != "GET":
            return service.furnish(self._serving(service), whole=key[1])
        if key not in self._ready:
            self._ready[key] = service.furnish(self._serving(service), whole=key[1])
        return self._ready[key]


@pytest.fixture(scope="module")
def owners(serving: Serving) -> Owners:
    return Owners(serving)


@for_operations()
def test_every_request_of_an_owner_is_answered_with_exactly_the_documented_fields(
    service: Service, operation: Operation, server: LiveServer, owners: Owners
) -> None:
    """That it works is what tests of isolation stand on: they would else compare one refusal with another."""
    index, count = 0, 1
    while index < count:
        mine = owners.take(service, operation)
        service.prepare(server, mine, operation)
        sent = service.sent(mine, operation)
        response = send(server, mine, operation, sent[index])
        index, count = index + 1, len(sent)
        if str(operation) in service.needs_a_password:
            continue
        assert response.ok, f"{sent[index - 1]} {response.text}"
        route = service.routes[str(operation)]
        assert str(response.status_code) in operation.definition["responses"]
        if route.response_model is not None and response.content:
            conforms(route.response_model, response.content)


@for_services
def test_a_user_who_has_nothing_is_shown_the_documented_fields_too(service: Service, server: LiveServer) -> None:
    user = server.sign_up()
    for name, route in service.routes.items():
        method, _, path = name.partition(" ")
        if method == "GET" and "{" not in path and route.response_model is not None:
            response = server.http.get(server.url + path, headers=user.headers, timeout=30)
            if response.status_code != 422:  # a search has to say for what
                conforms(route.response_model, response.content)


@for_services
def test_the_document_is_valid_openapi(service: Service) -> None:
    assert service.document["openapi"].startswith("3.1.")
    assert [f"{list(e.instance_path)}: {e.message}" for e in OPENAPI_31_VALIDATOR.iter_errors(service.document)] == []


@for_services
def test_every_schema_in_the_document_is_valid_json_schema(service: Service) -> None:
    for name, schema in service.document["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name


@for_services
def test_every_reference_in_the_document_leads_somewhere(service: Service) -> None:
    known = {f"#/components/schemas/{name}" for name in service.document["components"]["schemas"]}
    used = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(service.document)))
    assert used <= known
    assert known - used == set(), "nothing uses these schemas"


@for_services
def test_every_operation_has_a_name_of_its_own_that_a_client_can_use(service: Service) -> None:
    names = [operation["operationId"] for operation in _definitions(service)]
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


@for_services
def test_every_example_in_the_document_is_valid(service: Service) -> None:
    checked = 0
    for schema, example in _examples(service.document):
        checked += 1
        whole = {**schema, "components": service.document["components"]}
        errors = jsonschema_rs.Draft202012Validator(whole, validate_formats=True).iter_errors(example)
        assert [error.message for error in errors] == [], example
    assert checked >= sum("requestBody" in definition for definition in _definitions(service))


@for_services
def test_every_write_has_an_example_of_its_body(service: Service) -> None:
    without = []
    for operation in _definitions(service):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content and "examples" not in content and not _has_example(service, content["schema"]):
            without.append(operation["operationId"])
    assert without == []


@for_services
def test_every_code_that_the_document_shows_is_explained_in_the_docs(service: Service) -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", ERRORS.read_text(), re.MULTILINE))
    shown = {
        code
        for operation in _definitions(service)
        for answer in operation["responses"].values()
        for code in answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    assert shown <= documented
    raised = {problem.code for problem in all_problems() if problem.__module__.startswith("tandem.")}
    assert raised <= documented


@for_services
def test_every_conflict_that_a_feature_raises_is_shown_by_an_operation(service: Service) -> None:
    """Else a client would not know what to expect where."""
    shown = json.dumps(service.document["paths"])
    features = {p.code for p in all_problems() if p.__module__.startswith((service.package, "tandem.accounts.tokens"))}
    assert {code for code in features if f"urn:tandem:error:{code}" not in shown} == set()


def _has_example(service: Service, schema: dict[str, Any]) -> bool:
    """Of itself, or of each alternative but null."""
    alternatives = [one for kind in ("anyOf", "oneOf") for one in schema.get(kind, []) if one != {"type": "null"}]
    whole = [schema] if "examples" in schema or not alternatives else alternatives
    return all(any(True for _ in _examples(service.resolved(one))) for one in whole)


def _definitions(service: Service) -> list[dict[str, Any]]:
    return [operation.definition for operation in service.operations]


def _examples(node: Any) -> Any:
    """Pairs of a schema and an example of it: of the schema itself, of a parameter or of a body."""
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list):
            yield from ((node, example) for example in node["examples"])
        elif isinstance(node.get("examples"), dict) and isinstance(node.get("schema"), dict):
            yield from ((node["schema"], example["value"]) for example in node["examples"].values())
        for value in node.values():
            yield from _examples(value)
    elif isinstance(node, list):
        for value in node:
            yield from _examples(value)

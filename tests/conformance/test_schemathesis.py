"""Schemathesis over the whole OpenAPI document: valid and invalid requests of every kind it can think of.

Every answer must be documented: its status, its content type, its schema and its headers; none may be a 5xx.
"""

import uuid
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.config import (
    CoveragePhaseConfig,
    ExamplesPhaseConfig,
    FuzzingPhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.specs.openapi import checks

from tests.conformance.conftest import Serving
from tests.conformance.live import LiveServer
from tests.conformance.operations import Operation
from tests.conformance.service import Owned, Service
from tests.conformance.services import SERVICES, for_operations

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]


def _schema_of(service: Service) -> Any:
    """Unexpected methods are left out: test_bad_input has them all, at every address."""
    generation = GenerationConfig(deterministic=True, max_examples=4, with_security_parameters=False, database="none")
    phases = PhasesConfig(
        examples=ExamplesPhaseConfig(),
        coverage=CoveragePhaseConfig(unexpected_methods=set()),
        fuzzing=FuzzingPhaseConfig(),
    )
    project = ProjectConfig(generation=generation, phases=phases)
    config = SchemathesisConfig(seed=1, projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_dict(service.document, config=config)


SCHEMAS = {service.name: _schema_of(service) for service in SERVICES}


class Callers:
    """Somebody of each service, exchanged for somebody new when a request may have used up what they had."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._ready: dict[tuple[str, str], Owned] = {}

    def take(self, service: Service, operation: Operation) -> Owned:
        key = self._key(service, operation)
        if key not in self._ready:
            server = self._serving(service)
            mine = service.furnish(server, whole=service.needs_the_whole(operation))
            service.prepare(server, mine, operation)
            self._ready[key] = mine
        return self._ready[key]

    def saw(self, service: Service, operation: Operation, status: int) -> None:
        gone = operation.method in {"POST", "DELETE"} and "{" in operation.path
        if status < 300 and (gone or operation.name in service.ends_the_session):
            del self._ready[self._key(service, operation)]

    def _key(self, service: Service, operation: Operation) -> tuple[str, str]:
        """Most operations share one caller; those that need something dear, or in some state, have their own."""
        alone = str(operation) in service.before or service.needs_the_whole(operation)
        return service.name, str(operation) if alone else ""


@pytest.fixture(scope="module")
def callers(serving: Serving) -> Callers:
    return Callers(serving)


@for_operations()
def test_every_answer_is_documented(
    service: Service, operation: Operation, server: LiveServer, callers: Callers
) -> None:
    schema = SCHEMAS[service.name]

    @hypothesis.settings(deadline=None)
    def send(case: schemathesis.Case) -> None:
        if _is_tried_in_test_bad_input(case):
            return
        mine = callers.take(service, operation)
        _name_something_real(case, mine, operation)
        answer = case.call_and_validate(
            base_url=server.url, session=server.http, headers=mine.user.headers, checks=CHECKS, timeout=30
        )
        callers.saw(service, operation, answer.status_code)

    # What `schema.parametrize()` does, but now: while tests are collected it would be done for all, by every process.
    build_operation_test(
        config=schema.config,
        operation=schema[operation.path][operation.method.lower()],
        test_func=send,
        given_kwargs={},
        feedback=FeedbackSources(),
    )()


def _is_tried_in_test_bad_input(case: schemathesis.Case) -> bool:
    """Wrong types in every field of a JSON body: half of all that would be sent."""
    assert case.meta is not None
    data = case.meta.phase.data
    return (
        isinstance(data, CoveragePhaseData)
        and data.scenario is CoverageScenario.INCORRECT_TYPE
        and data.parameter_location is ParameterLocation.BODY
        and case.media_type == "application/json"
    )


def _name_something_real(case: schemathesis.Case, mine: Owned, operation: Operation) -> None:
    """A well-formed id in the path becomes one of the caller's own, or nearly every answer would be a 404."""
    for name, value in case.path_parameters.items():
        if _is_uuid(value):
            case.path_parameters[name] = mine.path_of(operation)[name]


def _is_uuid(value: Any) -> bool:
    try:
        return str(uuid.UUID(value)) == value
    except (ValueError, AttributeError, TypeError):
        return False

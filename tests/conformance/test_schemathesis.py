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
from schemathesis.specs.openapi import checks

from tests.builders import User
from tests.conformance.live import LiveServer
from tests.conformance.operations import DOCUMENT

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
# These take the credential away, so each of their requests has one of its own.
ENDS_THE_SESSION = {"sign_out", "revoke_sessions", "revoke_session", "delete_user", "change_password"}


def _config() -> SchemathesisConfig:
    generation = GenerationConfig(deterministic=True, max_examples=10, with_security_parameters=False, database="none")
    phases = PhasesConfig(examples=ExamplesPhaseConfig(), coverage=CoveragePhaseConfig(), fuzzing=FuzzingPhaseConfig())
    project = ProjectConfig(generation=generation, phases=phases)
    return SchemathesisConfig(seed=1, projects=ProjectsConfig(default=project))


schema = schemathesis.openapi.from_dict(DOCUMENT, config=_config())


@pytest.fixture(scope="module")
def user(server: LiveServer) -> User:
    return server.sign_up()


@schema.parametrize()
@hypothesis.settings(deadline=None)
def test_every_answer_is_documented(case: schemathesis.Case, server: LiveServer, user: User) -> None:
    name = case.operation.definition.raw["operationId"]
    caller = server.sign_up() if name in ENDS_THE_SESSION else user
    _name_something_real(case, server, caller)
    case.call_and_validate(base_url=server.url, session=server.http, headers=caller.headers, checks=CHECKS, timeout=30)


def _name_something_real(case: schemathesis.Case, server: LiveServer, user: User) -> None:
    """A well-formed id in the path becomes one of the caller's own, or nearly every answer would be a 404."""
    for name, value in case.path_parameters.items():
        if _is_uuid(value):
            case.path_parameters[name] = _new(name, server, user, in_trash=case.operation.path.endswith("/restore"))


def _is_uuid(value: Any) -> bool:
    try:
        return str(uuid.UUID(value)) == value
    except (ValueError, AttributeError, TypeError):
        return False


def _new(name: str, server: LiveServer, user: User, *, in_trash: bool) -> str:
    bodies = {
        "task_id": ("/api/tasks", {"title": "A task"}),
        "project_id": ("/api/projects", {"name": "A project"}),
        "label_id": ("/api/labels", {"name": uuid.uuid4().hex}),
        "token_id": ("/api/tokens", {"name": "A token", "scopes": ["tasks:read"]}),
    }
    path, body = bodies[name]
    made: str = server.api(user, "POST", path, json=body)["id"]
    if in_trash:
        server.api(user, "DELETE", f"{path}/{made}")
    return made

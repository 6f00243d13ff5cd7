"""Every error has one shape and a documented code."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import tandem
from tandem.core.errors import MEDIA_TYPE, InvalidPayload, Problem, Unauthorized, Unavailable, all_problems
from tandem.core.problems import respond

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"


def _every_problem() -> set[type[Problem]]:
    for module in pkgutil.walk_packages(tandem.__path__, "tandem."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return set(all_problems())


def test_docs_list_every_code_with_its_status_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \| (\d+) \|", DOCS.read_text(), re.MULTILINE))
    assert documented == {(p.code, str(p.status)) for p in _every_problem()}


def test_a_code_belongs_to_one_class_and_those_made_of_it() -> None:
    by_code: dict[str, list[type[Problem]]] = {}
    for problem in sorted(_every_problem() - {Problem}, key=lambda p: len(p.__mro__)):
        by_code.setdefault(problem.code, []).append(problem)
    for code, (first, *others) in by_code.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", code)
        assert all(issubclass(other, first) and other.status == first.status for other in others), code


def test_problem_has_the_members_of_rfc_9457_and_its_extras() -> None:
    response = respond(InvalidPayload.of("labels.0", "too long", "string_too_long"), "r1")
    assert (response.status_code, response.media_type) == (422, MEDIA_TYPE)
    assert response.body == (
        b'{"type": "urn:tandem:error:invalid_payload", "title": "Some fields are not valid", "status": 422,'
        b' "detail": "labels.0: too long", "code": "invalid_payload", "request_id": "r1",'
        b' "errors": [{"field": "labels.0", "message": "too long", "code": "string_too_long"}]}'
    )


def test_problem_with_a_lone_surrogate_can_still_be_sent() -> None:
    assert b"\\ud800" in respond(InvalidPayload.of("\ud800", "is unknown", "extra_forbidden"), None).body


@pytest.mark.parametrize(
    ("problem", "header", "value"),
    [(Unauthorized(), "www-authenticate", "Bearer"), (Unavailable(retry_after=9), "retry-after", "9")],
)
def test_problem_brings_the_headers_of_its_status(problem: Problem, header: str, value: str) -> None:
    assert respond(problem, None).headers[header] == value

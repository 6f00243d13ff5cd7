"""A production's environment, to be broken one variable at a time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tandem.ops.doctor.subject import Subject, subject_of
from tandem.ops.services import SERVICES
from tests.ops.doctor.environments import GOOD


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Subject]:
    """`subject("momentum", LOG_LEVEL="LOUD")`: the good environment with changes; None takes a variable away."""
    monkeypatch.chdir(tmp_path)

    def subject(service: str = "momentum", /, **changes: str | None) -> Subject:
        for name, value in (GOOD[service] | changes).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        return subject_of(SERVICES[service])

    return subject

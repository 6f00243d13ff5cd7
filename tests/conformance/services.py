"""The services, and how a test is run for each of them or for each of their operations.

    @for_services
    def test_…(server): …

    @for_operations(lambda operation: operation.method == "GET")
    def test_…(server, operation): …

Either way the fixture `service` says which one it is.
"""

from collections.abc import Callable, Sequence

import pytest

from tests.conformance.market_ai import MarketAi
from tests.conformance.momentum import Momentum
from tests.conformance.operations import Operation
from tests.conformance.service import Service

SERVICES: Sequence[Service] = (Momentum(), MarketAi())

for_services = pytest.mark.parametrize("service", SERVICES, ids=str)


def for_operations(which: Callable[[Operation], object] = bool) -> pytest.MarkDecorator:
    cases = [
        pytest.param(service, operation, id=f"{service} {operation}")
        for service in SERVICES
        for operation in service.operations
        if which(operation)
    ]
    return pytest.mark.parametrize(("service", "operation"), cases)

"""Fixtures of the black-box tests: for each module and service one served application on one database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tandem.core.postgres import EmbeddedPostgres
from tests.conformance.live import LiveServer
from tests.conformance.service import Owned, Service
from tests.conformance.tables import Tables

Serving = Callable[[Service], LiveServer]


@pytest.fixture(scope="module")
def serving(request: pytest.FixtureRequest, postgres: EmbeddedPostgres) -> Iterator[Serving]:
    """`serving(service)` is started when it is first asked for."""
    servers: dict[str, LiveServer] = {}

    def serve(service: Service) -> LiveServer:
        if service.name not in servers:
            clones = request.getfixturevalue(service.clones)
            name = clones.take()
            stack.callback(clones.drop, name)
            for limit in service.limits:
                patch.setattr(limit, "amount", 1_000_000)
            url = postgres.url(name)
            app = service.build(url, statement_timeout=10)
            servers[service.name] = stack.enter_context(LiveServer(app, url))
        return servers[service.name]

    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        yield serve


@pytest.fixture(scope="module")
def looking(serving: Serving) -> Iterator[Callable[[Service], Tables]]:
    """`looking(service)` sees the tables behind `serving(service)`."""
    tables: dict[str, Tables] = {}

    def look(service: Service) -> Tables:
        if service.name not in tables:
            tables[service.name] = stack.enter_context(Tables(serving(service).database_url))
        return tables[service.name]

    with ExitStack() as stack:
        yield look


@pytest.fixture(scope="module")
def furnished(serving: Serving) -> Callable[[Service, str], Owned]:
    """`furnished(service, word)` is somebody, with the whole of it, whom the tests of a module share."""
    people: dict[tuple[str, str], Owned] = {}

    def furnish(service: Service, word: str) -> Owned:
        if (service.name, word) not in people:
            people[service.name, word] = service.furnish(serving(service), word, whole=True)
        return people[service.name, word]

    return furnish


@pytest.fixture
def server(serving: Serving, service: Service) -> LiveServer:
    return serving(service)


@pytest.fixture
def tables(looking: Callable[[Service], Tables], service: Service) -> Tables:
    return looking(service)


@pytest.fixture
def mine(furnished: Callable[[Service, str], Owned], service: Service) -> Owned:
    """What one user has that no test here may change."""
    return furnished(service, "ordinary")

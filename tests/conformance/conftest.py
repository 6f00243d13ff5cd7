"""Fixtures of the black-box tests: one served application and one database for each module."""

from collections.abc import Iterator

import pytest

from tandem.accounts import dependencies
from tandem.core.postgres import EmbeddedPostgres
from tests.conformance.live import LiveServer, serve
from tests.conformance.tables import Tables
from tests.databases import Clones


@pytest.fixture(scope="module")
def server(clones: Clones, postgres: EmbeddedPostgres) -> Iterator[LiveServer]:
    name = clones.take()
    with pytest.MonkeyPatch.context() as patch, serve(postgres.url(name), statement_timeout=10) as server:
        for limit in (dependencies.PER_ADDRESS, dependencies.PER_EMAIL, dependencies.PER_USER):
            patch.setattr(limit, "amount", 1_000_000)  # else most answers of /api/auth would be 429
        yield server
    clones.drop(name)


@pytest.fixture(scope="module")
def tables(server: LiveServer) -> Iterator[Tables]:
    with Tables(server.database_url) as tables:
        yield tables

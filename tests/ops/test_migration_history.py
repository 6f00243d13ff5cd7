"""What every migration of every service must hold to."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url
from tandem.ops.migrate import alembic_config, is_ours, migrate, status
from tandem.ops.services import SERVICES, Service

SCHEMA = """
SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
  SELECT format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) AS line
    FROM information_schema.columns WHERE table_schema = 'public'
  UNION ALL SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'public'
  UNION ALL SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT format('function %s', pg_get_functiondef(oid)) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT format('type %s', typname) FROM pg_type
    WHERE typnamespace = 'public'::regnamespace AND typtype IN ('d', 'e', 'r')
  UNION ALL SELECT format('sequence %s', sequencename) FROM pg_sequences WHERE schemaname = 'public'
) AS lines
"""


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> Service:
    return SERVICES[request.param]


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres, service: Service) -> Iterator[str]:
    name = f"history_{service.name.replace('-', '_')}"
    postgres.create_database(name)
    yield postgres.url(name)
    in_database(
        postgres.url("postgres"),
        lambda connection: connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)')),
    )


def in_database(url: str, function: Any) -> Any:
    async def run() -> Any:
        where = parse_database_url(url)
        engine = create_async_engine(
            where.url, connect_args=where.connect_args, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT"
        )
        async with engine.connect() as connection:
            result = await connection.run_sync(function)
        await engine.dispose()
        return result

    return asyncio.run(run())


def schema(url: str) -> str:
    return str(in_database(url, lambda connection: connection.execute(text(SCHEMA)).scalar_one()))


def revisions(service: Service) -> list[str]:
    script = ScriptDirectory.from_config(alembic_config(service.versions_dir))
    return [revision.revision for revision in script.walk_revisions()][::-1]


def test_a_service_has_one_head(service: Service) -> None:
    script = ScriptDirectory.from_config(alembic_config(service.versions_dir))
    assert len(script.get_heads()) == 1


def test_every_migration_goes_up_down_and_up_again(service: Service, empty_url: str) -> None:
    before = schema(empty_url)
    steps = []
    for revision in revisions(service):
        steps.append((revision, before))
        migrate(service, empty_url, target="+1")
        after = schema(empty_url)
        migrate(service, empty_url, target="-1")
        assert without_alembic(schema(empty_url)) == without_alembic(before), f"{revision} leaves something behind"
        migrate(service, empty_url, target="+1")
        assert schema(empty_url) == after, f"{revision} is different the second time"
        before = after
    migrate(service, empty_url, target="base")
    assert without_alembic(schema(empty_url)) == without_alembic(steps[0][1])
    assert status(service, empty_url).current is None


def without_alembic(schema: str) -> list[str]:
    return [line for line in schema.splitlines() if "alembic_version" not in line and line != "None"]


def test_models_and_migrations_agree(service: Service, empty_url: str) -> None:
    migrate(service, empty_url)
    options = {"compare_type": True, "compare_server_default": True, "include_name": is_ours}

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, service.metadata))

    assert in_database(empty_url, differences) == []

"""The tables are those of the migration, and every one of a user's rows goes with the user."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from tandem.accounts.models import Base
from tandem.core.postgres_url import parse_database_url

TABLES = {"user", "session", "account", "verification", "api_tokens"}


def ours(name, kind, _parents):
    return kind != "table" or name in TABLES


async def test_models_and_migration_agree(database_url):
    where = parse_database_url(database_url)
    engine = create_async_engine(where.url, connect_args=where.connect_args)
    options = {"compare_type": True, "compare_server_default": True, "include_name": ours}
    try:
        async with engine.connect() as connection:
            differences = await connection.run_sync(
                lambda c: compare_metadata(MigrationContext.configure(c, opts=options), Base.metadata)
            )
    finally:
        await engine.dispose()
    assert differences == []


def test_every_foreign_key_to_a_user_cascades():
    keys = [key for table in Base.metadata.tables.values() for key in table.foreign_keys]
    assert {key.parent.table.name for key in keys} == {"session", "account", "api_tokens"}
    assert {key.ondelete for key in keys} == {"CASCADE"}


def test_ids_are_text_and_times_know_their_zone():
    for name in ("user", "session", "account", "verification"):
        columns = Base.metadata.tables[name].columns
        assert isinstance(columns["id"].type, sa.Text)
        times = [c.type for c in columns if isinstance(c.type, sa.DateTime)]
        assert times
        assert all(t.timezone for t in times)

"""Every spelling of a Postgres URL comes out the same; what it cannot mean is refused without its password."""

import ssl
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy
from pydantic import SecretStr

from tandem.core.db import Database
from tandem.core.postgres_url import DatabaseUrlError, parse_database_url
from tests.core.edge_service import settings


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2", "POSTGRESQL"],
)
def test_every_scheme_means_asyncpg(scheme: str) -> None:
    where = parse_database_url(f"{scheme}://ada:secret@db.example.org:6432/app")
    assert where.url.drivername == "postgresql+asyncpg"
    assert (where.url.host, where.url.port, where.url.database) == ("db.example.org", 6432, "app")
    assert (where.url.username, where.url.password) == ("ada", "secret")
    assert dict(where.url.query) == {}
    assert not where.transaction_pooler


@pytest.mark.parametrize(
    "text",
    ["  postgresql://u:p@h/db\n", "'postgresql://u:p@h/db'", '"postgresql://u:p@h/db"', "psql 'postgresql://u:p@h/db'"],
)
def test_a_url_pasted_with_its_surroundings_is_understood(text: str) -> None:
    assert parse_database_url(text).url.host == "h"


def test_percent_encoded_credentials_are_decoded() -> None:
    where = parse_database_url("postgresql://a%40b:p%2F%3A%40%25ss@h/db")
    assert (where.url.username, where.url.password) == ("a@b", "p/:@%ss")
    assert where.asyncpg_args["password"] == "p/:@%ss"


def test_an_ipv6_host_is_kept() -> None:
    where = parse_database_url("postgresql://u:p@[2001:db8::1]:5433/db")
    assert (where.url.host, where.url.port) == ("2001:db8::1", 5433)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", None),
        ("?sslmode=disable", False),
        ("?sslmode=allow", "allow"),
        ("?sslmode=prefer", "prefer"),
        ("?sslmode=require", "require"),
        ("?sslmode=REQUIRE&channel_binding=require", "require"),
        ("?ssl=true", "require"),
        ("?ssl=false", False),
        ("?ssl=require", "require"),
    ],
)
def test_sslmode_becomes_asyncpgs_ssl(query: str, expected: Any) -> None:
    assert parse_database_url(f"postgresql://u:p@h/db{query}").connect_args.get("ssl") == expected


@pytest.mark.parametrize(("mode", "hostname"), [("verify-ca", False), ("verify-full", True)])
@pytest.mark.parametrize("root", ["", "&sslrootcert=system"])
def test_verifying_modes_check_the_certificate(mode: str, hostname: bool, root: str) -> None:
    context = parse_database_url(f"postgresql://u:p@h/db?sslmode={mode}{root}").connect_args["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, hostname)


def test_a_root_certificate_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        with pytest.raises(DatabaseUrlError, match="sslrootcert"):
            parse_database_url(f"postgresql://u:p@h/db?sslmode=verify-full&sslrootcert={path}")


@pytest.mark.parametrize(
    ("url", "pooled"),
    [
        ("postgresql://u:p@ep-cool-name-123-pooler.eu-central-1.aws.neon.tech/db?sslmode=require", True),
        ("postgresql://u:p@ep-cool-name-123.eu-central-1.aws.neon.tech/db?sslmode=require", False),
        ("postgresql://u:p@aws-0-eu-central-1.pooler.supabase.com:6543/postgres", True),
        ("postgresql://u:p@aws-0-eu-central-1.pooler.supabase.com:5432/postgres", False),
        ("postgresql://u:p@db.project.supabase.co:6543/postgres", True),
        ("postgresql://u:p@db.project.supabase.co:5432/postgres", False),
        ("postgresql://u:p@pgbouncer:6432/db?pgbouncer=true", True),
        ("postgresql://u:p@pgbouncer:6432/db?pgbouncer=1", True),
        ("postgresql://u:p@x-pooler.neon.tech/db?pgbouncer=false", False),
        ("postgresql://u:p@dpg-abc-a.frankfurt-postgres.render.com/db", False),
        ("postgresql://u:p@localhost/db", False),
    ],
)
def test_transaction_poolers_are_recognised(url: str, pooled: bool) -> None:
    where = parse_database_url(url)
    assert where.transaction_pooler is pooled
    assert (where.connect_args.get("statement_cache_size") == 0) is pooled
    assert (where.connect_args.get("prepared_statement_cache_size") == 0) is pooled


def test_behind_a_pooler_no_two_statements_share_a_name() -> None:
    name = parse_database_url("postgresql://u:p@x-pooler.neon.tech/db").connect_args["prepared_statement_name_func"]
    assert name() != name()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://tandem@/app?host=/run/postgresql",
        "postgresql://tandem@/app?host=/run/postgresql&port=5432",
        "postgresql:///app?host=/run/postgresql&user=tandem",
        "postgresql://tandem@%2Frun%2Fpostgresql/app",
        "postgresql+asyncpg://tandem@/app?host=%2Frun%2Fpostgresql",
    ],
)
def test_a_socket_directory_is_a_host(url: str) -> None:
    where = parse_database_url(url)
    assert where.url.host is None
    assert where.connect_args["host"] == "/run/postgresql"
    assert where.asyncpg_args["host"] == "/run/postgresql"
    assert where.asyncpg_args["user"] == "tandem"


def test_a_port_in_the_query_counts() -> None:
    where = parse_database_url("postgresql://u@/app?host=/run/postgresql&port=5444")
    assert where.asyncpg_args["port"] == 5444


def test_a_host_in_the_query_replaces_the_one_in_the_address() -> None:
    where = parse_database_url("postgresql://u:p@ignored/app?host=db.example.org")
    assert (where.url.host, where.asyncpg_args["host"]) == ("db.example.org", "db.example.org")


def test_options_and_names_reach_the_server() -> None:
    where = parse_database_url(
        "postgresql://u:p@h/db?application_name=reports&connect_timeout=3&options=-c%20search_path%3Dapp"
        "&target_session_attrs=read-write"
    )
    assert where.connect_args["timeout"] == 3.0
    assert where.connect_args["server_settings"]["application_name"] == "reports"
    assert where.connect_args["server_settings"]["options"] == "-c search_path=app"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not a URL"),
        ("localhost", "not a URL"),
        ("mysql://u:hunter22@h/db", "scheme"),
        ("sqlite:///x.db", "scheme"),
        ("http://u:hunter22@h/db", "scheme"),
        ("postgresql+pg8000://u:hunter22@h/db", "scheme"),
        ("postgresql://u:hunter22@h", "no database"),
        ("postgresql://u:hunter22@h/", "no database"),
        ("postgresql://u:hunter22@/db", "no host"),
        ("postgresql:///db", "no host"),
        ("postgresql://u:hunter22@h:port/db", "not a URL"),
        ("postgresql://u:hunter22@h:99999/db", "port"),
        ("postgresql://u:hunter22@h/db?port=x", "port"),
        ("postgresql://u:hunter22@h/db?port=0", "port"),
        ("postgresql://u:hunter22@h/db?sslmode=strong", "sslmode"),
        ("postgresql://u:hunter22@h/db?sslmod=require", "sslmod"),
        ("postgresql://u:hunter22@h/db?connect_timeout=soon", "connect_timeout"),
        ("postgresql://u:hunter22@h/db?connect_timeout=nan", "connect_timeout"),
        ("postgresql://u:hunter22@h1:5432,h2:5432/db", "host"),
    ],
)
def test_what_tandem_cannot_use_is_refused_without_its_password(url: str, why: str) -> None:
    with pytest.raises(DatabaseUrlError) as raised:
        parse_database_url(url)
    assert why in str(raised.value)
    assert "hunter22" not in str(raised.value)


def test_the_password_is_in_no_representation() -> None:
    where = parse_database_url("postgresql://u:hunter22@h/db?sslmode=require")
    assert "hunter22" not in repr(where)
    assert "hunter22" not in str(where)


async def test_both_drivers_connect_through_the_same_url(database_url: str) -> None:
    where = parse_database_url(database_url)
    connection = await asyncpg.connect(**where.asyncpg_args)
    plain = await connection.fetchval("SELECT current_database()")
    await connection.close()
    database = Database(settings(database_url=SecretStr(database_url)), where)
    async with database.session() as session:
        assert (await session.execute(sqlalchemy.text("SELECT current_database()"))).scalar_one() == plain
    await database.close()


async def test_a_pooled_url_works_on_a_plain_server_too(database_url: str) -> None:
    where = parse_database_url(database_url + "&pgbouncer=true&sslmode=prefer&channel_binding=prefer")
    assert where.transaction_pooler
    database = Database(settings(database_url=SecretStr(database_url)), where)
    for _ in range(3):
        async with database.session() as session:
            assert (await session.execute(sqlalchemy.text("SELECT 1"))).scalar_one() == 1
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT $1::int", 7) == 7
    await database.close()

"""Against a real Postgres: what is good is green, and each thing broken is red."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tandem.core.jobs import operate
from tandem.core.postgres import EmbeddedPostgres
from tandem.core.postgres_url import parse_database_url
from tandem.ops.doctor.database import check_database, heads_result, queue_results, tls_result, version_result
from tandem.ops.doctor.examine import pending_results
from tandem.ops.doctor.migrations import by_pattern
from tandem.ops.doctor.result import Result, Status
from tandem.ops.doctor.subject import Subject
from tandem.ops.migrate import migrate
from tandem.ops.services import SERVICES
from tests.ops.doctor.environments import red, statuses
from tests.ops.test_cli import fetch
from tests.servers import free_port

Make = Callable[..., Subject]
WORKER = "INSERT INTO job_workers (id, host, pid, version) VALUES (gen_random_uuid(), 'here', 1, '1') RETURNING id"


def asked(subject: Subject, **options: Any) -> list[Result]:
    async def run() -> list[Result]:
        return [result async for result in check_database(subject, **options)]

    return asyncio.run(run())


def test_a_migrated_database_with_a_worker_is_green(subject: Make, database_url: str) -> None:
    fetch(database_url, WORKER)
    found = asked(subject(DATABASE_URL=database_url))
    assert set(statuses(found).values()) == {Status.OK}
    assert {"database.version", "queue.oldest", "migrations.at-head"} <= set(statuses(found))


def test_a_database_that_does_not_answer_is_one_error_and_the_rest_is_skipped(subject: Make) -> None:
    found = asked(subject(DATABASE_URL=f"postgresql://u:p8f2a@127.0.0.1:{free_port()}/x"))
    assert len(red(found)) == 1
    assert "database.reachable" in red(found)[0]
    assert statuses(found)["queue.workers"] is Status.SKIPPED


def test_a_name_that_is_none_is_told_apart(subject: Make, postgres: EmbeddedPostgres) -> None:
    (result,) = [r for r in asked(subject(DATABASE_URL=postgres.url("nowhere"))) if r.status is Status.ERROR]
    assert "create the database nowhere" in result.fix


def test_both_addresses_are_tried(subject: Make, database_url: str) -> None:
    fetch(database_url, WORKER)
    closed = f"postgresql://u:p8f2a@127.0.0.1:{free_port()}/x"
    assert "DATABASE_URL:" in red(asked(subject(DATABASE_URL=closed, DIRECT_DATABASE_URL=database_url)))[0]
    assert "DIRECT_DATABASE_URL:" in red(asked(subject(DATABASE_URL=database_url, DIRECT_DATABASE_URL=closed)))[0]


def test_a_pooler_is_no_place_to_migrate_through(subject: Make, database_url: str) -> None:
    fetch(database_url, WORKER)
    pooled = f"{database_url}&pgbouncer=true"
    assert [line.split(":")[0] for line in red(asked(subject(DATABASE_URL=pooled)))] == ["migrations.direct"]
    assert red(asked(subject(DATABASE_URL=pooled, DIRECT_DATABASE_URL=database_url))) == []


def test_too_large_pools_are_red(subject: Make, database_url: str) -> None:
    fetch(database_url, WORKER)
    found = red(asked(subject(DATABASE_URL=database_url, SQLALCHEMY_POOL_SIZE="20", WEB_CONCURRENCY="4"), instances=10))
    assert found[0].startswith("database.connections: ")
    assert "of 90 usable" in found[0]


def test_an_empty_database_and_a_late_one_are_not_at_head(subject: Make, postgres: EmbeddedPostgres) -> None:
    postgres.create_database("doctor_empty")
    url = postgres.url("doctor_empty")
    empty = asked(subject(DATABASE_URL=url))
    assert "migrations.at-head: at nothing" in red(empty)[0]
    assert statuses(empty)["queue.depth"] is Status.SKIPPED
    migrate(SERVICES["momentum"], url, target="+1")
    late = subject(DATABASE_URL=url)
    assert "migrations.at-head: at 0001" in red(asked(late))[0]
    assert [r.check for r in pending_results(late, Status.ERROR)] == ["migrations.safe"]


def test_a_database_that_is_newer_than_the_code_is_red(subject: Make, database_url: str) -> None:
    fetch(database_url, "UPDATE alembic_version SET version_num = '9999_future'")
    newer = subject(DATABASE_URL=database_url)
    assert "migrations.at-head: at 9999_future" in red(asked(newer))[0]
    assert [result.status for result in pending_results(newer, Status.ERROR)] == [Status.SKIPPED]


def test_a_table_that_may_not_be_read_is_an_error_and_no_crash(subject: Make, database_url: str) -> None:
    fetch(database_url, WORKER)
    fetch(database_url, "ALTER TABLE job_workers RENAME COLUMN seen_at TO looked_at")
    assert (
        "database.reachable: it stopped answering: UndefinedColumnError"
        in red(asked(subject(DATABASE_URL=database_url)))[0]
    )


def test_nobody_works_is_red(subject: Make, database_url: str) -> None:
    assert red(asked(subject(DATABASE_URL=database_url))) == ["queue.workers: no worker says that it lives"]


def test_a_deep_queue_and_an_old_job_are_red() -> None:
    depth = operate.Depth({("generate_content", "due"): 1000}, 301.0, 1)
    assert [line.split(":")[0] for line in red(queue_results("market-ai", depth))] == ["queue.depth", "queue.oldest"]
    assert red(queue_results("market-ai", operate.Depth({("generate_content", "due"): 3}, 20.0, 1))) == []


def test_an_old_server_is_red() -> None:
    assert version_result(150011).status is Status.ERROR
    assert version_result(160000).status is Status.OK


@pytest.mark.parametrize(
    ("encrypted", "places", "status"),
    [
        (True, ["203.0.113.1"], Status.OK),
        (False, ["8.8.8.8"], Status.ERROR),
        (False, ["10.1.2.3", "2606:4700::1"], Status.ERROR),
        (False, ["10.1.2.3", "fe80::1%eth0"], Status.OK),
        (False, [], Status.OK),
    ],
)
def test_plain_text_is_for_private_networks(encrypted: bool, places: list[str], status: Status) -> None:
    where = parse_database_url("postgresql://u:p@db.acme.dev/x")
    assert tls_result(where, encrypted, places).status is status


def test_two_heads_are_red_and_every_service_has_one(subject: Make) -> None:
    assert heads_result(frozenset({"0004_a", "0004_b"})).seen == "2 heads: 0004_a, 0004_b"
    assert len(red([heads_result(frozenset({"0004_a", "0004_b"})), heads_result(frozenset())])) == 2
    for service in SERVICES:
        assert statuses(asked(subject(service, DATABASE_URL=None)))["migrations.one-head"] is Status.OK


# ---- pending migrations, where squawk is not installed (where it is: tests/ops/test_migration_lint.py)

SAFE = [
    "CREATE INDEX ix_tasks_x ON tasks (x)",
    "CREATE UNIQUE INDEX uq_tasks_x ON tasks (x)",
    "ALTER TABLE tasks ADD COLUMN x INTEGER NOT NULL",
    "ALTER TABLE tasks ALTER COLUMN x TYPE BIGINT",
    "ALTER TABLE tasks ALTER COLUMN x SET NOT NULL",
    "ALTER TABLE tasks ADD CONSTRAINT ck CHECK (x > 0)",
    "ALTER TABLE tasks ADD CONSTRAINT fk FOREIGN KEY(x) REFERENCES y (id)",
    "ALTER TABLE tasks DROP COLUMN x",
    "ALTER TABLE tasks RENAME COLUMN x TO y",
    'DROP TABLE "tasks"',
]
SAFE = [
    "CREATE INDEX CONCURRENTLY ix_tasks_x ON tasks (x)",
    "ALTER TABLE tasks ADD COLUMN x INTEGER",
    "ALTER TABLE tasks ADD COLUMN x INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE tasks ADD CONSTRAINT ck CHECK (x > 0) NOT VALID",
    "CREATE TABLE new (id UUID NOT NULL); CREATE INDEX ix_new_id ON new (id); ALTER TABLE new ADD CONSTRAINT c CHECK (true)",
    "-- DROP TABLE tasks\nSELECT 1",
]


@pytest.mark.parametrize("sql", SAFE)
def test_sql_that_stops_nobody_is_not_told(sql: str) -> None:
    assert by_pattern({"9999_next": f"BEGIN;\n\n{sql};\nCOMMIT;"}) == []

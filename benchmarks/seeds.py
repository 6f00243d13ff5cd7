"""The data that is measured on, put in by INSERT … SELECT in seconds.

Triggers are off meanwhile, since they take a row at a time; the change log's work is done here in bulk: versions,
positions and the log itself are what its trigger would have written. A long list goes in without indexes, which are
made anew afterwards.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from tandem.core.paging import encode_cursor
from tandem.core.postgres_url import parse_database_url

SECRET = "f3a91c7e5b2d48069ce1d7a4b85f2063"  # of a database that lives as long as the benchmark
RAW_TABLE = "raw_tasks"
LONG = 50_000  # tasks; from here on it pays to index afterwards

_TASKS = """
INSERT INTO tasks (user_id, id, title, description, priority, position, version, completed_at, due_date)
SELECT u.id, gen_random_uuid(), 'Task number ' || n || ' of this list',
       'What there is to say about it: ' || repeat('word ', 12), (enum_range(NULL::task_priority))[1 + n % 4],
       momentum_position(n), n, CASE WHEN n % 3 = 0 THEN now() END, CASE WHEN n % 2 = 0 THEN current_date + n % 60 END
  FROM unnest($1::text[]) u(id), generate_series(1, $2::int) n ORDER BY u.id, n"""
_CHANGES = """
INSERT INTO changes (user_id, seq, entity, entity_id, op, after, actor)
SELECT t.user_id, t.version, 'task', t.id::text, 'create', jsonb_build_object('id', t.id, 'title', t.title), 'benchmark'
  FROM tasks t WHERE t.user_id = ANY($1::text[])"""
_USERS = """
INSERT INTO "user" (id, name, email, "emailVerified") SELECT id, id, id || '@example.com', false
  FROM unnest($1::text[]) AS u(id)"""
_SESSIONS = """
INSERT INTO "session" (id, "userId", token, "expiresAt", "createdAt", "updatedAt")
SELECT u.id, u.id, u.hash, $3, now(), now() FROM unnest($1::text[], $2::text[]) AS u(id, hash)"""
_RAW = f"CREATE TABLE {RAW_TABLE} (LIKE tasks INCLUDING DEFAULTS, PRIMARY KEY (user_id, id))"
_RAW_NULLS = f"ALTER TABLE {RAW_TABLE} " + ", ".join(
    f"ALTER COLUMN {column} DROP NOT NULL" for column in ("position", "version", "search")
)


@dataclass(frozen=True)
class User:
    """`task_ids` are some of the user's tasks, in the order of their positions; `tasks` is how many there are."""

    id: str
    tasks: int
    task_ids: tuple[str, ...]
    deep_cursor: str  # nine tenths down the list in its default order

    @property
    def token(self) -> str:
        return f"benchmark-session-of-{self.id}"


async def seed(url: str, *, users: int, tasks: int, large: list[int], say: Callable[[str], None]) -> list[list[User]]:
    """`users` with `tasks` each, then one user for each number of tasks in `large`, into a migrated database."""
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args, command_timeout=3600)
    try:
        await connection.execute(_RAW)
        await connection.execute(_RAW_NULLS)
        groups = [([f"user{n:03}" for n in range(users)], tasks)]
        groups += [([f"large{n}"], n) for n in large]
        for names, count in groups:
            say(f"seeding {len(names)} x {count:,} tasks")
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                indexes = await _drop_indexes(connection) if count >= LONG else []
                await _insert(connection, names, count)
                for statement in indexes:
                    await connection.execute(statement)
        await connection.execute("VACUUM (ANALYZE)")
        return [[await _read(connection, name, count) for name in names] for names, count in groups]
    finally:
        await connection.close()


async def _insert(connection: Any, names: list[str], tasks: int) -> None:
    until = datetime.now(UTC) + timedelta(days=7)
    hashes = [_session_hash(User(name, 0, (), "").token) for name in names]
    await connection.execute(_USERS, names)
    await connection.execute(_SESSIONS, names, hashes, until)
    await connection.execute(_TASKS, names, tasks)
    await connection.execute(_CHANGES, names)


async def _drop_indexes(connection: Any) -> list[str]:
    """The statements that make them again. The primary key's stays."""
    rows = await connection.fetch("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tasks'")
    found = {row["indexname"]: row["indexdef"] for row in rows if not row["indexname"].startswith("pk_")}
    await connection.execute(f"DROP INDEX {', '.join(found)}")
    return list(found.values())


async def _read(connection: Any, name: str, tasks: int) -> User:
    rows = await connection.fetch("SELECT id FROM tasks WHERE user_id = $1 ORDER BY position, id LIMIT 50", name)
    deep = await connection.fetchrow(
        "SELECT position, id FROM tasks WHERE user_id = $1 AND version = $2", name, tasks * 9 // 10
    )
    cursor = encode_cursor("position", deep["position"], str(deep["id"]))
    return User(name, tasks, tuple(str(row["id"]) for row in rows), cursor)


def _session_hash(token: str) -> str:
    return hmac.new(SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()

"""One way to run a statement on whatever the caller has a transaction on: asyncpg's connection or a session."""

from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from tandem.core.db import Connection

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

Target: TypeAlias = "Connection | AsyncSession"
Row: TypeAlias = Any  # a mapping from column to value: asyncpg's Record or SQLAlchemy's RowMapping


async def fetch(target: Target, sql: str, *args: Any) -> list[Row]:
    """The rows of a statement with `$n` placeholders.

    A session is asked for its connection at every statement: only so are BEGIN and SAVEPOINT sent before it. On the
    driver's connection underneath, an enqueue that is the session's first statement would survive a rollback.
    """
    # Not "is it a session": whoever enqueues on a connection need not load the ORM to be asked that.
    if isinstance(target, asyncpg.Connection | PoolConnectionProxy):
        return list(await target.fetch(sql, *args))
    result = await (await target.connection()).exec_driver_sql(sql, args)
    return list(result.mappings().all()) if result.returns_rows else []


def require_transaction(target: Target) -> None:
    """Raises RuntimeError on a connection in autocommit, where two statements would not be one."""
    if isinstance(target, asyncpg.Connection | PoolConnectionProxy) and not target.is_in_transaction():
        raise RuntimeError("jobs are enqueued, cancelled and retried in a transaction: open connection.transaction()")

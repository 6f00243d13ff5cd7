"""What the tables of a database hold, seen past the application: for tests that say what a request left alone."""

import asyncio
from types import TracebackType
from typing import Any, Self

import asyncpg

from tandem.core.postgres_url import parse_database_url

_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname"
# The column that says whose a row is; tables of jobs and of migrations have none.
_OWNERS = """
SELECT DISTINCT ON (table_name) table_name, quote_ident(column_name) AS owner FROM information_schema.columns
 WHERE table_schema = 'public' AND (column_name IN ('user_id', 'userId') OR (table_name, column_name) = ('user', 'id'))
"""


class Tables:
    """A connection of its own, for callers that are not asynchronous."""

    def __init__(self, database_url: str) -> None:
        self._where = parse_database_url(database_url).asyncpg_args
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Self:
        try:
            self._connection = self._wait(asyncpg.connect(**self._where))
        except BaseException:
            self._loop.close()  # a loop left open is reported in some later test
            raise
        self.names = [row["relname"] for row in self._wait(self._connection.fetch(_TABLES))]
        self.owners = {row["table_name"]: row["owner"] for row in self._wait(self._connection.fetch(_OWNERS))}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wait(self._connection.close())
        self._loop.close()

    def checksums(self) -> dict[str, str]:
        """One for each table, of all its rows whatever their order."""
        parts = [
            f"SELECT '{name}' AS name, md5(coalesce(string_agg(r::text, E'\\n' ORDER BY r::text), '')) AS sum"
            f' FROM "{name}" r'
            for name in self.names
        ]
        return {row["name"]: row["sum"] for row in self._wait(self._connection.fetch(" UNION ALL ".join(parts)))}

    def rows_of(self, user_id: str) -> dict[str, list[str]]:
        """Every row that belongs to a user, as text, by table."""
        rows = {}
        for name, owner in self.owners.items():
            sql = f'SELECT r::text AS row FROM "{name}" r WHERE {owner} = $1 ORDER BY 1'
            rows[name] = [row["row"] for row in self._wait(self._connection.fetch(sql, user_id))]
        return rows

    def fetchval(self, sql: str, *args: Any) -> Any:
        return self._wait(self._connection.fetchval(sql, *args))

    def _wait(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

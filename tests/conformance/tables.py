"""What the tables of a database hold, seen past the application: for tests that say what a request left alone."""

import asyncio
from types import TracebackType
from typing import Any, Self

import asyncpg

from tandem.core.postgres_url import parse_database_url

# But that which is written by the clock.
_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'status_samples' ORDER BY relname"
# The columns that say whose a row is; tables of migrations, and the engine's own of jobs, have none.
_OWNERS = """
SELECT c.table_name, array_agg(quote_ident(column_name)) AS owners
  FROM information_schema.columns c JOIN information_schema.tables USING (table_schema, table_name)
 WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
   AND (column_name IN ('user_id', 'userId', 'org_id', 'owner')
        OR (c.table_name, column_name) IN (('user', 'id'), ('organizations', 'id')))
 GROUP BY 1
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
        self.owners = {row["table_name"]: row["owners"] for row in self._wait(self._connection.fetch(_OWNERS))}
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

    def rows_of(self, *owners: str) -> dict[str, list[str]]:
        """Every row that belongs to one of these users or organizations, as text, by table."""
        parts = [
            f"""SELECT '{name}' AS name, r::text AS row FROM "{name}" r
                 WHERE {" OR ".join(f"{column} = ANY($1)" for column in columns)}"""
            for name, columns in self.owners.items()
        ]
        rows: dict[str, list[str]] = {name: [] for name in self.owners}
        for row in self._wait(self._connection.fetch(f"{' UNION ALL '.join(parts)} ORDER BY 1, 2", owners)):
            rows[row["name"]].append(row["row"])
        return rows

    def fetchval(self, sql: str, *args: Any) -> Any:
        return self._wait(self._connection.fetchval(sql, *args))

    def _wait(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

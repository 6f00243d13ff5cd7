"""What was wrong with the rows of a file, as a file: it can be corrected and imported again."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from tandem.core.db import Database
from tandem.market_ai.csv_cells import guarded

PAGE = 1000
_ERRORS = f"""
SELECT line, code, message, cells FROM import_errors
 WHERE org_id = $1 AND import_id = $2 AND line > $3 ORDER BY line LIMIT {PAGE}"""


async def report(database: Database, org_id: str, import_id: UUID, header: list[str]) -> AsyncIterator[str]:
    """RFC 4180: the cells as they were in the file, behind the line, the code and the message.

    Streamed in pages that each take a connection for one statement only, so that a slow reader holds none.
    """
    yield _lines([["line", "code", "message", *header]])
    line = 0
    while True:
        async with database.connection() as connection:
            rows = await connection.fetch(_ERRORS, org_id, import_id, line)
        if not rows:
            return
        yield _lines([str(row["line"]), row["code"], row["message"], *row["cells"]] for row in rows)
        line = rows[-1]["line"]


def _lines(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([guarded(cell) for cell in row] for row in rows)
    return text.getvalue()

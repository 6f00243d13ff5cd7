"""The order that users give their tasks and projects, by fractional indexing: a move rewrites one row.

Positions compare bytewise. Read as digits after a point they are base-62 fractions, and none ends in the lowest digit,
so there is always another one below, above and between (D. Greenspan, "Implementing Fractional Indexing", 2020). What
is new or moved to the end gets its position from the trigger `momentum_track`.
"""

from typing import Literal
from uuid import UUID

from tandem.accounts.principal import Writer
from tandem.core.errors import Conflict, NotFound

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MAX_LENGTH = 200  # where somebody keeps inserting at one spot, the rows are renumbered before keys get longer

Table = Literal["tasks", "projects"]
_SHOWN = {"tasks": "AND {0}.deleted_at IS NULL", "projects": ""}


def between(low: str | None, high: str | None) -> str:
    """A position after `low` (None: the start), before `high` (None: the end); raises ValueError unless low < high."""
    low = low or ""
    if high is not None and low >= high:
        raise ValueError("the lower position must come first")
    shared = 0
    while high is not None and shared < len(high) and _digit(low, shared) == DIGITS.index(high[shared]):
        shared += 1
    prefix = (low + DIGITS[0] * shared)[:shared]
    floor = _digit(low, shared)
    ceiling = len(DIGITS) if high is None else DIGITS.index(high[shared])
    if ceiling - floor > 1:
        return prefix + DIGITS[(floor + ceiling) // 2]
    return prefix + DIGITS[floor] + between(low[shared + 1 :], None)


def _digit(text: str, index: int) -> int:
    return DIGITS.index(text[index]) if index < len(text) else 0


async def position_for(writer: Writer, table: Table, row: UUID, before: UUID | None, after: UUID | None) -> str | None:
    """A position for `row` next to another one; None, the end, when neither is named or nothing follows.

    Raises NotFound when the other one is not there, Conflict when it is `row` itself.
    """
    anchor = before or after
    if anchor is None:
        return None
    if anchor == row:
        raise Conflict("Nothing can be placed next to itself")
    position = await _next_to(writer, table, row, anchor, is_before=before is not None)
    if position is not None and len(position) > MAX_LENGTH:
        await _renumber(writer, table)
        position = await _next_to(writer, table, row, anchor, is_before=before is not None)
    return position


async def _next_to(writer: Writer, table: Table, row: UUID, anchor: UUID, *, is_before: bool) -> str | None:
    beyond, operator = ("max", "<") if is_before else ("min", ">")
    found = await writer.connection.fetchrow(
        f"""SELECT a.position, (
              SELECT {beyond}(o.position) FROM {table} o
               WHERE o.user_id = $1 AND o.id <> $3 {_SHOWN[table].format("o")} AND o.position {operator} a.position
            ) AS neighbour FROM {table} a WHERE a.user_id = $1 AND a.id = $2 {_SHOWN[table].format("a")}""",
        writer.user_id,
        anchor,
        row,
    )
    if found is None:
        raise NotFound(f"You have nothing in your {table} with the id in before or after")
    if is_before:
        return between(found["neighbour"], found["position"])
    return None if found["neighbour"] is None else between(found["position"], found["neighbour"])


async def _renumber(writer: Writer, table: Table) -> None:
    """Give every row of the user a short position again, in the same order."""
    await writer.connection.execute(
        f"""UPDATE {table} t SET position = momentum_position(r.n)
              FROM (SELECT id, row_number() OVER (ORDER BY position, id) AS n FROM {table} WHERE user_id = $1) r
             WHERE t.user_id = $1 AND t.id = r.id""",
        writer.user_id,
    )

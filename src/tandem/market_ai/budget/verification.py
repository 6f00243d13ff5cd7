"""Recomputing the ledger: every hash and link, the balances that follow from the entries, and every call's money.

Everything is read in one snapshot, in parts, so that neither memory nor a statement's time grows with the ledger; only
what is wrong leaves Postgres.
"""

import json
from typing import Any

from tandem.core.db import Connection, fetch_one
from tandem.market_ai.budget.schemas import Finding, Verification
from tandem.market_ai.fields import decimal_string

PART = 20_000  # entries
MOST = 100  # findings
GENESIS = bytes(32)

_PART = """
WITH part AS (
  SELECT e.seq, e.prev_hash, e.hash, budget_entry_hash(e) AS computed,
         e.budget_micros + e.reserved_micros + e.unknown_micros + e.spent_micros AS total,
         lag(e.seq, 1, $2::bigint) OVER w AS seq_before, lag(e.hash, 1, $3::bytea) OVER w AS hash_before
    FROM budget_ledger e WHERE e.org_id = $1 AND e.seq > $2 WINDOW w AS (ORDER BY e.seq) ORDER BY e.seq LIMIT $4),
wrong AS (
  SELECT seq, CASE WHEN seq <> seq_before + 1 THEN 'entry_missing' WHEN hash <> computed THEN 'entry_altered'
                   WHEN prev_hash <> hash_before THEN 'chain_broken' WHEN total <> 0 THEN 'entry_unbalanced' END AS kind
    FROM part)
SELECT (SELECT count(*) FROM part) AS entries, last.seq, last.hash,
       (SELECT coalesce(json_agg(w), '[]')::text FROM (
          SELECT seq, kind FROM wrong WHERE kind IS NOT NULL ORDER BY seq LIMIT $5) w) AS wrong
  FROM (SELECT) AS one LEFT JOIN (SELECT seq, hash FROM part ORDER BY seq DESC LIMIT 1) last ON true"""
_AMOUNTS = ", ".join(
    f"coalesce({side}.{name}_micros, 0) AS {side}_{name}" for side in "ab" for name in ("spent", "reserved", "unknown")
)
# One pass over the ledger gives the balance of every account: grouping() has a bit for each column not grouped by.
_BALANCES = f"""
WITH entry AS (
  SELECT to_char(day, 'YYYY-MM') AS month, to_char(day, 'YYYY-MM-DD') AS day, campaign_id::text AS campaign,
         job_id::text AS job, reserved_micros, unknown_micros, spent_micros FROM budget_ledger WHERE org_id = $1),
booked AS (
  SELECT CASE grouping(month, day, campaign, job) WHEN 15 THEN 'organization' WHEN 7 THEN 'month' WHEN 11 THEN 'day'
              WHEN 13 THEN 'campaign' ELSE 'request' END AS scope,
         coalesce(month, day, campaign, job, '') AS key, sum(spent_micros)::bigint AS spent_micros,
         sum(reserved_micros)::bigint AS reserved_micros, sum(unknown_micros)::bigint AS unknown_micros
    FROM entry GROUP BY GROUPING SETS ((), (month), (day), (campaign), (job))
  HAVING NOT (grouping(month, day, campaign, job) = 13 AND campaign IS NULL)),
account AS (SELECT scope, key, spent_micros, reserved_micros, unknown_micros FROM budget_accounts WHERE org_id = $1)
SELECT scope, key, {_AMOUNTS}
  FROM booked b FULL JOIN account a USING (scope, key)
 WHERE (coalesce(b.spent_micros, 0), coalesce(b.reserved_micros, 0), coalesce(b.unknown_micros, 0))
    <> (coalesce(a.spent_micros, 0), coalesce(a.reserved_micros, 0), coalesce(a.unknown_micros, 0))
 ORDER BY scope, key LIMIT $2"""
_CALLS = f"""
WITH booked AS (
  SELECT call_id AS id, sum(spent_micros)::bigint AS spent_micros, sum(reserved_micros)::bigint AS reserved_micros,
         sum(unknown_micros)::bigint AS unknown_micros FROM budget_ledger WHERE org_id = $1 GROUP BY call_id),
call AS (
  SELECT id, coalesce(settled_micros, 0) AS spent_micros, CASE state WHEN 'held' THEN reserved_micros ELSE 0 END
         AS reserved_micros, CASE state WHEN 'outcome_unknown' THEN reserved_micros ELSE 0 END AS unknown_micros
    FROM budget_calls WHERE org_id = $1)
SELECT id, {_AMOUNTS}
  FROM booked b FULL JOIN call a USING (id)
 WHERE (b.spent_micros, b.reserved_micros, b.unknown_micros)
    IS DISTINCT FROM (a.spent_micros, a.reserved_micros, a.unknown_micros)
 ORDER BY id LIMIT $2"""
_CHAIN = "SELECT entries, head FROM budget_chains WHERE org_id = $1"
_NOTED = "SELECT hash FROM budget_ledger WHERE org_id = $1 AND seq = $2"
_MEANING = {
    "entry_missing": "the entry before this one is missing",
    "entry_altered": "its hash is not that of its contents",
    "chain_broken": "it does not continue the entry before it",
    "entry_unbalanced": "its amounts do not sum to zero",
}


async def verify(connection: Connection, org_id: str, noted: tuple[int, str] | None = None) -> Verification:
    """`noted` is the place and the hash, in hexadecimal, of an entry that was seen earlier."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        entries, head, problems = await _verify_chain(connection, org_id)
        if noted is not None and (found := await _verify_noted(connection, org_id, *noted)):
            problems.append(found)
        for row in await connection.fetch(_BALANCES, org_id, MOST):
            detail = f"the account has {_amounts(row, 'a')}, its entries give {_amounts(row, 'b')}"
            problems.append(Finding(kind="balance_differs", detail=detail, scope=row["scope"], key=row["key"] or None))
        for row in await connection.fetch(_CALLS, org_id, MOST):
            detail = f"the call has {_amounts(row, 'a')}, its entries give {_amounts(row, 'b')}"
            problems.append(Finding(kind="call_differs", detail=detail, call_id=row["id"]))
    return Verification(valid=not problems, entries=entries, head=head.hex(), problems=problems[:MOST])


async def _verify_chain(connection: Connection, org_id: str) -> tuple[int, bytes, list[Finding]]:
    """How many entries there are, the hash of the last, and what is wrong with them."""
    problems: list[Finding] = []
    entries, seq, head = 0, 0, GENESIS
    while True:
        part = await fetch_one(connection, _PART, org_id, seq, head, PART, MOST)
        wrong = json.loads(part["wrong"])[: MOST - len(problems)]
        problems += [Finding(detail=_MEANING[one["kind"]], **one) for one in wrong]
        if part["entries"]:
            entries, seq, head = entries + part["entries"], part["seq"], part["hash"]
        if part["entries"] < PART:
            break
    chain = await connection.fetchrow(_CHAIN, org_id)
    expected = (chain["entries"], chain["head"]) if chain else (0, GENESIS)
    if (seq, head) != expected:
        detail = f"the ledger ends at entry {seq} ({head.hex()}), and should at {expected[0]} ({expected[1].hex()})"
        problems.append(Finding(kind="head_differs", detail=detail, seq=seq))
    return entries, head, problems


async def _verify_noted(connection: Connection, org_id: str, seq: int, digest: str) -> Finding | None:
    found = await connection.fetchval(_NOTED, org_id, seq)
    if found is not None and found.hex() == digest:
        return None
    detail = "there is no such entry any more" if found is None else f"its hash is {found.hex()} now"
    return Finding(kind="noted_entry_differs", detail=detail, seq=seq)


def _amounts(row: Any, side: str) -> str:
    parts = ("spent", "reserved", "unknown")
    return ", ".join(f"{part} {decimal_string(row[f'{side}_{part}'])}" for part in parts)

"""`tandem jobs`: what an operator sees of a service's jobs, and does to them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.table import Table

from tandem.core.db import Connection
from tandem.core.jobs import operate
from tandem.core.operator_error import OperatorError
from tandem.core.postgres_url import parse_database_url
from tandem.ops.database import migration_target
from tandem.ops.services import Service
from tandem.ops.target import Progress

T = TypeVar("T")
PART = 10_000  # jobs deleted in one transaction


class JobsError(OperatorError):
    """The jobs could not be asked or changed; the message says why."""


def run(service: Service, work: Callable[[Connection], Awaitable[T]], on_progress: Progress) -> T:
    """`work` on a connection to the service's database, in autocommit; raises JobsError."""

    async def connected(url: str) -> T:
        try:
            connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
        except (OSError, asyncpg.PostgresError) as error:
            raise JobsError(f"could not connect to the database: {error}") from None
        try:
            return await work(connection)
        except asyncpg.UndefinedTableError:
            raise JobsError(f"this database has no jobs: run `tandem migrate {service.name}` first") from None
        finally:
            await connection.close()

    with migration_target(service, on_progress) as target:
        return asyncio.run(connected(target.url))


async def listed(
    connection: Connection, *, statuses: Sequence[str], job_type: str | None, owner: str | None, limit: int
) -> tuple[list[dict[str, Any]], operate.Depth]:
    if wrong := set(statuses) - set(operate.STATUSES):
        raise JobsError(f"no job is {', '.join(sorted(wrong))}: a status is one of {', '.join(operate.STATUSES)}")
    rows = await operate.find(connection, statuses=statuses, job_type=job_type, owner=owner, limit=limit)
    return [dict(row) for row in rows], await operate.depth(connection)


async def shown(connection: Connection, job_id: UUID) -> dict[str, Any]:
    job = await operate.show(connection, job_id)
    if job is None:
        raise JobsError(f"there is no job {job_id}")
    return job


async def retried(connection: Connection, job_ids: Sequence[UUID], *, all_failed: bool) -> list[UUID]:
    """The jobs that are queued again; with `all_failed` all that are failed or held."""
    if all_failed:
        rows = await connection.fetch("SELECT id FROM jobs WHERE status IN ('failed', 'held') ORDER BY id")
        job_ids = [row["id"] for row in rows]
    done = []
    for job_id in job_ids:
        async with connection.transaction():
            if await operate.retry(connection, job_id):
                done.append(job_id)
    if not all_failed and len(done) < len(job_ids):
        rest = ", ".join(str(one) for one in job_ids if one not in done)
        raise JobsError(f"only failed, held and cancelled jobs are retried, and these are not: {rest}")
    return done


async def cancelled(connection: Connection, job_id: UUID) -> str:
    async with connection.transaction():
        status = await operate.cancel(connection, job_id)
    if status is None:
        raise JobsError(f"job {job_id} does not wait or run")
    return status


async def purged(connection: Connection, statuses: Sequence[str], days: float) -> int:
    total = 0
    while True:
        async with connection.transaction():
            try:
                part = await operate.purge(connection, statuses, timedelta(days=days), limit=PART)
            except ValueError as error:
                raise JobsError(str(error)) from None
        total += part
        if part < PART:
            return total


# ---- for people and for programs


def as_json(value: Any) -> str:
    """Indented; what is JSON text in the row (payload, result, data) becomes part of the document."""
    return json.dumps(_plain(value), indent=2, default=str)


def print_list(console: Console, jobs: list[dict[str, Any]], depth: operate.Depth) -> None:
    table = Table(header_style="bold", title_justify="left")
    for column in ("id", "type", "status", "starts", "created", "took", "error"):
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for job in jobs:
        table.add_row(
            str(job["id"]), job["type"], _coloured(job), str(job["attempts"]), _ago(job["created_at"]), _took(job),
            _short(job["error"]),
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{depth.total('due')} due (the oldest for {depth.oldest:.0f} s), {depth.total('delayed')} delayed, "
        f"{depth.total('running')} running, {depth.workers} workers",
        highlight=False,
    )


def print_one(console: Console, job: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in job.items():
        if name not in {"steps", "events"} and value is not None:
            table.add_row(f"[bold]{name}[/]", _escape(str(value)))
    for step in job["steps"]:
        table.add_row("[bold]step[/]", f"{_escape(step['step'])}, done {step['finished_at']:%Y-%m-%d %H:%M:%S}")
    for event in job["events"]:
        data = _escape(event["data"] or "")
        table.add_row(f"[dim]event {event['seq']}[/]", f"{event['at']:%H:%M:%S.%f} {_escape(event['kind'])} {data}")
    console.print(table)


def _plain(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _plain(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return json.loads(value) if isinstance(value, str) and key in {"payload", "result", "data"} else value


def _coloured(job: dict[str, Any]) -> str:
    colour = {"succeeded": "green", "failed": "red", "held": "red", "running": "cyan"}.get(job["status"], "default")
    asked = " (cancelling)" if job["status"] == "running" and job["cancel_requested_at"] else ""
    return f"[{colour}]{job['status']}[/]{asked}"


def _ago(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def _took(job: dict[str, Any]) -> str:
    if job["started_at"] is None or job["finished_at"] is None:
        return ""
    return f"{(job['finished_at'] - job['started_at']).total_seconds():.2f} s"


def _short(error: str | None) -> str:
    return _escape((error or "").splitlines()[0][:120] if error else "")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)

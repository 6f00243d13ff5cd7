"""All checks of `tandem doctor`, in the order in which a person would mend what they find."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace

from tandem.core.revisions import project_dir
from tandem.ops.doctor.backups import check_backups
from tandem.ops.doctor.database import AT_HEAD, REACHABLE, SAFE, check_database, current_revision
from tandem.ops.doctor.migrations import check_pending
from tandem.ops.doctor.process import check_process
from tandem.ops.doctor.redis import check_redis
from tandem.ops.doctor.repository import check_repository
from tandem.ops.doctor.result import Result, Status
from tandem.ops.doctor.settings import check_settings
from tandem.ops.doctor.subject import LastBackup, Subject, subject_of
from tandem.ops.services import Service

OnResult = Callable[[Result], None]


def examine(
    services: Sequence[Service],
    *,
    instances: int = 1,
    last_backup: LastBackup | None = None,
    on_result: OnResult = lambda _: None,
) -> list[Result]:
    """Every result; `on_result` is told each as it comes. Runs an event loop of its own."""
    found: list[Result] = []
    for service in services:
        examined = _service(subject_of(service, last_backup), instances)
        asyncio.run(_collect(examined, service.name, found, on_result))
    for result in check_repository(project_dir()):
        found.append(result)
        on_result(result)
    return found


async def _collect(examined: AsyncIterator[Result], service: str, found: list[Result], on_result: OnResult) -> None:
    async for result in examined:
        found.append(replace(result, service=service))
        on_result(found[-1])


async def _service(subject: Subject, instances: int) -> AsyncIterator[Result]:
    for result in check_settings(subject):
        yield result
    statuses: dict[str, Status] = {}
    async for result in _asked(subject, instances):
        statuses.setdefault(result.check, result.status)
        yield result
    # In threads: they wait for programs and files, and one of them runs an event loop of its own.
    for result in await asyncio.to_thread(lambda: [*pending_results(subject, statuses.get(AT_HEAD.id))]):
        yield result
    for result in await asyncio.to_thread(lambda: [*check_process(subject, statuses.get(REACHABLE.id))]):
        yield result
    yield await asyncio.to_thread(check_backups, subject)


async def _asked(subject: Subject, instances: int) -> AsyncIterator[Result]:
    async for result in check_database(subject, instances=instances):
        yield result
    async for result in check_redis(subject):
        yield result


def pending_results(subject: Subject, at_head: Status | None) -> Iterator[Result]:
    if at_head is Status.OK:
        yield SAFE.ok("nothing is pending")
    elif at_head is None or at_head is Status.SKIPPED:
        yield SAFE.skipped("a database that answers")
    else:
        yield from check_pending(subject.service, asyncio.run(current_revision(subject)))

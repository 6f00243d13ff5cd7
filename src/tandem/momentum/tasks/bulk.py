"""Many operations in one transaction, each with an outcome of its own."""

import json
from collections.abc import Awaitable, Callable

from tandem.accounts.principal import Writer
from tandem.core.conditional import etag
from tandem.core.errors import Problem
from tandem.core.saved import Saved
from tandem.momentum.changes.service import begin_write
from tandem.momentum.tasks import service
from tandem.momentum.tasks.schemas import Bulk, BulkCreate, BulkMove, BulkUpdate, Operation

_SIMPLE: dict[str, Callable[..., Awaitable[Saved | None]]] = {
    "complete": service.complete_task,
    "reopen": service.reopen_task,
    "delete": service.delete_task,
    "restore": service.restore_task,
}


async def run_bulk(writer: Writer, data: Bulk, request_id: str | None) -> str:
    """A BulkResult as JSON. An operation that fails is undone by its savepoint; the others stand."""
    await begin_write(writer)
    outcomes = []
    failed = 0
    for index, operation in enumerate(data.operations):
        status, task, error = 200, "null", "null"
        try:
            async with writer.connection.transaction():
                saved = await _run(writer, operation)
            status = 204 if saved is None else 201 if saved.created else 200
            task = "null" if saved is None else saved.json
        except Problem as problem:
            failed += 1
            status, error = problem.status, json.dumps(problem.body(request_id))
        outcomes.append(f'{{"index":{index},"status":{status},"task":{task},"error":{error}}}')
    succeeded = len(outcomes) - failed
    return f'{{"succeeded":{succeeded},"failed":{failed},"results":[{",".join(outcomes)}]}}'


async def _run(writer: Writer, operation: Operation) -> Saved | None:
    if isinstance(operation, BulkCreate):
        return await service.create_task(writer, operation.data)
    if_match = None if operation.if_match is None else etag(operation.if_match)
    if isinstance(operation, BulkUpdate):
        return await service.patch_task(writer, operation.id, operation.data, if_match)
    if isinstance(operation, BulkMove):
        return await service.move_task(writer, operation.id, operation.data, if_match)
    return await _SIMPLE[operation.op](writer, operation.id, if_match)

"""Where a task stands: its parent and its project."""

from uuid import UUID

from tandem.accounts.principal import Writer
from tandem.core.errors import Conflict, NotFound
from tandem.momentum.tasks.queries import ANCESTORS, SUBTREE, owned

MAX_LEVELS = 5


class TooDeep(Conflict):
    code, title = "too_deep", "Subtasks go five levels deep at most"


class CircularParent(Conflict):
    code, title = "circular_parent", "A task cannot be inside itself"


class ProjectOfParent(Conflict):
    code, title = "project_of_parent", "A subtask is in its parent's project"


async def place(writer: Writer, task_id: UUID | None, parent_id: UUID | None, wanted: UUID | None) -> UUID | None:
    """The project of a task under this parent, `wanted` or the parent's.

    `task_id` is None for a task that is being made. Raises NotFound, CircularParent, TooDeep, ProjectOfParent.
    """
    if parent_id is None:
        return wanted
    line = await writer.connection.fetch(ANCESTORS, writer.user_id, parent_id)
    if not line:
        raise NotFound("You have no task with this parent_id")
    if any(ancestor["id"] == task_id for ancestor in line):
        raise CircularParent()
    if len(line) + await _height(writer, task_id) > MAX_LEVELS:
        raise TooDeep()
    project_id: UUID | None = line[0]["project_id"]
    if wanted is not None and wanted != project_id:
        raise ProjectOfParent()
    return project_id


async def _height(writer: Writer, task_id: UUID | None) -> int:
    if task_id is None:
        return 1
    height: int = await writer.connection.fetchval(
        f"{SUBTREE} SELECT max(height) FROM subtree", writer.user_id, [task_id]
    )
    return height


async def move_subtree(writer: Writer, task_id: UUID, project_id: UUID | None) -> None:
    """Take the subtasks along to another project; the task itself is its caller's to change."""
    await writer.connection.execute(
        f"{SUBTREE} UPDATE tasks t SET project_id = $3 FROM subtree s {owned('t.id = s.id', 's.height > 1')}",
        writer.user_id,
        [task_id],
        project_id,
    )

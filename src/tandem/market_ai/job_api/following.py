"""Following a job: what its route, and those of other features whose work is a job, have in common."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Request, Response

from tandem.market_ai.job_api.hub import Hub, is_over
from tandem.market_ai.job_api.schemas import MAX_EVENT_ID
from tandem.market_ai.job_api.stream import EventStream

LastEventId = Annotated[
    int | None, Header(ge=0, le=MAX_EVENT_ID, description="The last event that was received; EventSource sends it.")
]
_EVENT = {
    "type": "object",
    "description": "One event of the stream.",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "description": "Its number, which Last-Event-ID takes."},
        "event": {"type": "string", "examples": ["progress"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
STREAM: dict[int | str, Any] = {
    200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "The events, as they come."},
    204: {"description": "The job has ended, and there is no event after that one: do not ask again."},
}


def follow(request: Request, job_id: UUID, after: int, place: Any, user_id: str) -> Response:
    """The events after number `after`; `place` has the job's `status` and `events`. Raises TooManyStreams."""
    after = min(after, place["events"])
    if is_over(place["status"], place["events"], after):
        return Response(status_code=204)
    hub: Hub = request.app.state.job_events
    hub.require_room(user_id)
    return EventStream(hub, job_id, after, user_id)

"""Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html) as a response of our own.

Starlette's streaming response notices on uvicorn neither a client that left while nothing was sent, nor that the
process leaves.
"""

import asyncio
import random
from contextlib import suppress
from typing import Any
from uuid import UUID

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tandem.market_ai.job_api.hub import Hub, Listener

HEARTBEAT = 15.0  # seconds without an event after which a comment shows that the stream lives
RECONNECT = 2000  # milliseconds a client waits before it comes back
LIFE = 3600.0  # seconds at most; then the client comes back, and is asked anew who it is
LAST_WORD = 1.0  # seconds that a client which does not read has to take the end of the response

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter is nginx's: pass on, do not collect


class EventStream(Response):
    """The events of a job after number `after`, until the job is over."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, job_id: UUID, after: int, user_id: str) -> None:
        self.hub, self.job_id, self.after, self.user_id = hub, job_id, after, user_id
        self.status_code, self.background = 200, None
        self.init_headers(HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] == "HEAD" or await self._stream(receive, send):
            with suppress(TimeoutError):
                await asyncio.wait_for(send({"type": "http.response.body", "body": b""}), LAST_WORD)

    async def _stream(self, receive: Receive, send: Send) -> bool:
        """Whether the client is still there at the end."""
        with self.hub.listener(self.job_id, self.after, self.user_id) as listener:
            listener.task = sending = asyncio.create_task(_send_events(self.hub, listener, send))
            left = asyncio.create_task(_until_left(receive))
            try:
                life = LIFE * random.uniform(0.9, 1.0)  # noqa: S311 - so that they do not all come back at once
                await asyncio.wait({sending, left}, timeout=life, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sending.cancel()
                left.cancel()
                await asyncio.wait({sending, left})
            if not sending.cancelled() and (error := sending.exception()) is not None:
                raise error
            return left.cancelled()


async def _send_events(hub: Hub, listener: Listener, send: Send) -> None:
    await _send(send, f"retry: {RECONNECT}\n\n")
    while not hub.leaving:
        batch = await hub.next(listener, HEARTBEAT)
        if batch is None:
            await _send(send, ":\n\n")
            continue
        if batch.events:
            await _send(send, "".join(map(_frame, batch.events)))
        if batch.over:
            return


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _frame(event: Any) -> str:
    """Both the kind and the JSON are one line: a kind is a name, and Postgres escapes line breaks."""
    return f"id: {event['seq']}\nevent: {event['kind']}\ndata: {event['json']}\n\n"

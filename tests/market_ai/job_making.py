"""Jobs as a worker leaves them, without one; and who follows their events, in this process and over a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI

from tandem.core.jobs import enqueue, store
from tandem.market_ai.generation.schemas import GenerateContent
from tests.market_ai.conftest import Member

PATIENCE = 10.0  # seconds


async def queue_job(connection: Any, org_id: str, payload: Any = None, **options: Any) -> UUID:
    order = payload or GenerateContent(campaign_id=uuid4(), kind="email", brief="Stollen is back.")
    async with connection.transaction():
        return await enqueue(connection, order, owner=org_id, **options)


async def begin(connection: Any, job_id: UUID) -> int:
    """The attempt that has begun."""
    started = await store.start(connection.fetch, job_id, uuid4(), 5)
    assert started is not None
    return started.attempt


async def progress(connection: Any, job_id: UUID, fraction: float, attempt: int = 1) -> None:
    data = {"fraction": fraction}
    await store.progress(connection.fetch, job_id, attempt, kind="progress", data=data, fraction=fraction)


async def failed_job(connection: Any, org_id: str, error: str = "this campaign is gone", **options: Any) -> UUID:
    job_id = await queue_job(connection, org_id, **options)
    await store.fail(connection.fetch, job_id, await begin(connection, job_id), error)
    return job_id


async def finished_job(connection: Any, org_id: str) -> UUID:
    """With four events."""
    job_id = await queue_job(connection, org_id)
    attempt = await begin(connection, job_id)
    for fraction in (0.25, 0.5):
        await progress(connection, job_id, fraction)
    await store.succeed(connection.fetch, job_id, attempt, {"variants": 3})
    return job_id


@dataclass(frozen=True)
class Event:
    id: int
    kind: str
    data: Any


class Events:
    """What came out of a stream so far. `alive` counts the comments in between."""

    def __init__(self) -> None:
        self.received: list[Event] = []
        self.alive = 0
        self.retry = 0
        self._rest = ""
        self._came = asyncio.Event()

    @property
    def ids(self) -> list[int]:
        return [event.id for event in self.received]

    def feed(self, text: str) -> None:
        *blocks, self._rest = (self._rest + text).split("\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "id" in fields:
                self.received.append(Event(int(fields["id"]), fields["event"], json.loads(fields["data"])))
            elif "retry" in fields:
                self.retry = int(fields["retry"])
            else:
                assert block == ":", block
                self.alive += 1
        self._came.set()

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not true(self):
                self._came.clear()
                await self._came.wait()


class Following(Events):
    """A request to the application in this process. `status` is 0 until the response has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.status, self.headers, self.body = 0, dict[str, str](), b""
        self.ended = False
        self.left = asyncio.Event()

    async def run(self, app: FastAPI, path: str, headers: dict[str, str], method: str = "GET") -> None:
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("testserver", 80), "state": {},
        }  # fmt: skip
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.ended = not message.get("more_body", False)
                self.body += message.get("body", b"")
                if self.status == 200:
                    self.feed(message.get("body", b"").decode())

        await app(scope, receive, send)


@asynccontextmanager
async def following(
    app: FastAPI, who: Member, job_id: UUID, query: str = "", **headers: str
) -> AsyncIterator[Following]:
    """Who follows a job while the block lasts, and leaves at its end."""
    stream = Following()
    named = who.headers | {name.replace("_", "-"): value for name, value in headers.items()}
    task = asyncio.create_task(stream.run(app, f"/api/jobs/{job_id}/events{query}", named))
    try:
        async with asyncio.timeout(PATIENCE):
            while not stream.status and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        yield stream
    finally:
        stream.left.set()
        async with asyncio.timeout(PATIENCE):
            await task


class Follower(Events):
    """Over a socket, as EventSource does it: comes back with the last id it has seen, until it is told 204."""

    def __init__(self, port: int, path: str, token: str, organization: str) -> None:
        super().__init__()
        self._port, self._path, self._token, self._organization = port, path, token, organization
        self._writer: asyncio.StreamWriter | None = None
        self.status, self.requests = 0, 0
        self.completed = 0  # streams that came to their proper end

    async def follow(self) -> None:
        while True:
            await self._request()
            if self.status != 200:
                return

    def drop(self) -> None:
        """Break the connection."""
        assert self._writer is not None
        self._writer.transport.abort()

    async def _request(self) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.requests += 1
        self._rest = ""
        seen = f"Last-Event-ID: {self.ids[-1]}\r\n" if self.received else ""
        self._writer.write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._token}\r\n"
            f"X-Organization-Id: {self._organization}\r\n{seen}\r\n".encode()
        )
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._read(reader)
        finally:
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.status = int(head.split(" ", 2)[1])
        if self.status != 200:
            return
        while size := int(await reader.readuntil(b"\r\n"), 16):
            self.feed((await reader.readexactly(size + 2))[:-2].decode())
        self.completed += 1

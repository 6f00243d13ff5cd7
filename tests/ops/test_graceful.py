"""Leaving: whoever stands at the door or is on the way is still served, and `/health` says in time that it is closing."""

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tandem.ops import graceful
from tests.core.serving import UVICORN, serving

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
BLOCK = REQUEST.replace(b"POST / ", b"POST /block ")
BLOCKS = 0.6  # seconds that nothing happens on the event loop


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/block":
        time.sleep(BLOCKS)  # noqa: ASYNC251 - that is the point
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def served() -> Iterator[tuple[graceful.Server, int]]:
    config = uvicorn.Config(application, lifespan="off", log_config=None, access_log=False, timeout_keep_alive=60)
    server, listening = graceful.Server(config), socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server, port
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def answer_on(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    received = b""
    while not received.endswith(b"ok"):
        chunk = connection.recv(4096)
        if not chunk:
            break
        received += chunk
    return received


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def test_who_waits_at_the_door_when_it_closes_is_served() -> None:
    with served() as (server, port):
        blocking = socket.create_connection(("127.0.0.1", port))
        blocking.sendall(BLOCK)
        time.sleep(BLOCKS / 3)
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for one in waiting:
            one.sendall(REQUEST)
        server.should_exit = True
        assert [answer_on(one)[:15] for one in (blocking, *waiting)] == [b"HTTP/1.1 200 OK"] * 21
        for one in (blocking, *waiting):
            one.close()
    assert not is_open(port)


def test_a_request_that_comes_on_an_open_connection_after_the_door_closed_is_served() -> None:
    with served() as (server, port), socket.create_connection(("127.0.0.1", port)) as kept:
        kept.sendall(REQUEST)
        assert answer_on(kept).startswith(b"HTTP/1.1 200")
        server.should_exit = True
        while is_open(port):
            time.sleep(0.01)
        kept.sendall(REQUEST)
        assert answer_on(kept).startswith(b"HTTP/1.1 200")
        begin = time.monotonic()
        assert kept.recv(1) == b"", "closed by us, as it stayed silent"
        assert time.monotonic() - begin < 10


def test_after_sigterm_health_is_503_while_everything_else_is_served_and_asked_to_come_on_a_new_connection(
    tmp_path: Path,
) -> None:
    """With the plain uvicorn command, too."""
    with serving(tmp_path, UVICORN, SHUTDOWN_DELAY="60") as server:
        pid = int(re.findall(r"Started server process \[(\d+)\]", server.wait_for_output("Uvicorn running"))[0])
        assert said(server.port, "/health/live") == (200, {"status": "alive"}, None)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while said(server.port, "/health")[1]["status"] != "leaving":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert said(server.port, "/health")[0] == 503
        assert said(server.port, "/health/live") == (200, {"status": "alive"}, "close")
        os.kill(pid, signal.SIGTERM)  # who asks twice does not wait
        while is_open(server.port):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def said(port: int, path: str) -> tuple[int, Any, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers["connection"]
    finally:
        connection.close()

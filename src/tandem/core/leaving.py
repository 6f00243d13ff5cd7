"""Hearing early that the process shall leave.

uvicorn tells the application so only when every open response has ended, and closes what it takes for idle at once: a
stream without an end would hold up each restart until its time-out, and a proxy would lose the request it has just put
on a connection it keeps open. So the signal is heard on its way to the server.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Leaving:
    """Whether this process was told to leave. Read by every response, so a plain attribute."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked = False

    def begin(self) -> None:
        self.asked = True


@contextmanager
def on_leaving(call: Callable[[], None], *, delay: float = 0.0) -> Iterator[None]:
    """`call` runs on the event loop at SIGTERM and SIGINT; whoever handles the signal now still does.

    They hear of it `delay` seconds later, and of a second signal at once. Does nothing off the main thread, where
    Python hears no signal, and for a signal that nobody handles.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}
    asked = False

    def heard(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        loop.call_soon_threadsafe(call)
        if delay > 0 and not asked:
            loop.call_soon_threadsafe(loop.call_later, delay, before[number], number, None)
        else:
            before[number](number, frame)
        asked = True

    for caught in SIGNALS:
        handler = signal.getsignal(caught)
        if callable(handler):
            before[caught] = handler
            signal.signal(caught, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is heard:
                signal.signal(number, handler)

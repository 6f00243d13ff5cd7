"""Hearing early that the process shall leave.

uvicorn tells the application so only when every open response has ended: a stream without an end would hold up each
restart until its time-out. So the signal is heard on its way to the server.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def on_leaving(call: Callable[[], None]) -> Iterator[None]:
    """`call` runs on the event loop at SIGTERM and SIGINT; whoever handles the signal now still does.

    Does nothing off the main thread, where Python hears no signal, and for a signal that nobody handles.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def heard(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(call)
        before[number](number, frame)

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

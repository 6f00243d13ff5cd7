"""Imports that cost less: a start is nine tenths imports, and a server keeps in memory whatever it imported."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# structlog loads it wherever it is installed, 4 MB to draw tracebacks with, and does without it otherwise.
_UNWANTED = "rich"


@contextmanager
def lean_imports() -> Iterator[None]:
    """For the imports of an application: without the garbage collector, and without what it only might use.

    The modules of an application are a few hundred thousand objects that stay as long as the process. While they are
    being made the collector goes through all of them time and again and frees nothing: a quarter of the time of a
    start. Frozen they cost no later collection either, which would stop the event loop for a tenth of a second.
    """
    was_on, hidden = gc.isenabled(), _UNWANTED not in sys.modules
    gc.disable()
    if hidden:
        sys.modules[_UNWANTED] = None  # type: ignore[assignment]  # how an import is told that there is none
    try:
        yield
    finally:
        if hidden:
            del sys.modules[_UNWANTED]
        gc.freeze()
        if was_on:
            gc.enable()

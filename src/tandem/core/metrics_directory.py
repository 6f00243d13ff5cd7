"""The directory in which several workers share their metrics. Imports no prometheus_client: it comes before that.

`prepare_multiprocess()` belongs to the process that spawns the workers. Its directory goes when that process ends; what
a killed one left behind is swept by the next. A lock on the directory says whether its owner lives, because process
ids mean nothing across containers that share a /tmp.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import IO

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "tandem-metrics-"
_LOCK = "owner.lock"
_JUST_MADE = 60.0  # seconds in which a new directory may not have its lock yet
_held: list[IO[bytes]] = []


def prepare_multiprocess() -> Path:
    """Name and create the directory, before any worker starts; keeps one that the environment already names."""
    if configured := os.environ.get(VARIABLE):
        directory = Path(configured)
        directory.mkdir(parents=True, exist_ok=True)
        return directory
    _sweep(Path(tempfile.gettempdir()))
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    _held.append(_lock(directory))
    os.environ[VARIABLE] = str(directory)
    atexit.register(_remove, directory, os.getpid())
    return directory


def _remove(directory: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked worker
        shutil.rmtree(directory, ignore_errors=True)


def _sweep(parent: Path) -> None:
    for directory in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use, or already gone
            about = directory.lstat()
            if about.st_uid == os.getuid() and S_ISDIR(about.st_mode) and time.time() - about.st_mtime > _JUST_MADE:
                lock = _lock(directory)
                shutil.rmtree(directory, ignore_errors=True)
                lock.close()


def _lock(directory: Path) -> IO[bytes]:
    """Raises OSError when somebody holds it."""
    lock = (directory / _LOCK).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock

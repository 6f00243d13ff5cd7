"""`python -m tandem.ops.child <pid of the parent> <verb> …`: a tandem command that ends when its parent does.

Even a parent that is killed with SIGKILL takes its children along, so a port is never held by a forgotten process.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG = 1


def spawn(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start `tandem <arguments>`, to end with the calling thread: that is what the signal follows on Linux.

    In a session of its own: Ctrl-C in the terminal reaches the parent, which ends its children in order.
    """
    command = [sys.executable, "-m", "tandem.ops.child", str(os.getpid()), *arguments]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - ours


def die_with_parent(parent: int) -> None:
    """SIGTERM, as an operator would send it, when `parent` ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        sys.exit("the parent ended before its child began")


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    from tandem.cli import app

    app(args=sys.argv[2:], prog_name="tandem")

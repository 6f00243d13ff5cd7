"""What stops a command and can be mended by whoever ran it."""

from typing import ClassVar


class OperatorError(RuntimeError):
    """The message says what to do, in words; `tandem` prints it without a traceback and exits with `exit_status`."""

    exit_status: ClassVar[int] = 1

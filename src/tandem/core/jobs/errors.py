"""How a handler ends a job otherwise than by returning, and what stops a worker.

JobFailed        no retry: the job is kept as `failed` with this message
RetryJob         run it again after a delay of the handler's choosing (a 429 with Retry-After)
any other        run it again by the type's policy, `failed` when its retries are used up
Superseded       raised into a handler whose job another worker took over: let it pass
"""

from datetime import timedelta


class JobFailed(Exception):
    """The job cannot succeed, however often it is tried. The message is shown to its owner."""


class RetryJob(Exception):
    """Try again, not before `after`. Counts as a failed try."""

    def __init__(self, reason: str, *, after: timedelta) -> None:
        super().__init__(reason)
        self.after = after


class JobTimeout(Exception):
    """The handler took longer than its type allows."""


class Superseded(Exception):
    """This run is no longer the job's: its worker was taken for dead. Nothing it writes may count."""


class WorkerError(RuntimeError):
    """The worker cannot start; the message says what to do."""

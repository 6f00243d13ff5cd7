"""How a handler ends a job otherwise than by returning, and what stops a worker.

JobFailed        no retry: the job is kept as `failed` with this message
RetryJob         run it again after a delay of the handler's choosing (a 429 with Retry-After)
any other        run it again by the type's policy, `failed` when its retries are used up
Superseded       raised into a handler whose job another worker took over: let it pass
"""

from datetime import timedelta

from tandem.core.operator_error import OperatorError


class JobFailed(Exception):
    """The job cannot succeed, however often it is tried. The message is shown to its owner.

    `code` names the cause for programs (`budget_exceeded`); it is kept in front of the message, with a colon.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.code = code


class RetryJob(Exception):
    """Try again, not before `after`. Counts as a failed try. `code` is as JobFailed's."""

    def __init__(self, reason: str, *, after: timedelta, code: str = "") -> None:
        super().__init__(f"{code}: {reason}" if code else reason)
        self.after, self.code = after, code


class JobTimeout(Exception):
    """The handler took longer than its type allows."""


class Superseded(Exception):
    """This run is no longer the job's: its worker was taken for dead. Nothing it writes may count."""


class WorkerError(OperatorError):
    """The worker cannot start; the message says what to do."""

"""What an exception of the protocol says about the bill.

An error status is an answer: the request was read and refused. Unless a gateway gives it, on behalf of a server that
may have done the work; then, as after a time-out or a broken stream, nobody knows.
"""

import httpx2
from pydantic_ai.exceptions import ModelAPIError, ModelConnectionError, ModelQuotaExceededError

from tandem.market_ai.llm.errors import ModelError, NotBilled, OutcomeUnknown

_REFUSALS = {
    400: "bad_request",
    401: "unauthorized",
    402: "quota_exceeded",
    403: "forbidden",
    404: "not_found",
    413: "too_large",
    422: "bad_request",
    429: "rate_limited",
    500: "server_error",
    501: "server_error",
    503: "unavailable",
    505: "server_error",
    529: "unavailable",  # overloaded
}
_RETRYABLE = {409, 425, 429, 500, 503, 529}
_GIVEN_UP = {408, 499}  # by a gateway that waited for its server, or thought that we had gone


class TookTooLong(Exception):
    def __init__(self, *, stalled: bool) -> None:
        super().__init__("the answer stopped coming" if stalled else "the answer took too long")
        self.reason = "stalled" if stalled else "timeout"


def outcome_of(error: Exception, *, refused: str | None, secret: str) -> ModelError:
    """`refused`: why nothing was sent, when nothing was."""
    detail = said(error, secret)
    if refused is not None:
        return NotBilled(refused, detail, retryable=False)
    status = getattr(error, "status_code", None) or getattr(error.__cause__, "status_code", None)
    if isinstance(status, int) and not getattr(error, "in_stream", False):
        return _by_status(status, error, detail)
    if isinstance(error, ModelConnectionError) and error.phase in {"connect", "pool"}:
        return NotBilled("unreachable", detail, retryable=True)
    return OutcomeUnknown(_why_unknown(error), detail)


def _why_unknown(error: Exception) -> str:
    if isinstance(error, TookTooLong):
        return error.reason
    if isinstance(error, ModelAPIError) and error.in_stream:
        return "failed_in_stream"
    # pydantic-ai complains without a cause about a stream that has no end, with one about content it cannot read.
    without_end = isinstance(error, ModelAPIError) and error.__cause__ is None
    broken = without_end or isinstance(error, ModelConnectionError | httpx2.TransportError)
    return "cut_off" if broken else "malformed_answer"


def said(error: Exception, secret: str) -> str:
    """What the other side says, or the error does; without the key, which some quote back."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return (str(message or error) or type(error).__name__).replace(secret, "***")[:300]


def _by_status(status: int, error: Exception, detail: str) -> ModelError:
    if status in _GIVEN_UP or (status >= 500 and status not in _REFUSALS):
        return OutcomeUnknown("gateway_error", detail)
    exhausted = isinstance(error, ModelQuotaExceededError)  # a 429 that no waiting helps against
    return NotBilled(
        "quota_exceeded" if exhausted else _REFUSALS.get(status, "refused"),
        detail,
        retryable=status in _RETRYABLE and not exhausted,
        retry_after=getattr(error, "retry_after", None),
    )


__all__ = ["TookTooLong", "outcome_of", "said"]

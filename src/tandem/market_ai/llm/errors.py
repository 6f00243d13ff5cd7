"""How a call to a model ends other than well, told apart by what it did to the bill.

    ModelError
    ├── UnknownModel    nothing was sent: the model, or a tool it needs, has no known price
    ├── NotBilled       refused, or never sent: release the whole reservation
    ├── UnusableAnswer  answered and billed, but of no use: settle `micros`
    └── OutcomeUnknown  sent, and nobody knows: keep the whole reservation charged, marked for a person to resolve

A cancellation (`asyncio.CancelledError`) that reaches `Model.write` is an unknown outcome too. `reason` is a stable
code for the journal and the job's events; the message is for people and names no key.
"""

from tandem.market_ai.llm.protocol import Usage


class ModelError(Exception):
    """`retryable`: asking again, with a reservation of its own, may go better."""

    retryable = False

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class UnknownModel(ModelError):
    def __init__(self, detail: str) -> None:
        super().__init__("unknown_model", detail)


class NotBilled(ModelError):
    """`retry_after`: seconds the other side asked to wait, when it did."""

    def __init__(self, reason: str, detail: str = "", *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(reason, detail)
        self.retryable = retryable
        self.retry_after = retry_after


class UnusableAnswer(ModelError):
    """`micros` is what it cost, in micro-dollars."""

    def __init__(
        self, reason: str, detail: str = "", *, usage: Usage, micros: int, model: str, retryable: bool = False
    ) -> None:
        super().__init__(reason, detail)
        self.usage = usage
        self.micros = micros
        self.model = model
        self.retryable = retryable


class OutcomeUnknown(ModelError):
    retryable = True


__all__ = ["ModelError", "NotBilled", "OutcomeUnknown", "UnknownModel", "UnusableAnswer"]

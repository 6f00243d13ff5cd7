"""Where a model is, and how long it is waited for."""

from dataclasses import dataclass, field

OPENAI = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Endpoint:
    """Durations are seconds; `timeout` is for the whole call.

    Until the answer begins nothing else counts, since a model that reasons is silent for long and giving up may be
    charged all the same; once it has begun, silence for `stall` ends the call.
    """

    model: str
    key: str = field(repr=False)
    base_url: str = OPENAI
    vector_store: str | None = None
    timeout: float = 120.0
    stall: float = 30.0
    connect: float = 10.0


__all__ = ["OPENAI", "Endpoint"]

"""The life of a send: scheduled → sending ⇄ paused → completed, or cancelled from any of the first three.

It completes by itself, when every delivery of it has an outcome.
"""

from typing import Final, Literal

from tandem.market_ai.states import Machine

Status = Literal["scheduled", "sending", "paused", "completed", "cancelled"]
Move = Literal["pause", "resume", "cancel"]
State = Literal["planned", "claimed", "handed_off", "accepted", "failed", "unknown", "skipped", "cancelled"]

SENDS: Final = Machine[Status, Move](
    "send",
    {
        "scheduled": {"pause": "paused", "cancel": "cancelled"},
        "sending": {"pause": "paused", "cancel": "cancelled"},
        "paused": {"resume": "sending", "cancel": "cancelled"},
        "completed": {},
        "cancelled": {},
    },
)
PAST: Final[dict[Move, str]] = {"pause": "paused", "resume": "resumed", "cancel": "cancelled"}

"""The life of a campaign: draft → active ⇄ paused → completed → archived; a draft may be archived unused.

An archived campaign has therefore either never run (`activated_at` is null) or was completed.
"""

from typing import Final, Literal

from tandem.market_ai.states import Machine

Status = Literal["draft", "active", "paused", "completed", "archived"]
Move = Literal["activate", "pause", "resume", "complete", "archive"]

CAMPAIGNS: Final = Machine[Status, Move](
    "campaign",
    {
        "draft": {"activate": "active", "archive": "archived"},
        "active": {"pause": "paused", "complete": "completed"},
        "paused": {"resume": "active", "complete": "completed"},
        "completed": {"archive": "archived"},
        "archived": {},
    },
)
STAMPS: Final[dict[Move, str]] = {  # the column that keeps when it last happened
    "activate": "activated_at",
    "pause": "paused_at",
    "resume": "resumed_at",
    "complete": "completed_at",
    "archive": "archived_at",
}
DELETABLE: Final = frozenset({"draft", "archived"})

"""The life of an asset: draft → in_review → approved → published → archived.

`revise` is a new version: whatever was submitted or approved before, the asset is a draft again, so nobody approves or
publishes what they did not see. Which versions were approved and published stays recorded.
"""

from typing import Final, Literal

from tandem.market_ai.states import Machine

Status = Literal["draft", "in_review", "approved", "published", "archived"]
Move = Literal["submit", "approve", "reject", "publish", "revise", "archive"]

CONTENT: Final = Machine[Status, Move](
    "asset",
    {
        "draft": {"submit": "in_review", "revise": "draft", "archive": "archived"},
        "in_review": {"approve": "approved", "reject": "draft", "revise": "draft", "archive": "archived"},
        "approved": {"publish": "published", "revise": "draft", "archive": "archived"},
        "published": {"revise": "draft", "archive": "archived"},
        "archived": {},
    },
)
DELETABLE: Final = frozenset({"draft", "archived"})

"""What is shown of an answer while it is being written."""

import asyncio
import time
from typing import Any

import structlog
from pydantic_core import from_json

from tandem.market_ai.llm.protocol import OnPartial

EVERY, PATIENCE = 0.25, 5.0  # seconds between two, and for one to be shown


class Partials:
    """Hands unfinished JSON on, a few times a second and only when it has changed.

    Showing is a courtesy: when it fails, that is logged and the answer, which is being paid for, goes on without.
    """

    def __init__(self, show: OnPartial | None, every: float = EVERY) -> None:
        self._show = show
        self._every = every
        self._due = 0.0
        self._shown: dict[str, Any] = {}

    @property
    def due(self) -> bool:
        return self._show is not None and time.monotonic() >= self._due

    async def text(self, unfinished: str) -> None:
        """The same for text that should become a JSON object."""
        try:
            value = from_json(unfinished, allow_partial="trailing-strings")
        except ValueError:
            return
        if isinstance(value, dict):
            await self.value(value)

    async def value(self, value: dict[str, Any]) -> None:
        if self._show is None or not value or value == self._shown:
            return
        self._shown = value
        self._due = time.monotonic() + self._every
        try:
            async with asyncio.timeout(PATIENCE):
                await self._show(value)
        except Exception as error:
            structlog.get_logger(__name__).warning("partial_answer_not_shown", error=repr(error))
            self._show = None


__all__ = ["Partials"]

"""A model behind any endpoint that speaks the OpenAI protocol.

Chat completions, or the Responses API when a vector store is to be searched. This module is light; what speaks the
protocol (`openai_wire`) is imported at the first call.
"""

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tandem.market_ai.llm import bounds
from tandem.market_ai.llm.endpoint import Endpoint
from tandem.market_ai.llm.errors import OutcomeUnknown, UnusableAnswer
from tandem.market_ai.llm.partials import Partials
from tandem.market_ai.llm.prices import FixedPrices, Prices, listed
from tandem.market_ai.llm.protocol import Answer, OnPartial, Prompt, T

if TYPE_CHECKING:
    from tandem.market_ai.llm.openai_wire import Reply, Wire


class OpenAIModel:
    """`prices` override the price list, for models that it does not know."""

    def __init__(self, endpoint: Endpoint, prices: FixedPrices | None = None) -> None:
        self._endpoint = endpoint
        self._prices: Prices | None = prices
        self._wire: Wire | None = None
        self._building = threading.Lock()

    @property
    def name(self) -> str:
        return self._endpoint.model

    @property
    def searches_files(self) -> bool:
        return self._endpoint.vector_store is not None

    @property
    def prices(self) -> Prices:
        """Raises UnknownModel."""
        if self._prices is None:
            self._prices = listed(self._endpoint.model, self._endpoint.base_url)
        return self._prices

    async def prepare(self) -> None:
        await asyncio.to_thread(lambda: self.prices)

    def worst_case(self, prompt: Prompt[Any]) -> int:
        searches = bounds.MAX_SEARCHES if prompt.use_file_search and self.searches_files else 0
        tokens = bounds.input_tokens(prompt, searches, self.prices.context_window)
        return self.prices.worst(tokens, prompt.max_output_tokens, searches)

    async def write(self, prompt: Prompt[T], on_partial: OnPartial | None = None) -> Answer[T]:
        prices = self.prices  # before anything is sent
        wire = self._wire if self._wire is not None else await asyncio.to_thread(self._connect)
        return _settled(prompt, await wire.ask(prompt, Partials(on_partial)), prices)

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.close()
            self._wire = None

    def _connect(self) -> "Wire":
        with self._building:
            if self._wire is None:
                from tandem.market_ai.llm.openai_wire import Wire

                self._wire = Wire(self._endpoint)
            return self._wire


def _settled(prompt: Prompt[T], reply: "Reply", prices: Prices) -> Answer[T]:
    """The answer with its cost. A reply that ended and names its usage was billed, whatever it is worth."""
    usage = reply.usage
    if usage is None:
        reason = "cut_off" if reply.finish == "nothing" else "missing_usage"
        raise OutcomeUnknown(reason, "the answer does not say what it used")
    try:
        cost = prices.actual(usage, reply.tier)
    except ValueError as error:
        raise OutcomeUnknown("missing_usage", f"the usage contradicts itself: {error}") from None

    def unusable(reason: str, detail: str, *, retryable: bool = False) -> UnusableAnswer:
        return UnusableAnswer(reason, detail, usage=usage, micros=cost, model=reply.model, retryable=retryable)

    if reply.finish == "length":
        raise unusable("cut_short", f"{prompt.max_output_tokens} output tokens were not enough")
    if reply.finish == "content_filter":
        raise unusable("refused", reply.detail or "the provider filtered the answer")
    if reply.finish != "stop":
        raise unusable("failed", reply.detail or f"the answer ended with {reply.finish}", retryable=True)
    try:
        output = prompt.output.model_validate_json(reply.json)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the answer"
        raise unusable("invalid_answer", f"{where}: {first['msg']}", retryable=True) from None
    return Answer(output=output, usage=usage, micros=cost, model=reply.model, citations=reply.citations)


__all__ = ["OpenAIModel"]

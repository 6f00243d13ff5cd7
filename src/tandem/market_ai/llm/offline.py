"""Copy without a model: put together from templates, the same for the same facts, free, and marked `model: "offline"`.

It lets everything run on a laptop with nothing configured. What the writers read of `Prompt.facts` is said in
`offline_copy` and `offline_summary`; what is missing there is left out of the copy.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from tandem.market_ai.llm.errors import NotBilled
from tandem.market_ai.llm.offline_copy import write_variants
from tandem.market_ai.llm.offline_summary import write_summary
from tandem.market_ai.llm.partials import Partials
from tandem.market_ai.llm.protocol import Answer, OnPartial, Prompt, T, Usage

WRITERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "generate_content": write_variants,
    "analyze_campaign": write_summary,
}


class OfflineModel:
    name = "offline"
    searches_files = False

    async def prepare(self) -> None:
        pass

    def worst_case(self, prompt: Prompt[Any]) -> int:  # noqa: ARG002 - whatever is asked, it costs nothing
        return 0

    async def write(self, prompt: Prompt[T], on_partial: OnPartial | None = None) -> Answer[T]:
        writer = WRITERS.get(prompt.task)
        if writer is None:
            raise NotBilled("bad_request", f"no template for the task {prompt.task!r}", retryable=False)
        written = writer(prompt.facts)
        partials = Partials(on_partial)
        for partial in _growing(written):
            await partials.value(partial)
        try:
            output = prompt.output.model_validate(written)
        except ValidationError as error:
            raise NotBilled(
                "bad_request", f"no template for {prompt.output.__name__}: {error}", retryable=False
            ) from None
        return Answer(output=output, usage=Usage(), micros=0, model=self.name)

    async def close(self) -> None:
        pass


def _growing(written: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer as a model would let it be seen on the way: field by field, and item by item in a list."""
    so_far: dict[str, Any] = {}
    for name, value in written.items():
        if isinstance(value, list):
            for count in range(1, len(value) + 1):
                so_far = {**so_far, name: value[:count]}
                yield so_far
        so_far = {**so_far, name: value}
        yield so_far


__all__ = ["OfflineModel"]

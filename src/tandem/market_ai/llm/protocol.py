"""What a model is to the rest of Market AI: a worst case in money, and one answer of a given shape.

Nothing here imports a model library. Money is integer micro-dollars, rounded up.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)
OnPartial = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Prompt(Generic[T]):
    """One question, complete: what is sent, the shape asked for, and the bound of its cost.

    `task` names the kind of work; the offline model picks its writer by it and reads `facts` (JSON) instead of the
    prose. `max_output_tokens` bounds everything the model generates, its reasoning too. `temperature` is left out for
    models that refuse it, `use_file_search` means nothing where the model searches no files.
    """

    task: str
    instructions: str
    text: str
    output: type[T]
    max_output_tokens: int
    temperature: float | None = None
    use_file_search: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_output_tokens < 16:  # the Responses API takes no less
            raise ValueError("max_output_tokens must be at least 16")

    @property
    def schema(self) -> dict[str, Any]:
        return self.output.model_json_schema()

    def prompt_hash(self, model: str) -> str:
        """SHA-256, in hex, of all that decides the answer: the key of the call journal together with job and step."""
        whole = {
            "model": model,
            "task": self.task,
            "instructions": self.instructions,
            "text": self.text,
            "schema": self.schema,
            "max_output_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "use_file_search": self.use_file_search,
            "facts": self.facts,
        }
        return hashlib.sha256(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Usage:
    """What a call used. Cached (read) and cache-written tokens are part of `input_tokens`."""

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    searches: int = 0


@dataclass(frozen=True)
class Citation:
    """A file of the vector store that the answer rests on."""

    file_id: str
    name: str


@dataclass(frozen=True)
class Answer(Generic[T]):
    """`micros` is what it cost; `model` is who answered, by the name the other side gave ("offline" for copy from
    templates)."""

    output: T
    usage: Usage
    micros: int
    model: str
    citations: tuple[Citation, ...] = ()


class Model(Protocol):
    """One real adapter and one that works offline; see `choose.model_from`."""

    @property
    def name(self) -> str: ...

    @property
    def searches_files(self) -> bool:
        """Whether `use_file_search` has an effect: then the prompt needs no excerpts of its own."""
        ...

    async def prepare(self) -> None:
        """Load what the first worst case would wait for. Raises UnknownModel: nothing should start with such a one."""

    def worst_case(self, prompt: Prompt[Any]) -> int:
        """Micro-dollars that a call with this prompt cannot exceed. Raises UnknownModel when that cannot be said."""
        ...

    async def write(self, prompt: Prompt[T], on_partial: OnPartial | None = None) -> Answer[T]:
        """Ask once: no retry happens in here. Raises the errors of `errors.py`.

        `on_partial` gets the answer as far as it has come, as JSON that need not fit the output type yet, a few times
        a second; an error it raises is logged and does not lose the answer.
        """
        ...

    async def close(self) -> None: ...


__all__ = ["Answer", "Citation", "Model", "OnPartial", "Prompt", "T", "Usage"]

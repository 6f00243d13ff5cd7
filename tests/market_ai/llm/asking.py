"""Asking a model of the loopback server, and seeing what the server billed."""

from typing import Any

from pydantic import BaseModel

from tandem.market_ai.llm import Answer, ModelError, OnPartial, Prompt
from tandem.market_ai.llm.openai_adapter import OpenAIModel
from tests.openai_server import OpenAIServer

KEY = "sk-of-the-tests"


class Copy(BaseModel):
    headline: str
    body: str


class Copies(BaseModel):
    variants: list[Copy]


class Asking:
    """`await asking(behaviour)`: what a model made of it, the answer or the error, beside what the server billed."""

    def __init__(self, server: OpenAIServer, model: OpenAIModel) -> None:
        self.server, self.model = server, model

    @staticmethod
    def prompt(behave: str = "ok", **given: Any) -> Prompt[Copies]:
        parts = {
            "task": "test",
            "instructions": "Write well.",
            "text": f"Of bread. [[behave:{behave}]] [[tag:{behave}]]",
        }
        return Prompt(**parts | {"output": Copies, "max_output_tokens": 200, "use_file_search": True} | given)

    async def __call__(
        self, behave: str = "ok", on_partial: OnPartial | None = None, **given: Any
    ) -> Answer[Copies] | ModelError:
        try:
            return await self.model.write(self.prompt(behave, **given), on_partial)
        except ModelError as error:
            return error

    @property
    def billed(self) -> int:
        micros: int = self.server.ledger.lines[-1]["micros"]
        return micros

    @property
    def body(self) -> dict[str, Any]:
        return self.server.bodies[-1]

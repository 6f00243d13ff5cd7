"""The model that writes: a Protocol, one adapter for any OpenAI-compatible endpoint, one that works offline.

Importing this loads no model library; the first call to a real model does.
"""

from tandem.market_ai.llm.choose import model_from
from tandem.market_ai.llm.errors import ModelError, NotBilled, OutcomeUnknown, UnknownModel, UnusableAnswer
from tandem.market_ai.llm.protocol import Answer, Citation, Model, OnPartial, Prompt, Usage

__all__ = [
    "Answer",
    "Citation",
    "Model",
    "ModelError",
    "NotBilled",
    "OnPartial",
    "OutcomeUnknown",
    "Prompt",
    "UnknownModel",
    "UnusableAnswer",
    "Usage",
    "model_from",
]

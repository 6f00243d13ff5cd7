"""How many input tokens a call can be charged for at most, said before it is made.

A byte-level BPE token covers at least one byte of text, so no text is more tokens than its UTF-8 bytes. What is counted
is JSON with its escapes, as it goes over the wire, plus a margin for the request's other members and for the framing
that the other side adds where nobody sees it. `body_limit` is also enforced: the adapter refuses to send a longer body.
"""

import json
from typing import Any

from tandem.market_ai.llm.protocol import Prompt

FRAMING = 2048  # bytes of the request that are not the prompt, and tokens that the other side adds to it
MAX_SEARCHES = 2  # sent as max_tool_calls
MAX_RESULTS = 5  # sent as max_num_results
RESULT_TOKENS = 4096 + 256  # the largest chunk a vector store can hold, with its file's name


def body_limit(prompt: Prompt[Any]) -> int:
    """Bytes that the request's body may have."""
    texts = sum(len(json.dumps(t, ensure_ascii=False).encode(errors="replace")) for t in _texts(prompt))
    # In text for models whose server might take chat markers such as <|end|> for its own, pydantic-ai breaks each with
    # a joiner of three bytes; every marker begins with one of these.
    joiners = 3 * sum(prompt.text.count(sign) for sign in "<[]")
    schema = 2 * len(json.dumps(prompt.schema))  # it is rewritten for the provider, measured: into less than it was
    return texts + joiners + schema + FRAMING


def input_tokens(prompt: Prompt[Any], searches: int, context_window: int | None) -> int:
    """Upper bound over all turns of the call: after each search the model reads everything again, and the results."""
    base = body_limit(prompt) + (FRAMING if searches else 0)
    turns = [base + turn * (MAX_RESULTS * RESULT_TOKENS + prompt.max_output_tokens) for turn in range(searches + 1)]
    if context_window is not None:
        # Price lists round it (1,000,000 for 1,047,576), so a sixteenth more is allowed for.
        turns = [min(turn, context_window * 17 // 16) for turn in turns]
    return sum(turns)


def _texts(prompt: Prompt[Any]) -> tuple[str, str]:
    return prompt.instructions, prompt.text


__all__ = ["FRAMING", "MAX_RESULTS", "MAX_SEARCHES", "body_limit", "input_tokens"]

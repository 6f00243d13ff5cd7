"""The OpenAI protocol, spoken through pydantic-ai: one request, streamed, and what became of it.

Importing this costs two seconds and 60 MB, so `openai_adapter` does it at the first call. pydantic-ai is used below its
agents, which would hide what the bill depends on. Left to its defaults it also takes a stream without an end for a
complete one, and adds up the usage of servers that repeat it in every chunk; both are set otherwise here.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import (
    DocumentCitationSource,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.models.openai import (
    OpenAIChatModel,
    OpenAIResponsesModel,
    OpenAIResponsesModelSettings,
)
from pydantic_ai.native_tools import AbstractNativeTool, FileSearchTool
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from tandem.market_ai.llm import bounds
from tandem.market_ai.llm.endpoint import Endpoint
from tandem.market_ai.llm.openai_outcomes import TookTooLong, outcome_of, said
from tandem.market_ai.llm.partials import Partials
from tandem.market_ai.llm.prices import dialect_of
from tandem.market_ai.llm.protocol import Citation, Prompt, Usage


@dataclass(frozen=True)
class Reply:
    """A stream that came to its end. `finish`: stop, length, content_filter, or what else; `usage` None: not told."""

    json: str
    usage: Usage | None
    finish: str
    model: str
    tier: str | None
    detail: str
    citations: tuple[Citation, ...]


@dataclass
class _Sending:
    """Of the call under way in this task: whether any of it has left, and how long its body may be."""

    limit: int
    begun: bool = False
    too_long: bool = False


_sending: ContextVar[_Sending] = ContextVar("sending")


class Wire:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._dialect = dialect_of(endpoint.model, endpoint.base_url)
        timeout = httpx2.Timeout(endpoint.timeout, connect=endpoint.connect)
        self._http = httpx2.AsyncClient(
            timeout=timeout,
            # A fresh connection for each call: one kept open may be closed by the other side just as it is used, and
            # nobody could say whether the request was read.
            limits=httpx2.Limits(max_keepalive_connections=0),
            event_hooks={"request": [_check_length]},
        )
        client = AsyncOpenAI(
            api_key=endpoint.key, base_url=endpoint.base_url, http_client=self._http, timeout=timeout, max_retries=0
        )
        self._model = self._make_model(client)

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, prompt: Prompt[Any], partials: Partials) -> Reply:
        """Raises NotBilled and OutcomeUnknown; an answer that is billed and bad is a Reply too."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._endpoint.timeout
        stream: StreamedResponse | None = None
        with _sending_at_most(bounds.body_limit(prompt)) as sending:
            clock = asyncio.timeout_at(deadline)
            try:
                async with clock, self._open(prompt) as stream:
                    async for event in stream:
                        if _is_text(event):
                            if partials.due:
                                await partials.text(_text(stream.get()))
                            clock.reschedule(min(deadline, now() + self._endpoint.stall))
                return _reply(stream.get())
            except Exception as error:
                if stream is not None and self._had_ended(response := stream.get()):
                    return _reply(response, said(error, self._endpoint.key))
                slow = TookTooLong(stalled=now() < deadline) if clock.expired() else None
                refused = "larger_than_bound" if sending.too_long else None if sending.begun else "not_sent"
                # What has been sent may be in the error's frames; a fault of our own wants its traceback.
                cause = error if refused else None
                raise outcome_of(slow or error, refused=refused, secret=self._endpoint.key) from cause

    def _had_ended(self, response: ModelResponse) -> bool:
        """Of a stream that broke: whether all that matters had come. In the Responses API usage comes with the end."""
        return _usage(response) is not None and (
            response.finish_reason is not None or isinstance(self._model, OpenAIResponsesModel)
        )

    def _open(self, prompt: Prompt[Any]) -> AbstractAsyncContextManager[StreamedResponse]:
        native = self._model.profile.get("supports_json_schema_output", False)
        return model_request_stream(
            self._model,
            [ModelRequest(parts=[UserPromptPart(prompt.text)], instructions=prompt.instructions)],
            model_settings=self._settings(prompt),
            model_request_parameters=ModelRequestParameters(
                output_mode="native" if native else "prompted",
                output_object=OutputObjectDefinition(prompt.schema, name="answer"),
                native_tools=self._tools(prompt),
            ),
            instrument=False,
        )

    def _tools(self, prompt: Prompt[Any]) -> list[AbstractNativeTool]:
        store = self._endpoint.vector_store
        if store is None or not prompt.use_file_search:
            return []
        return [FileSearchTool(file_store_ids=[store], max_num_results=bounds.MAX_RESULTS)]

    def _settings(self, prompt: Prompt[Any]) -> OpenAIResponsesModelSettings:
        settings = OpenAIResponsesModelSettings(max_tokens=prompt.max_output_tokens)
        if prompt.temperature is not None and not self._model.profile.get("openai_supports_reasoning", False):
            settings["temperature"] = prompt.temperature
        if self._dialect == "openai":
            settings["openai_service_tier"] = "default"  # whatever the account's default is: `prices` relies on it
            settings["openai_store"] = False
        if isinstance(self._model, OpenAIChatModel):  # of several usages the last counts, not their sum
            settings["openai_continuous_usage_stats"] = True
            settings["extra_body"] = {"stream_options": {"include_usage": True}}  # which would ask for several
            return settings
        settings["openai_store"] = False
        if prompt.use_file_search:
            settings["openai_include_file_search_results"] = True
            settings["extra_body"] = {"max_tool_calls": bounds.MAX_SEARCHES}
        return settings

    def _make_model(self, client: AsyncOpenAI) -> OpenAIChatModel | OpenAIResponsesModel:
        profile = OpenAIModelProfile(
            openai_chat_streaming_requires_finish_reason=True,
            # A server that ignored the bound of the output would break the bound of the cost. OpenAI's reasoning
            # models know only the new name; most others only the old one.
            openai_chat_supports_max_completion_tokens=self._dialect != "compatible",
        )
        other = self._dialect == "compatible"
        provider = (
            OpenAICompatibleProvider("other", openai_client=client) if other else OpenAIProvider(openai_client=client)
        )
        make = OpenAIResponsesModel if self._endpoint.vector_store else OpenAIChatModel
        return make(self._endpoint.model, provider=provider, profile=profile)


@contextmanager
def _sending_at_most(limit: int) -> Iterator[_Sending]:
    sending = _Sending(limit)
    token = _sending.set(sending)
    try:
        yield sending
    finally:
        _sending.reset(token)


async def _check_length(request: httpx2.Request) -> None:
    """The worst case was computed from the prompt; this holds what is really sent to it."""
    sending = _sending.get()
    if len(request.content) > sending.limit:
        sending.too_long = True
        raise ValueError(f"{len(request.content)} bytes are more than the {sending.limit} of the worst case")
    sending.begun = True


def _is_text(event: object) -> bool:
    if isinstance(event, PartStartEvent):
        return isinstance(event.part, TextPart)
    return isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta)


def _reply(response: ModelResponse, error: str = "") -> Reply:
    details = response.provider_details or {}
    return Reply(
        json=_json(response),
        usage=_usage(response),
        finish=response.finish_reason or "nothing",
        model=response.model_name or "unnamed",
        tier=details.get("service_tier"),
        detail=str(details.get("refusal") or error)[:300],
        citations=tuple(_citations(response)),
    )


def _usage(response: ModelResponse) -> Usage | None:
    told = response.usage
    counts = (told.input_tokens, told.cache_read_tokens, told.cache_write_tokens, told.output_tokens)
    whole = all(isinstance(count, int) and count >= 0 for count in counts)
    if told.unmeasured_requests or not whole or told.input_tokens == 0:  # a prompt of no tokens was not counted
        return None
    return Usage(*counts, searches=sum(_is_search(part) for part in response.parts))


def _is_search(part: object) -> bool:
    return isinstance(part, NativeToolCallPart) and part.tool_name == FileSearchTool.kind


def _text(response: ModelResponse) -> str:
    """All text but the commentary some models add before they answer."""
    texts = [part for part in response.parts if isinstance(part, TextPart) and isinstance(part.content, str)]
    return "".join(t.content for t in texts if (t.provider_details or {}).get("phase") != "commentary")


def _json(response: ModelResponse) -> str:
    """The object in the text; a model that was only asked for JSON in words may put it in a fence."""
    text = _text(response)
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _citations(response: ModelResponse) -> list[Citation]:
    """The files that the text cites, else all that were found: with JSON answers the API often marks none."""
    cited: dict[str, Citation] = {}
    for part in response.parts:
        for citation in (part.citations or ()) if isinstance(part, TextPart) else ():
            for source in citation.sources:
                if isinstance(source, DocumentCitationSource) and source.document_id:
                    cited[source.document_id] = Citation(source.document_id, source.title or "")
    return list((cited or _found(response)).values())


def _found(response: ModelResponse) -> dict[str, Citation]:
    files: dict[str, Citation] = {}
    for part in response.parts:
        content = part.content if isinstance(part, NativeToolReturnPart) else None
        results = content.get("results") if isinstance(content, dict) else None
        for result in results if isinstance(results, list) else ():
            if file_id := result.get("file_id"):
                files[file_id] = Citation(file_id, result.get("filename") or "")
    return files


__all__ = ["Reply", "Wire"]

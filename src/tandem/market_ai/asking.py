"""Asking the model on behalf of a job: what it costs is reserved before and settled after, whatever happens between."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Generic
from uuid import UUID

from tandem.core import telemetry
from tandem.core.errors import Unavailable
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.errors import JobFailed, RetryJob
from tandem.market_ai.budget.service import Bill, BudgetExceeded, CallIntent, pay
from tandem.market_ai.fields import micros
from tandem.market_ai.llm.choose import model_from
from tandem.market_ai.llm.errors import ModelError, NotBilled, UnknownModel, UnusableAnswer
from tandem.market_ai.llm.protocol import Answer, Citation, Model, OnPartial, Prompt, T, Usage
from tandem.market_ai.settings import MarketAiSettings, market_ai_settings


@dataclass(frozen=True)
class Asked(Generic[T]):
    """An answer that has been paid for. `model` is who gave it."""

    output: T
    model: str
    citations: tuple[Citation, ...]


@lru_cache(maxsize=4)
def model_of(settings: MarketAiSettings) -> Model:
    """One a process: its prices are read once."""
    return model_from(settings)


class ModelUnavailable(Unavailable):
    code, title = "model_unavailable", "The configured model cannot be used"


async def worst_case(model: Model, prompt: Prompt[T]) -> int:
    """What a call can cost at most, in micro-dollars; raises ModelUnavailable for a model whose price nobody knows."""
    try:
        await model.prepare()
        return model.worst_case(prompt)
    except UnknownModel as error:
        raise ModelUnavailable(error.detail, retry_after=60) from None


def request_cap(settings: MarketAiSettings) -> int:
    """What one job may cost, in micro-dollars."""
    return micros(settings.max_budget_per_request)


async def ask(
    job: JobContext, prompt: Prompt[T], *, campaign_id: UUID, step: str, on_partial: OnPartial | None = None
) -> Asked[T]:
    """The answer, paid for at most once for this step and prompt of the job.

    Raises JobFailed for what trying again cannot mend (no budget, no such model, a key that is refused), RetryJob or
    the model's own error for what it can.
    """
    settings = market_ai_settings(job.settings)
    model = model_of(settings)

    async def call() -> Bill:
        try:
            answer = await _traced(model, prompt, on_partial)
        except UnusableAnswer as error:
            return Bill(asdict(error.usage), error.micros, failure=error)
        given = {
            "output": answer.output.model_dump(mode="json"),
            "model": answer.model,
            "citations": [asdict(one) for one in answer.citations],
        }
        return Bill(asdict(answer.usage), answer.micros, given)

    try:
        intent = CallIntent.of(
            job,
            step=step,
            prompt_hash=prompt.prompt_hash(model.name),
            model=model.name,
            micros=model.worst_case(prompt),
            request_cap=request_cap(settings),
            campaign_id=campaign_id,
            lifetime=timedelta(seconds=settings.llm_timeout) + timedelta(minutes=10),
        )
        given = await pay(job, intent, call, not_billed=NotBilled)
    except BudgetExceeded as error:
        raise JobFailed(error.detail, code=error.code) from None
    except ModelError as error:
        consequence = _consequence(error)
        if consequence is error:
            raise
        raise consequence from error
    return _asked(prompt, given)


async def _traced(model: Model, prompt: Prompt[T], on_partial: OnPartial | None) -> Answer[T]:
    """The call as a span, in OpenTelemetry's words for generative AI: what it used and cost, never what was said."""
    about = {"gen_ai__operation__name": "chat", "gen_ai__request__model": model.name, "tandem__task": prompt.task}
    with telemetry.span(f"chat {model.name}", "client", **about) as span:
        try:
            answer = await model.write(prompt, on_partial)
        except UnusableAnswer as error:
            _annotate(span, error.model, error.usage, error.micros)
            raise
        _annotate(span, answer.model, answer.usage, answer.micros)
        return answer


def _annotate(span: Any, model: str, usage: Usage, cost: int) -> None:
    telemetry.annotate(
        span,
        gen_ai__response__model=model,
        gen_ai__usage__input_tokens=usage.input_tokens,
        gen_ai__usage__output_tokens=usage.output_tokens,
        tandem__cost_micros=cost,
    )


def _asked(prompt: Prompt[T], given: Any) -> Asked[T]:
    citations = tuple(Citation(**one) for one in given["citations"])
    return Asked(prompt.output.model_validate(given["output"]), given["model"], citations)


def _consequence(error: ModelError) -> Exception:
    """What the job does about it: a new try reserves anew, so the request's cap bounds what all tries may cost."""
    if isinstance(error, UnknownModel) or not error.retryable:
        return JobFailed(error.detail or "the model refused", code=f"model_{error.reason}")
    if isinstance(error, NotBilled) and error.retry_after is not None:
        after = timedelta(seconds=min(error.retry_after, 600))
        return RetryJob(error.detail or "the model is busy", after=after, code=f"model_{error.reason}")
    return error

"""`generate_content`: brief and knowledge → the model → checks → version 1 of an asset for each variant that holds."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any

from tandem.core.errors import NotFound
from tandem.core.jobs.context import JobContext
from tandem.core.jobs.errors import JobFailed
from tandem.core.jobs.registry import handles
from tandem.market_ai.asking import Asked, ask, model_of
from tandem.market_ai.content.schemas import Citation, GeneratedVariant
from tandem.market_ai.content.service import add_generated
from tandem.market_ai.generation.checks import cleaned, faults
from tandem.market_ai.generation.prompts import Prepared, repairing_prompt, writing_prompt
from tandem.market_ai.generation.schemas import GenerateContent, Variant, Variants
from tandem.market_ai.generation.service import prepare
from tandem.market_ai.llm.protocol import OnPartial
from tandem.market_ai.settings import market_ai_settings

BETWEEN_PARTIALS = 0.5  # seconds; each one is an event that is stored
PREPARED, WRITTEN = 0.05, 0.8  # of the whole, as progress shows it


@handles(GenerateContent, retries=4, timeout=timedelta(minutes=30), profile="paid", event="generation")
async def generate_content(job: JobContext, order: GenerateContent) -> None:
    prepared = await job.step("prepare", lambda: _prepared(job, order), returns=Prepared)
    await job.progress(PREPARED, kind="prepared", excerpts=len(prepared.excerpts))
    watch = _watcher(job, order.variants)
    prompt = writing_prompt(order, prepared)
    written = await ask(job, prompt, campaign_id=order.campaign_id, step="write", on_partial=watch)
    drafts = Drafts(order, prepared)
    drafts.check(enumerate(written.output.variants[: order.variants], 1))
    await job.progress(WRITTEN, kind="checked", passed=len(drafts.good), failed=drafts.rejected())
    if drafts.bad:
        await _repair(job, drafts)
    if not drafts.good:
        wrong = next((wrong for _, wrong in drafts.bad.values()), ["the model wrote none"])
        raise JobFailed("; ".join(wrong), code="no_variant_passed")
    await _finish(job, drafts, written)


@dataclass
class Drafts:
    """The variants of a job by their number: those that hold, and those that do not, with what is wrong."""

    order: GenerateContent
    prepared: Prepared
    good: dict[int, Variant] = field(default_factory=dict)
    bad: dict[int, tuple[Variant, list[str]]] = field(default_factory=dict)

    def check(self, variants: Iterable[tuple[int, Variant]]) -> None:
        order, prepared = self.order, self.prepared
        for number, raw in variants:
            variant = cleaned(raw, order.kind, [one.id for one in prepared.excerpts])
            banned, disclaimer = prepared.banned_words, prepared.disclaimer
            wrong = list(faults(variant, order.kind, order.length, banned_words=banned, disclaimer=disclaimer))
            self.bad.pop(number, None)
            if wrong:
                self.bad[number] = variant, wrong
            else:
                self.good[number] = variant

    def rejected(self) -> list[dict[str, Any]]:
        return [{"variant": number, "faults": wrong} for number, (_, wrong) in sorted(self.bad.items())]

    def generated(self, written: Asked[Variants]) -> list[GeneratedVariant]:
        """What holds, as content: citations name chunks of the knowledge, or files that the model searched."""
        sources = {one.id: one for one in self.prepared.excerpts}
        files = [Citation(source=one.name or one.file_id) for one in written.citations]
        return [
            GeneratedVariant(
                number=number,
                title=" ".join(variant.headline.split())[:200],
                model=written.model,
                headline=variant.headline,
                body=variant.body,
                call_to_action=variant.call_to_action,
                channel={one.name: one.value for one in variant.channel},
                citations=[*(sources[one].citation for one in variant.citations), *files],
            )
            for number, variant in sorted(self.good.items())
        ]


async def _prepared(job: JobContext, order: GenerateContent) -> Prepared:
    searches = model_of(market_ai_settings(job.settings)).searches_files
    try:
        async with job.database.connection() as connection:
            return await prepare(connection, str(job.owner), order, searches_files=searches)
    except NotFound:
        raise _campaign_gone() from None


def _watcher(job: JobContext, variants: int) -> OnPartial:
    """Shows the variant that is being written, as far as it has come."""
    last = 0.0

    async def show(partial: dict[str, Any]) -> None:
        nonlocal last
        written = partial.get("variants")
        if monotonic() - last < BETWEEN_PARTIALS or not isinstance(written, list) or not written:
            return
        last = monotonic()
        now = written[-1] if isinstance(written[-1], dict) else {}
        shown = {name: now[name] for name in ("headline", "body", "call_to_action") if isinstance(now.get(name), str)}
        await job.progress(WRITTEN * len(written) / (variants + 1), kind="partial", variant=len(written), **shown)

    return show


async def _repair(job: JobContext, drafts: Drafts) -> None:
    """The model gets one chance to mend what failed. Without room for that in the budget, what passed is enough."""
    numbers = sorted(drafts.bad)
    prompt = repairing_prompt(drafts.order, drafts.prepared, [drafts.bad[number] for number in numbers])
    try:
        mended = await ask(job, prompt, campaign_id=drafts.order.campaign_id, step="repair")
    except JobFailed:
        if drafts.good:
            return
        raise
    drafts.check(zip(numbers, mended.output.variants, strict=False))


async def _finish(job: JobContext, drafts: Drafts, written: Asked[Variants]) -> None:
    order, variants = drafts.order, drafts.generated(written)
    try:
        async with job.database.connection() as connection, connection.transaction():
            assets = await add_generated(
                connection,
                str(job.owner),
                order.campaign_id,
                kind=order.kind,
                variants=variants,
                job_id=job.id,
                actor=f"job:{job.id}",
            )
            content = [str(one) for one in assets]
            result = {"content": content, "model": written.model, "rejected": drafts.rejected()}
            await job.finish_in(connection, result)
    except NotFound:
        raise _campaign_gone() from None


def _campaign_gone() -> JobFailed:
    return JobFailed("the campaign was deleted before its content was written", code="campaign_gone")

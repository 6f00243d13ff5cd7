"""From facts to a summary whose every number is one of them: the model's, or else one made of sentences by the code."""

import re
from typing import Any

from tandem.core.jobs.context import JobContext
from tandem.core.jobs.errors import JobFailed
from tandem.market_ai.analysis.numbers import Computed, uncomputed
from tandem.market_ai.analysis.prompts import another_prompt, summary_prompt
from tandem.market_ai.analysis.schemas import AnalyzeCampaign, Rejected, Summary, Told
from tandem.market_ai.asking import ask
from tandem.market_ai.llm.offline_summary import write_summary

MAX_RECOMMENDATIONS = 5
COMPUTED = "computed"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ENUMERATED = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+")


async def told(job: JobContext, order: AnalyzeCampaign, facts: dict[str, Any]) -> Told:
    """The model gets a second chance with the numbers that nobody computed. After that, and where the budget has no
    room for it, the summary is made of the facts alone."""
    rejected: list[Rejected] = []
    prompt = summary_prompt(order.language, facts)
    for step in ("summarize", "summarize_again"):
        try:
            asked = await ask(job, prompt, campaign_id=order.campaign_id, step=step)
        except JobFailed:
            if rejected:
                break
            raise
        summary = cleaned(asked.output)
        wrong = faults(summary, facts, order.language)
        if not wrong:
            return Told(summary=summary, model=asked.model, rejected=rejected)
        rejected.append(Rejected(model=asked.model, faults=wrong))
        await job.progress(kind="rejected", faults=wrong)
        prompt = another_prompt(order.language, facts, wrong)
    return Told(summary=Summary.model_validate(write_summary(facts)), model=COMPUTED, rejected=rejected)


def cleaned(summary: Summary) -> Summary:
    """Without what a model adds unasked: control characters, outer blanks, numbers of a list's items."""
    texts = [_ENUMERATED.sub("", _plain(text)) for text in summary.recommendations]
    return Summary(
        summary=_plain(summary.summary), recommendations=[text for text in texts if text][:MAX_RECOMMENDATIONS]
    )


def faults(summary: Summary, facts: dict[str, Any], language: str) -> list[str]:
    """What is wrong with a cleaned summary; empty when it can be kept."""
    if not summary.summary:
        return ["the summary is missing"]
    english = language.strip().lower().startswith("en")
    return uncomputed([summary.summary, *summary.recommendations], Computed.of(facts), english=english)


def _plain(text: str) -> str:
    return _UNPRINTABLE.sub("", text).strip()

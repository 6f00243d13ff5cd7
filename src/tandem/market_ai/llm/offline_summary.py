"""The offline writer of `analyze_campaign`.

It reads of the facts: `campaign` {name, status}, `content` {total, by_status}, `ai_budget` {calls, spent, unknown},
and, where there are any, `kpis` {name: value} and `findings` (sentences). It gives {"summary": …, "recommendations":
[…]}. It writes no number of its own: each stands in the facts as it stands in the text.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

_NEXT = {
    "in_review": "Decide on the content that waits for its review.",
    "approved": "Publish what has been approved.",
    "draft": "Go through the drafts, and hand in for review what is good.",
}


def write_summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"summary": " ".join(_sentences(facts)), "recommendations": list(_recommendations(facts))}


def _sentences(facts: Mapping[str, Any]) -> Iterator[str]:
    campaign, content, spending = (facts.get(name) or {} for name in ("campaign", "content", "ai_budget"))
    yield f"{campaign.get('name') or 'The campaign'} is {campaign.get('status') or 'planned'}."
    if content.get("total"):
        states = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in content["by_status"].items())
        yield f"Of its content ({content['total']} in all) this is the state: {states}."
    else:
        yield "It has no content yet."
    if spending.get("calls"):
        yield f"Its AI has cost {spending.get('spent')} US dollars, in calls: {spending['calls']}."
    known = {key: value for key, value in (facts.get("kpis") or {}).items() if isinstance(value, str | int | float)}
    if known:
        yield f"Its figures: {', '.join(f'{_spell(key)} {value}' for key, value in known.items())}."
    yield from (str(finding) for finding in facts.get("findings") or ())


def _recommendations(facts: Mapping[str, Any]) -> Iterator[str]:
    content, spending = facts.get("content") or {}, facts.get("ai_budget") or {}
    if not content.get("total"):
        yield "Have the first content generated, from a brief of a few sentences."
    yield from (advice for status, advice in _NEXT.items() if (content.get("by_status") or {}).get(status))
    if (facts.get("campaign") or {}).get("status") == "draft":
        yield "Activate the campaign once its content is ready."
    if Decimal(spending.get("unknown") or 0) > 0:
        yield "Have somebody resolve the AI calls whose outcome is unknown; they stay charged until then."


def _spell(key: str) -> str:
    """Abbreviations as such: ctr is CTR, and cost_per_click says what it is."""
    return key.upper() if len(key) <= 4 else key.replace("_", " ")


__all__ = ["write_summary"]

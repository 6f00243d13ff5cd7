"""Every type of event, and what it tells of. docs/webhooks.md lists the same; tests hold the two together.

Events of campaigns, content and leads are the audit trail's actions of the same name. What becomes of mails is told by
triggers, see migration 0009_webhooks.
"""

from typing import Final

TEST: Final = "webhook.test"  # sent when asked for, to whomever it was asked for, whatever they want

EVENTS: Final[dict[str, str]] = {
    "campaign.created": "A campaign was made, as a draft.",
    "campaign.updated": "Fields of a campaign changed; `fields` names them.",
    "campaign.activated": "A draft became active.",
    "campaign.paused": "An active campaign paused.",
    "campaign.resumed": "A paused campaign is active again.",
    "campaign.completed": "A campaign is over.",
    "campaign.archived": "A campaign was put away.",
    "campaign.deleted": "A campaign was deleted, with its content.",
    "campaign.analysis_started": "An analysis was asked for; `job_id` is its job.",
    "campaign.analyzed": "A job wrote a report of the campaign; `report_id` names it.",
    "content.created": "Somebody wrote content.",
    "content.generation_started": "Content was asked for from the model; `job_id` is its job.",
    "content.generated": "A job wrote content for the campaign.",
    "content.renamed": "Content has another title.",
    "content.revised": "Content has a new version, and is a draft again.",
    "content.submitted": "Content waits for a review.",
    "content.approved": "A manager approved a version.",
    "content.rejected": "A manager sent a version back; `reason` says why.",
    "content.published": "An approved version is out.",
    "content.archived": "Content was put away.",
    "content.deleted": "Content was deleted.",
    "job.succeeded": "A job has its result.",
    "job.failed": "A job failed for good.",
    "job.cancelled": "A job was cancelled, and runs no more.",
    "job.held": "A job killed its workers; a person decides.",
    "lead.created": "A lead was added.",
    "lead.updated": "Fields of a lead changed.",
    "lead.deleted": "A lead was deleted.",
    "lead.erased": "A person's data was erased.",
    "lead.imported": "An import of leads has ended.",
    "lead.consent_granted": "A lead consented to be written to.",
    "lead.consent_withdrawn": "A lead withdrew the consent.",
    "lead.unsubscribed": "A lead unsubscribed.",
    "delivery.accepted": "The mail server took a mail.",
    "delivery.failed": "The mail server refused a mail.",
    "delivery.unknown": "Nobody knows whether a mail went out.",
    "delivery.resolved": "A person decided what became of a mail.",
    "delivery.bounced": "A mail came back.",
    "delivery.complained": "Somebody reported a mail as spam.",
    "delivery.opened": "A mail was opened.",
    "delivery.clicked": "A link of a mail was followed.",
    "budget.warning": "The AI budget reached 80, 90 or 100 % of a limit.",
}
FAMILIES: Final = tuple(dict.fromkeys(name.partition(".")[0] for name in EVENTS))
PATTERNS: Final = ("*", *(f"{family}.*" for family in FAMILIES), *EVENTS)
"""What an endpoint may want."""

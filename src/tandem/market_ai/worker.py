"""Market AI's jobs: what `tandem worker market-ai` does."""

from collections.abc import Mapping
from typing import Any

from tandem.accounts.jobs import purge_expired_sessions
from tandem.accounts.schemas import PurgeExpiredSessions
from tandem.core.jobs.registry import Jobs, cron
from tandem.market_ai.analysis.jobs import analyze_campaign
from tandem.market_ai.analysis.schemas import AnalyzeCampaign
from tandem.market_ai.budget.jobs import forget_call_results, sweep_reservations
from tandem.market_ai.budget.schemas import ForgetCallResults, SweepReservations
from tandem.market_ai.generation.jobs import generate_content
from tandem.market_ai.generation.schemas import GenerateContent
from tandem.market_ai.idempotency.jobs import purge_idempotency_keys
from tandem.market_ai.idempotency.schemas import PurgeIdempotencyKeys
from tandem.market_ai.imports.jobs import import_rows, purge_imports
from tandem.market_ai.imports.schemas import PurgeImports
from tandem.market_ai.inbox.moving import inbox
from tandem.market_ai.sending.jobs import send_email, send_test_mail, sweep_deliveries
from tandem.market_ai.sending.schemas import SendEmail, SweepDeliveries
from tandem.market_ai.webhooks.jobs import deliver_webhook, purge_webhook_messages
from tandem.market_ai.webhooks.schemas import PurgeWebhookMessages


def _generate(message: Mapping[str, Any], _org_id: str) -> GenerateContent:
    return GenerateContent.pushed(message)


def _analyze(message: Mapping[str, Any], _org_id: str) -> AnalyzeCampaign:
    return AnalyzeCampaign.pushed(message)


def _send(message: Mapping[str, Any], _org_id: str) -> SendEmail:
    return SendEmail.pushed(message)


JOBS = Jobs(
    "marketing-ai-worker",
    handlers=[
        generate_content,
        analyze_campaign,
        send_email,
        send_test_mail,
        sweep_deliveries,
        sweep_reservations,
        forget_call_results,
        import_rows,
        purge_expired_sessions,
        purge_idempotency_keys,
        purge_imports,
        deliver_webhook,
        purge_webhook_messages,
    ],
    crons=[
        cron("sweep_reservations", "* * * * *", SweepReservations()),
        cron("sweep_deliveries", "* * * * *", SweepDeliveries()),
        cron("forget_call_results", "40 3 * * *", ForgetCallResults()),
        cron("purge_expired_sessions", "*/10 * * * *", PurgeExpiredSessions()),
        cron("purge_idempotency_keys", "20 * * * *", PurgeIdempotencyKeys()),
        cron("purge_imports", "50 3 * * *", PurgeImports()),
        cron("purge_webhook_messages", "55 3 * * *", PurgeWebhookMessages()),
    ],
    running=[inbox({"generate_content": _generate, "analyze_campaign": _analyze, "send_email": _send})],
)

"""Who opens mails and follows links without being a reader: scanners of mail servers, and clients that fetch ahead."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

QUICK = timedelta(seconds=2)  # after the server took the mail no person has read it
# Google's image proxy is left out on purpose: it fetches when a person opens the mail.
_AGENTS = re.compile(
    r"bot\b|crawl|spider|slurp|scan|preview|fetch|monitor|headless|phantom|curl|wget|python|java/|go-http|okhttp|"
    r"libwww|axios|node-fetch|barracuda|proofpoint|mimecast|fireeye|trend ?micro|symantec|sophos|safelinks|"
    r"microsoft office existence|facebookexternalhit|slackbot|whatsapp|telegram",
    re.IGNORECASE,
)
_AHEAD = ("sec-purpose", "purpose", "x-purpose", "x-moz")


def is_bot(method: str, headers: Mapping[str, str], settled_at: datetime | None) -> bool:
    agent = headers.get("user-agent", "")
    ahead = any(word in headers.get(name, "").lower() for name in _AHEAD for word in ("prefetch", "preview"))
    quick = settled_at is None or datetime.now(UTC) - settled_at < QUICK
    return method != "GET" or not agent or ahead or quick or _AGENTS.search(agent) is not None

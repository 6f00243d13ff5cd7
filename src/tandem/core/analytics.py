"""Product events to PostHog when POSTHOG_API_KEY is set: what is used, not by whom.

An event is a name, a time, the service and a distinct id from which nobody gets back to a user. It is put into a queue
in memory, which drops what does not fit, and sent from there in batches: a request neither waits for PostHog nor fails
with it. Events of requests come from a table of routes (`create_app(events=…)`) once their answer has left, so what
was refused, rolled back or replayed is none. Why there is no client library here: docs/adr/0012-product-events.md.
"""

import asyncio
import hashlib
import hmac
from collections import deque
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog

from tandem.core.settings import Settings

if TYPE_CHECKING:
    import httpx2

Events = Mapping[tuple[str, str], str]
"""The name of what a route did when it succeeded, by method and template."""

QUEUE = 2000  # events that wait at most
BATCH = 100
INTERVAL = 5.0  # seconds an event waits at most for company
TIMEOUT = 10.0  # seconds for an answer
TRIES = 3
FIRST_PAUSE = 1.0  # seconds before the second try, doubled each time
FLUSH_TIMEOUT = 3.0  # seconds for what is left at the end

log = structlog.get_logger(__name__)

_client: "Client | None" = None


@asynccontextmanager
async def running(settings: Settings, *, service: str | None = None) -> AsyncIterator[None]:
    """Events are sent while the block lasts; nothing happens without POSTHOG_API_KEY, or when they are sent already."""
    global _client  # noqa: PLW0603 - one queue a process
    if settings.posthog_api_key is None or _client is not None:
        yield
        return
    _client = Client(settings, service or settings.service)
    sending = asyncio.create_task(_client.keep_sending(), name="analytics")
    try:
        yield
    finally:
        client, _client = _client, None
        await client.close(sending)


def active() -> bool:
    return _client is not None


def capture(event: str, who: str, **properties: Any) -> None:
    """`who` is a user or an organization, by an id that stays here. Properties are no personal data either."""
    if _client is not None:
        _client.add(event, who, properties)


def observe_request(events: Events, scope: MutableMapping[str, Any], status: int) -> None:
    """Of a request that was answered, by whoever it was; replays and answers such as "it was there before" are none."""
    event = events.get((scope["method"], scope.get("tandem.template", "")))
    who = scope.get("tandem.user_id")
    if event is None or who is None or scope.get("tandem.replayed"):
        return
    if status == (scope["route"].status_code or 200):
        capture(event, who)


class Client:
    """The queue of this process and who empties it."""

    def __init__(self, settings: Settings, service: str) -> None:
        assert settings.posthog_api_key is not None  # noqa: S101
        self._api_key = settings.posthog_api_key.get_secret_value()
        self._url = f"{settings.posthog_host.rstrip('/')}/batch/"
        # Random ids are not secret: without a key of ours, whoever knows one finds what it did.
        secrets = settings.session_hash_secret.get_secret_value() + self._api_key
        self._key = hashlib.sha256(secrets.encode()).digest()
        self._common = {
            "service": service,
            "version": settings.app_version,
            "environment": settings.environment,
            "$lib": "tandem",
            "$process_person_profile": False,
            "$geoip_disable": True,
        }
        self._waiting: deque[dict[str, Any]] = deque()
        self._enough = asyncio.Event()
        self._dropped = 0

    def add(self, event: str, who: str, properties: Mapping[str, Any]) -> None:
        if len(self._waiting) >= QUEUE:
            self._dropped += 1
            return
        self._waiting.append(
            {
                "uuid": str(uuid4()),  # by which PostHog knows a batch that was sent twice
                "event": event,
                "distinct_id": hmac.new(self._key, who.encode(), hashlib.sha256).hexdigest()[:32],
                "timestamp": datetime.now(UTC).isoformat(),
                "properties": {**self._common, **properties},
            }
        )
        if len(self._waiting) >= BATCH:
            self._enough.set()

    async def keep_sending(self) -> None:
        import httpx2  # here and not above: only who sends events pays for it

        async with httpx2.AsyncClient(timeout=TIMEOUT) as http:
            while True:
                with suppress(TimeoutError):  # not wait_for, which may swallow the cancellation of `close`
                    async with asyncio.timeout(INTERVAL):
                        await self._enough.wait()
                await self._send_all(http)

    async def close(self, sending: "asyncio.Task[None]") -> None:
        """Sends what is left, as far as that goes in FLUSH_TIMEOUT seconds."""
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        import httpx2

        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT), httpx2.AsyncClient(timeout=FLUSH_TIMEOUT) as http:
                await self._send_all(http)
        self._dropped += len(self._waiting)
        self._tell_dropped()

    async def _send_all(self, http: "httpx2.AsyncClient") -> None:
        """Batches leave the queue when they were taken or refused; one that is interrupted stays."""
        self._enough.clear()
        while self._waiting:
            batch = [self._waiting[number] for number in range(min(BATCH, len(self._waiting)))]
            refusal = await self._send(http, batch)
            for _ in batch:
                self._waiting.popleft()
            if refusal is not None:
                self._dropped += len(batch)
                log.warning("analytics_not_sent", reason=refusal, events=len(batch))
        self._tell_dropped()

    async def _send(self, http: "httpx2.AsyncClient", batch: list[dict[str, Any]]) -> str | None:
        """Why it could not be sent, None when it was."""
        reason, pause = "", FIRST_PAUSE
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(pause)
                pause *= 2
            try:
                answer = await http.post(self._url, json={"api_key": self._api_key, "batch": batch})
            except Exception as error:  # whatever it is, the next batch is tried all the same
                reason = type(error).__name__
                continue
            if answer.status_code < 300:
                return None
            reason = f"status {answer.status_code}"
            if answer.status_code < 500 and answer.status_code != 429:
                return reason
        return reason

    def _tell_dropped(self) -> None:
        if self._dropped:
            log.warning("analytics_dropped", events=self._dropped)
            self._dropped = 0

"""A receiver on the loopback, which the settings of these tests allow, and webhooks to it."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tandem.core.jobs.registry import Backoff
from tandem.market_ai.settings import MarketAiSettings
from tandem.market_ai.webhooks import outcomes
from tests.market_ai.making import post
from tests.market_ai.webhooks.receiving import Receiver, a_receiver

MakeWebhook = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def market_settings(market_settings: MarketAiSettings) -> MarketAiSettings:
    return market_settings.model_copy(update={"webhook_allowed_networks": "127.0.0.0/8"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with a_receiver() as receiver:
        yield receiver


@pytest.fixture
def webhook(market: Any, receiver: Receiver) -> MakeWebhook:
    """`await webhook(who, events=[…])`: an endpoint at the receiver, with its secret."""

    async def webhook(who: Any, **fields: Any) -> dict[str, Any]:
        made = await post(market, who, "/api/webhooks", {"url": receiver.url, **fields})
        assert made.status_code == 201, made.text
        body: dict[str, Any] = made.json()
        return body

    return webhook


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once, and nobody rests."""
    monkeypatch.setattr(outcomes, "BACKOFF", Backoff(timedelta(milliseconds=10), 1.0, timedelta(milliseconds=10)))
    monkeypatch.setattr(outcomes, "LONGEST_REST", timedelta(0))


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, list[list[str]]]], list[str]]:
    """`asked = answering({name: [first answer, second …]})`: a name server, for tests may not reach one.

    What it does not know is, as with the system's, an address in some spelling or nothing.
    """

    def answering(zone: dict[str, list[list[str]]]) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> Any:
            asked.append(host)
            host.encode("idna")
            if host in zone:
                answers = zone[host]
                found = answers.pop(0) if len(answers) > 1 else answers[0]
            else:
                try:
                    found = [socket.inet_ntoa(socket.inet_aton(host))]
                except OSError:
                    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
            return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return answering

"""Clerk while the application runs: `app.state.clerk`, None for the built-in accounts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tandem.market_ai.settings import MarketAiSettings


@asynccontextmanager
async def clerk_running(app: FastAPI) -> AsyncIterator[None]:
    settings: MarketAiSettings = app.state.settings
    app.state.clerk = None
    if settings.clerk_domain is None:
        yield
        return
    from tandem.accounts.clerk.verify import Clerk  # with cryptography, which the built-in accounts do without

    async with Clerk(settings.clerk_domain, settings.origins, deployed=settings.deployed) as app.state.clerk:
        yield

"""What accounts add to a service."""

from collections.abc import Sequence

from fastapi import APIRouter

from tandem.accounts.routes import router as auth_router
from tandem.accounts.tokens.routes import tokens_router
from tandem.core.settings import Settings


def routers(settings: Settings, scopes: Sequence[str]) -> list[APIRouter]:
    """/api/tokens offering `scopes`, and /api/auth unless an external auth-server serves it (AUTH_BUILTIN=false)."""
    tokens = tokens_router(scopes)
    return [auth_router, tokens] if settings.auth_builtin else [tokens]

"""The session cookie, as better-auth writes and reads it."""

from collections.abc import MutableMapping, Sequence
from datetime import timedelta
from typing import Any

from starlette.requests import Request

from tandem.accounts.secrets import sign_cookie, unsign
from tandem.core.settings import Settings

COOKIE = "better-auth.session_token"
DONT_REMEMBER = "better-auth.dont_remember"  # tells us and a better-auth server not to slide the session
SECURE_COOKIE = "__Secure-" + COOKIE
SECURE_DONT_REMEMBER = "__Secure-" + DONT_REMEMBER
_ALL = (COOKIE, "better-auth.session_data", DONT_REMEMBER)


def session_cookie(settings: Settings, scope: MutableMapping[str, Any], token: str, life: timedelta | None) -> str:
    """The Set-Cookie value for a session; `life=None` makes it end with the browser."""
    return _cookie(scope, COOKIE, sign_cookie(settings, token), life)


def session_cookies(
    settings: Settings, scope: MutableMapping[str, Any], token: str, life: timedelta | None
) -> list[str]:
    """The Set-Cookie values of a sign-in; with `life=None` also the note not to remember it."""
    cookies = [session_cookie(settings, scope, token, life)]
    if life is None:
        cookies.append(_cookie(scope, DONT_REMEMBER, sign_cookie(settings, "true"), None))
    return cookies


def expired_cookies(scope: MutableMapping[str, Any], names: Sequence[str] = _ALL) -> list[str]:
    """The Set-Cookie values that make a browser forget the session."""
    return [_cookie(scope, name, "", timedelta()) for name in names]


def not_remembered(request: Request, settings: Settings) -> bool:
    """Was the browser's sign-in one with rememberMe=false? It then holds our signed note of that."""
    values = (request.cookies.get(name) for name in (SECURE_DONT_REMEMBER, DONT_REMEMBER))
    return any(value is not None and unsign(settings, value) == "true" for value in values)


def _cookie(scope: MutableMapping[str, Any], name: str, value: str, life: timedelta | None) -> str:
    secure = scope["scheme"] == "https"
    parts = [f"__Secure-{name}={value}" if secure else f"{name}={value}"]
    if life is not None:
        parts.append(f"Max-Age={int(life.total_seconds())}")
    parts += ["Path=/", "HttpOnly", *(["Secure"] if secure else []), "SameSite=Lax"]
    return "; ".join(parts)

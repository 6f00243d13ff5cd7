"""Tokens and what is stored of them, signatures, ids. The formats are those of a better-auth server.

A session token is 32 alphanumerics. The session table stores HMAC-SHA256(SESSION_HASH_SECRET, token) in hexadecimal
(SESSION_TOKENS=hashed), so a leaked database signs nobody in, or the token itself (plain) beside a stock better-auth
server.
"""

import base64
import hashlib
import hmac
import re
import secrets
import string
from urllib.parse import quote, unquote

from tandem.core.settings import Settings

_ALPHANUMERIC = string.ascii_letters + string.digits
_STORED_HASH = re.compile(r"[0-9a-f]{64}")
MAX_TOKEN = 256  # characters; an auth-server beside us may make longer tokens than ours
API_TOKEN_PREFIX = "tdm_"  # noqa: S105 - tells our API tokens from session tokens


def random_id() -> str:
    """32 alphanumerics, 190 bits: an id or a session token, as better-auth makes them."""
    return _random(32)


def random_api_token() -> str:
    return API_TOKEN_PREFIX + _random(40)


def hash_api_token(token: str) -> str:
    """238 random bits need no key; without one, API tokens outlive a change of SESSION_HASH_SECRET."""
    return hashlib.sha256(token.encode()).hexdigest()


def stored_session_token(settings: Settings, token: str) -> str | None:
    """What the session table holds for `token`; None when no session can have it.

    In plain mode a stored hash (of a time when tokens were hashed) would find its own row: it is refused by its shape.
    """
    if settings.session_tokens == "hashed":
        return _mac(settings, token).hex()
    return None if _STORED_HASH.fullmatch(token) else token


def sign(settings: Settings, value: str) -> str:
    """`value.signature`, the signature in base64: what `set-auth-token` carries and, URL-encoded, a cookie."""
    return f"{value}.{base64.b64encode(_mac(settings, value)).decode()}"


def sign_cookie(settings: Settings, value: str) -> str:
    return quote(sign(settings, value), safe="")


def unsign(settings: Settings, signed: str) -> str | None:
    """The value of a signed one, URL-encoded or not; None when the signature is not ours."""
    value, _, signature = (unquote(signed) if "%" in signed else signed).rpartition(".")
    if not value or not readable(value):
        return None
    expected = base64.b64encode(_mac(settings, value)).rstrip(b"=")
    given = signature.rstrip("=").replace("-", "+").replace("_", "/").encode("utf-8", "replace")
    return value if hmac.compare_digest(expected, given) else None


def readable(token: str) -> bool:
    """Whether a header's text may be a token at all; Postgres would refuse a NUL in a parameter."""
    return 0 < len(token) <= MAX_TOKEN and token.isascii() and token.isprintable()


def _mac(settings: Settings, value: str) -> bytes:
    return hmac.digest(settings.session_hash_secret.get_secret_value().encode(), value.encode(), "sha256")


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))

"""`Clerk`: from a request's session token to its Principal, without a database and, but for a rare fetch, offline.

async with Clerk("clerk.example.com", ["https://app.example.com"]) as clerk:
    principal = await clerk.principal(request)
"""

import base64
import json
import re
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from starlette.requests import HTTPConnection

from tandem.accounts.clerk.claims import MALFORMED, principal_of
from tandem.accounts.clerk.domain import issuer_of
from tandem.accounts.clerk.jwks import MAX_KID
from tandem.accounts.clerk.keys import Keys, Timing
from tandem.accounts.credentials import SAFE_METHODS, InvalidOrigin
from tandem.accounts.origins import distrusted
from tandem.accounts.principal import Principal
from tandem.core.errors import Unauthorized

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

COOKIE = b"__session"
MAX_TOKEN = 8192  # characters; a cookie holds 4096
LEEWAY = 5  # seconds that the clocks may differ
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_REQUIRED = ["exp", "iat", "nbf", "iss", "sub", "sid"]  # tokens of a template, of machines and of OAuth have no sid

EXPIRED = "This token has expired; get a new one with session.getToken() and repeat the request"
NOT_YET = "This token is not valid yet; the clocks of Clerk and of this server differ"
FOREIGN = "This token is of another Clerk instance; compare the front end's publishable key with CLERK_DOMAIN here"
UNKNOWN_KEY = "This token is signed with a key that Clerk does not publish; sign in again"
FORGED = "This token's signature is wrong; sign in again"


class Clerk:
    """One per process; `async with`, or `close()` with the application.

    `authorized_parties` are the web origins whose tokens are accepted. Raises ClerkDomainError.
    """

    def __init__(
        self, domain: str, authorized_parties: Sequence[str], *, deployed: bool = True, timing: Timing = Timing()
    ) -> None:
        from jwt import PyJWT  # with cryptography a quarter of a second: now, and not during the first request

        self.issuer = issuer_of(domain, deployed=deployed)
        self._parties = frozenset(origin.rstrip("/") for origin in authorized_parties)
        self._keys = Keys(f"{self.issuer}/.well-known/jwks.json", timing)
        self._jwt = PyJWT({"require": _REQUIRED, "verify_aud": False})

    async def __aenter__(self) -> Self:
        """Begins to fetch the keys and does not wait: without Clerk the service starts all the same."""
        self._keys.refresh()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._keys.close()

    async def principal(self, request: HTTPConnection) -> Principal:
        """Who calls, by `Authorization: Bearer` else the `__session` cookie.

        Raises Unauthorized, ClerkUnavailable, and InvalidOrigin for a cookie that another site made the browser send.
        May wait for Clerk: call it before there is a database connection.
        """
        scope = request.scope
        token, from_cookie = _credential(scope)
        if token is None:
            raise Unauthorized()
        if from_cookie and scope["method"] not in SAFE_METHODS and distrusted(scope, scope["app"].state.settings):
            raise InvalidOrigin("Send this from an origin in CORS_ORIGINS, or with an Authorization: Bearer header")
        principal = await self.verify(token)
        scope["tandem.user_id"] = principal.user_id
        return principal

    async def verify(self, token: str) -> Principal:
        """Who the session token speaks for; raises Unauthorized or ClerkUnavailable."""
        if len(token) > MAX_TOKEN or not _TOKEN.fullmatch(token):
            raise Unauthorized(MALFORMED)
        header, payload, _ = token.split(".")
        kid = _key_id(header)
        if not self._keys.knows(kid) and _part(payload).get("iss") != self.issuer:
            raise Unauthorized(FOREIGN)  # whatever its key, it is not worth asking Clerk about
        key = await self._keys.find(kid)
        if key is None:
            raise Unauthorized(UNKNOWN_KEY)
        return principal_of(self._claims(token, key), self._parties)

    def _claims(self, token: str, key: "RSAPublicKey") -> dict[str, Any]:
        """The claims, with signature, issuer and times checked. PyJWT's own messages quote the token: none is shown."""
        from jwt import exceptions

        try:
            return self._jwt.decode(token, key, ["RS256"], issuer=self.issuer, leeway=LEEWAY)
        except exceptions.ExpiredSignatureError:
            detail = EXPIRED
        except exceptions.ImmatureSignatureError:
            detail = NOT_YET
        except exceptions.InvalidIssuerError:
            detail = FOREIGN
        except exceptions.InvalidSignatureError:
            detail = FORGED
        except exceptions.PyJWTError:
            detail = MALFORMED
        raise Unauthorized(detail)


def _credential(scope: MutableMapping[str, Any]) -> tuple[str | None, bool]:
    """The token and whether a cookie brought it. A Bearer header decides alone: no cookie rescues a wrong one."""
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip().decode("latin-1"), False
        if name == b"cookie" and found is None:
            found = _session_cookie(value)
    return (None, False) if found is None else (found.decode("latin-1"), True)


def _session_cookie(header: bytes) -> bytes | None:
    for part in header.split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == COOKIE and value:
            return value
    return None


def _key_id(header: str) -> str:
    """The `kid`, of nothing but an RS256 session token: `typ` tells OAuth access tokens (`at+jwt`) from them."""
    fields = _part(header)
    kid, typ = fields.get("kid"), fields.get("typ", "JWT")
    if fields.get("alg") != "RS256" or typ != "JWT" or not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise Unauthorized(MALFORMED)
    return kid


def _part(encoded: str) -> dict[str, Any]:
    """A part of a token as JSON, before anything vouches for it."""
    try:
        part = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, RecursionError):
        raise Unauthorized(MALFORMED) from None
    if not isinstance(part, dict):
        raise Unauthorized(MALFORMED)
    return part

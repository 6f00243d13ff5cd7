"""What the routes of /api/auth depend on: a trusted origin, the limits, the current session, a transaction."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request, Response

from tandem.accounts import errors, sessions
from tandem.accounts.cookies import DONT_REMEMBER, expired_cookies, not_remembered, session_cookie, session_cookies
from tandem.accounts.credentials import SAFE_METHODS, SESSION_LIFE, Credential, read_credential
from tandem.accounts.origins import distrusted, read_headers, trusted_target
from tandem.accounts.secrets import sign
from tandem.accounts.sessions import Client, Current
from tandem.core.db import Begin, Database
from tandem.core.ratelimit import Limit, count_address, count_principal
from tandem.core.settings import Settings

PER_ADDRESS = Limit("20/minute", name="auth-address")
PER_EMAIL = Limit("5/minute", name="auth-email")
PER_USER = Limit("5/minute", name="auth-password")  # guesses at the password of an open session


class Call:
    """A request to /api/auth and the response to it, with what a route needs of its surroundings."""

    def __init__(self, request: Request, response: Response) -> None:
        self.request, self.response = request, response
        self.settings: Settings = request.app.state.settings
        self.database: Database = request.app.state.database

    @property
    def client(self) -> Client:
        address = self.request.client.host if self.request.client else ""
        return Client(address, self.request.headers.get("user-agent", ""))

    @property
    def credential(self) -> Credential | None:
        return read_credential(self.request.scope, self.settings)

    @property
    def not_remembered(self) -> bool:
        return not_remembered(self.request, self.settings)

    def set_session(self, token: str, *, remember: bool) -> None:
        """Hand the session to the browser as cookies and to other clients as `set-auth-token`."""
        self._drop_slid_cookie()
        scope = self.request.scope
        cookies = session_cookies(self.settings, scope, token, SESSION_LIFE if remember else None)
        if remember and self.not_remembered:
            cookies += expired_cookies(scope, [DONT_REMEMBER])
        for cookie in cookies:
            self.response.headers.append("Set-Cookie", cookie)
        self.response.headers["set-auth-token"] = sign(self.settings, token)
        self.response.headers["Access-Control-Expose-Headers"] = "set-auth-token"

    def forget_session(self) -> None:
        self._drop_slid_cookie()
        for cookie in expired_cookies(self.request.scope):
            self.response.headers.append("Set-Cookie", cookie)

    def _drop_slid_cookie(self) -> None:
        """Of a session that this very request slid: it would come last, and the browser would keep it."""
        self.request.scope.get("tandem.headers", {}).pop("Set-Cookie", None)

    def require_trusted_origin(self) -> None:
        """Raises AuthError."""
        reason = distrusted(self.request.scope, self.settings)
        if reason is not None:
            raise errors.missing_or_null_origin() if reason == "missing" else errors.invalid_origin()

    def require_trusted_target(self, url: str | None) -> None:
        """Raises AuthError for a place that this server should not send a browser to."""
        if url and not trusted_target(url, self.request.scope, self.settings):
            raise errors.invalid_callback_url()


CallDep = Annotated[Call, Depends()]


def trusted_origin(call: CallDep) -> None:
    """A request that changes something and carries a cookie needs a trusted origin, however it authenticates."""
    if call.request.method not in SAFE_METHODS and "cookie" in call.request.headers:
        call.require_trusted_origin()


def no_login_from_elsewhere(call: CallDep) -> None:
    """No other site signs a browser in: what a browser says of itself (Origin, Sec-Fetch-*) must be trusted."""
    headers = read_headers(
        call.request.scope, b"origin", b"referer", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest"
    )
    if headers.get(b"sec-fetch-site") == "cross-site" and headers.get(b"sec-fetch-mode") == "navigate":
        raise errors.cross_site_navigation_blocked()
    if any(headers.values()):
        call.require_trusted_origin()


async def limit_per_address(call: CallDep) -> None:
    await PER_ADDRESS.per_address(call.request)


async def transaction(call: CallDep) -> AsyncIterator[Begin]:
    """Takes a connection when it is begun, not before, and commits before the response."""
    async with call.database.late_transaction() as begin:
        yield begin


async def current_or_none(call: CallDep) -> Current | None:
    """The session of the request, slid when that is due; counted against its user, else against the address."""
    scope, credential = call.request.scope, call.credential
    refresh = call.request.query_params.get("disableRefresh") != "true" and not call.not_remembered
    current = None
    if credential is not None:
        async with call.database.connection() as connection:
            current = await sessions.find(connection, call.settings, credential, refresh=refresh)
    if current is None:
        await count_address(call.request)
        return None
    scope["tandem.user_id"] = current.user_id
    await count_principal(call.request, current.user_id)
    if current.slid and credential is not None and credential.from_cookie:
        cookie = session_cookie(call.settings, scope, current.token, SESSION_LIFE)
        scope.setdefault("tandem.headers", {})["Set-Cookie"] = cookie
    return current


MaybeCurrent = Annotated[Current | None, Depends(current_or_none)]


async def current_session(current: MaybeCurrent) -> Current:
    if current is None:
        raise errors.unauthorized()
    return current


CurrentSession = Annotated[Current, Depends(current_session)]
Transaction = Annotated[Begin, Depends(transaction, scope="function")]


async def limit_password_guesses(call: CallDep, current: CurrentSession) -> None:
    await PER_USER.hit(call.request, current.user_id)

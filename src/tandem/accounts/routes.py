"""/api/auth: the HTTP contract of better-auth 1.7, so that its clients work against this server."""

from typing import Any

from fastapi import APIRouter, Depends

from tandem.accounts import service, sessions
from tandem.accounts.dependencies import (
    PER_EMAIL,
    CallDep,
    CurrentSession,
    MaybeCurrent,
    Transaction,
    current_session,
    limit_password_guesses,
    limit_per_address,
    no_login_from_elsewhere,
    trusted_origin,
)
from tandem.accounts.schemas import (
    AuthErrorBody,
    ChangePassword,
    DeleteUser,
    Ok,
    PasswordChanged,
    RevokeSession,
    SessionAndUser,
    SessionView,
    SignedIn,
    SignedUp,
    SignIn,
    SignUp,
    Status,
    Success,
    UpdateUser,
    UserDeleted,
    UserView,
)
from tandem.core.ratelimit import count_address

PREFIX = "/api/auth"


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": AuthErrorBody} for status in sorted({*statuses, 400, 429})}


router = APIRouter(prefix=PREFIX, tags=["auth"], dependencies=[Depends(trusted_origin)])
_LOGIN = [Depends(no_login_from_elsewhere), Depends(limit_per_address)]
_GUESS = [Depends(current_session), Depends(limit_password_guesses)]
_BODY = (413, 415)
_OPEN: dict[str, Any] = {"security": []}  # needs no credential


@router.post("/sign-up/email", dependencies=_LOGIN, responses=_errors(*_BODY, 403, 422), openapi_extra=_OPEN)
async def sign_up(call: CallDep, body: SignUp, begin: Transaction) -> SignedUp:
    """Create a user and sign them in."""
    await PER_EMAIL.hit(call.request, body.email)
    call.require_trusted_target(body.callbackURL)
    token, user = await service.sign_up(call.database, begin, call.settings, body, client=call.client)
    call.request.scope["tandem.user_id"] = user["id"]
    call.set_session(token, remember=body.rememberMe is not False)
    return SignedUp(token=token, user=UserView.model_validate(user))


@router.post(
    "/sign-in/email",
    dependencies=_LOGIN,
    responses=_errors(*_BODY, 401, 403),
    openapi_extra=_OPEN,
    response_model_exclude_unset=True,
)
async def sign_in(call: CallDep, body: SignIn, begin: Transaction) -> SignedIn:
    """Sign in. Give the `token` as `Authorization: Bearer`, or let the browser keep the cookie."""
    await PER_EMAIL.hit(call.request, body.email.lower())
    call.require_trusted_target(body.callbackURL)
    token, user = await service.sign_in(call.database, begin, call.settings, body, client=call.client)
    call.set_session(token, remember=body.rememberMe is not False)
    view = UserView.model_validate(user)
    if not body.callbackURL:
        return SignedIn(redirect=False, token=token, user=view)
    call.response.headers["Location"] = body.callbackURL
    return SignedIn(redirect=True, token=token, url=body.callbackURL, user=view)


@router.post("/sign-out", responses=_errors(403), openapi_extra=_OPEN)
async def sign_out(call: CallDep, current: MaybeCurrent, begin: Transaction) -> Success:
    """End the session; without one nothing happens but that the cookies are removed."""
    if current is not None:
        await sessions.end(await begin(), current)
    call.forget_session()
    return Success()


@router.get("/get-session", responses=_errors(), openapi_extra=_OPEN)
async def get_session(call: CallDep, current: MaybeCurrent) -> SessionAndUser | None:
    """The caller's session and user; null without one."""
    call.response.headers["Cache-Control"] = "no-store"
    call.response.headers["Pragma"] = "no-cache"
    if current is None:
        if call.credential is not None:
            call.forget_session()
        return None
    view = SessionView.model_validate({**current.session, "token": current.token})
    return SessionAndUser(session=view, user=UserView.model_validate(current.user))


@router.get("/list-sessions", responses=_errors(401))
async def list_sessions(call: CallDep, current: CurrentSession) -> list[SessionView]:
    """The caller's living sessions, each with a `token` for /revoke-session."""
    async with call.database.connection() as connection:
        rows = await sessions.listing(connection, current)
    return [SessionView.model_validate(row) for row in rows]


@router.post("/revoke-session", responses=_errors(*_BODY, 401, 403))
async def revoke_session(call: CallDep, body: RevokeSession, current: CurrentSession, begin: Transaction) -> Status:
    """End one of the caller's sessions; one that is none of theirs is left alone without an error."""
    if await sessions.revoke(await begin(), call.settings, current, body.token):
        call.forget_session()
    return Status()


@router.post("/revoke-other-sessions", responses=_errors(401, 403))
async def revoke_other_sessions(current: CurrentSession, begin: Transaction) -> Status:
    """End every session of the caller but this one."""
    await sessions.revoke_all(await begin(), current.user_id, keep=current.session_id)
    return Status()


@router.post("/revoke-sessions", responses=_errors(401, 403))
async def revoke_sessions(call: CallDep, current: CurrentSession, begin: Transaction) -> Status:
    """End every session of the caller."""
    await sessions.revoke_all(await begin(), current.user_id)
    call.forget_session()
    return Status()


@router.post("/change-password", dependencies=_GUESS, responses=_errors(*_BODY, 401, 403))
async def change_password(
    call: CallDep, body: ChangePassword, current: CurrentSession, begin: Transaction
) -> PasswordChanged:
    """Change the password; with `revokeOtherSessions` all sessions end and a new one begins."""
    token = await service.change_password(call.database, begin, call.settings, current, body, client=call.client)
    if token is not None:
        call.set_session(token, remember=not call.not_remembered)
    return PasswordChanged(token=token, user=UserView.model_validate(current.user))


@router.post("/update-user", responses=_errors(*_BODY, 401, 403))
async def update_user(body: UpdateUser, current: CurrentSession, begin: Transaction) -> Status:
    """Change the caller's name or image."""
    await service.update_user(begin, current, body)
    return Status()


@router.post("/delete-user", dependencies=_GUESS, responses=_errors(*_BODY, 401, 403))
async def delete_user(call: CallDep, body: DeleteUser, current: CurrentSession, begin: Transaction) -> UserDeleted:
    """Delete the caller's account with everything in it. There is no way back."""
    await service.delete_user(call.database, begin, current, body.password)
    call.forget_session()
    return UserDeleted()


@router.get("/ok", dependencies=[Depends(count_address)], responses=_errors(), openapi_extra=_OPEN)
async def ok() -> Ok:
    return Ok()

"""Users and their passwords: sign-up, sign-in, change, deletion.

Hashing a password takes tens of milliseconds, so every function reads on a connection of its own and gives it back,
hashes, and only then writes in the caller's transaction, which has taken no connection until that moment.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from tandem.accounts import errors, passwords, queries, sessions
from tandem.accounts.credentials import milliseconds
from tandem.accounts.models import Account, User
from tandem.accounts.queries import Row
from tandem.accounts.schemas import ChangePassword, SignIn, SignUp, UpdateUser, is_email
from tandem.accounts.secrets import random_id
from tandem.accounts.sessions import Client, Current
from tandem.core.db import Database
from tandem.core.settings import Settings


async def sign_up(
    database: Database, session: AsyncSession, settings: Settings, wish: SignUp, *, client: Client
) -> tuple[str, Row]:
    """A new user and their first session: its token and the user's row. Raises AuthError."""
    check_new_password(wish.password)
    async with database.connection() as connection:
        taken = await queries.email_is_taken(connection, wish.email)
    if taken:
        raise errors.user_already_exists()
    hashed = await passwords.hash_password(wish.password)
    user = await _insert_user(session, wish, hashed)
    token = await sessions.create(session, settings, user["id"], client, remember=wish.rememberMe is not False)
    return token, user


async def sign_in(
    database: Database, session: AsyncSession, settings: Settings, wish: SignIn, *, client: Client
) -> tuple[str, Row]:
    """A new session's token and the user's row. Raises AuthError, with the same work whether the user exists or not."""
    if not is_email(wish.email):
        raise errors.invalid_email()
    _check_not_too_long(wish.password)
    async with database.connection() as connection:
        found = await queries.user_with_password(connection, wish.email.lower())
    user, account = found or (None, None)
    right = await passwords.verify_password(account["password"] if account else None, wish.password)
    if not right or user is None or account is None:
        raise errors.invalid_email_or_password()
    remember = wish.rememberMe is not False
    token = await sessions.create_if_password_stands(session, settings, account, user["id"], client, remember=remember)
    if token is None:
        raise errors.invalid_email_or_password()
    return token, user


async def change_password(
    database: Database,
    session: AsyncSession,
    settings: Settings,
    current: Current,
    wish: ChangePassword,
    *,
    client: Client,
) -> str | None:
    """With `revokeOtherSessions` all sessions end, this one too, and a new one's token comes back. Raises AuthError."""
    check_new_password(wish.newPassword)
    account = await verified_account(database, current, wish.currentPassword)
    hashed = await passwords.hash_password(wish.newPassword)
    statement = update(Account).where(Account.id == account["id"], Account.password == account["password"])
    now = milliseconds(datetime.now(UTC))
    changed = await session.scalar(statement.values(password=hashed, updated_at=now).returning(Account.id))
    if changed is None:  # someone else changed it meanwhile, so the current password is another one now
        raise errors.invalid_password()
    if not wish.revokeOtherSessions:
        return None
    await sessions.revoke_all(session, current.user_id)
    return await sessions.create(session, settings, current.user_id, client, remember=True)


async def update_user(session: AsyncSession, current: Current, wish: UpdateUser) -> None:
    """Set the fields that were sent. Raises AuthError."""
    if wish.email:
        raise errors.email_can_not_be_updated()
    values: dict[str, Any] = wish.model_dump(include=wish.model_fields_set & {"name", "image"})
    if not values:
        raise errors.no_fields_to_update()
    now = milliseconds(datetime.now(UTC))
    await session.execute(update(User).where(User.id == current.user_id).values(updated_at=now, **values))


async def delete_user(database: Database, session: AsyncSession, current: Current, password: str) -> None:
    """Remove the user; everything of theirs goes with the row by cascade. Raises AuthError."""
    await verified_account(database, current, password)
    await session.execute(delete(User).where(User.id == current.user_id))


async def verified_account(database: Database, current: Current, password: str) -> Row:
    """The account that holds the user's password, which `password` is. Raises AuthError."""
    _check_not_too_long(password)
    async with database.connection() as connection:
        account = await queries.credential_account(connection, current.user_id)
    if account is None:
        raise errors.credential_account_not_found()
    if not await passwords.verify_password(account["password"], password):
        raise errors.invalid_password()
    return account


def check_new_password(password: str) -> None:
    """Raises AuthError unless it has 8 to 128 characters."""
    if passwords.length(password) < passwords.MIN_LENGTH:
        raise errors.password_too_short()
    _check_not_too_long(password)


def _check_not_too_long(password: str) -> None:
    if passwords.length(password) > passwords.MAX_LENGTH:
        raise errors.password_too_long()


async def _insert_user(session: AsyncSession, wish: SignUp, hashed: str) -> Mapping[str, Any]:
    now, user_id = milliseconds(datetime.now(UTC)), random_id()
    user = {"id": user_id, "name": wish.name, "email": wish.email, "emailVerified": False, "image": wish.image}
    user |= {"createdAt": now, "updatedAt": now}
    statement = insert(User.__table__).values(user).on_conflict_do_nothing(index_elements=["email"])  # type: ignore[arg-type]
    if await session.scalar(statement.returning(User.id)) is None:  # a sign-up at the same moment was first
        raise errors.user_already_exists()
    credential = {"account_id": user_id, "provider_id": "credential", "user_id": user_id, "password": hashed}
    await session.execute(insert(Account).values(id=random_id(), created_at=now, updated_at=now, **credential))
    return user

"""Users and their passwords: sign-up, sign-in, change, deletion.

Hashing a password takes tens of milliseconds, so every function reads on a connection of its own and gives it back,
hashes, and only then begins the caller's transaction, which has taken no connection until that moment.
"""

from datetime import UTC, datetime

from tandem.accounts import errors, passwords, queries, sessions
from tandem.accounts.credentials import milliseconds
from tandem.accounts.queries import Row
from tandem.accounts.schemas import ChangePassword, SignIn, SignUp, UpdateUser, is_email
from tandem.accounts.secrets import random_id
from tandem.accounts.sessions import Client, Current
from tandem.core.db import Begin, Connection, Database
from tandem.core.settings import Settings

_INSERT_USER = """
    INSERT INTO "user" (id, name, email, "emailVerified", image, "createdAt", "updatedAt")
    VALUES ($1, $2, $3, false, $4, $5, $5) ON CONFLICT (email) DO NOTHING
    RETURNING "createdAt", "updatedAt", "emailVerified", id, name, email, image"""
_INSERT_ACCOUNT = """
    INSERT INTO "account" (id, "accountId", "providerId", "userId", password, "createdAt", "updatedAt")
    VALUES ($1, $2, 'credential', $2, $3, $4, $4)"""
_UPDATE_ACCOUNT = """
    UPDATE "account" SET password = $3, "updatedAt" = $4 WHERE id = $1 AND password = $2 RETURNING id"""
_UPDATE_USER = """
    UPDATE "user" SET name = coalesce($2, name), image = CASE WHEN $3::boolean THEN $4 ELSE image END, "updatedAt" = $5
    WHERE id = $1"""
_DELETE_USER = 'DELETE FROM "user" WHERE id = $1'


async def sign_up(
    database: Database, begin: Begin, settings: Settings, wish: SignUp, *, client: Client
) -> tuple[str, Row]:
    """A new user and their first session: its token and the user's row. Raises AuthError."""
    check_new_password(wish.password)
    async with database.connection() as connection:
        taken = await queries.email_is_taken(connection, wish.email)
    if taken:
        raise errors.user_already_exists()
    hashed = await passwords.hash_password(wish.password)
    connection = await begin()
    user = await _insert_user(connection, wish, hashed)
    token = await sessions.create(connection, settings, user["id"], client, remember=wish.rememberMe is not False)
    return token, user


async def sign_in(
    database: Database, begin: Begin, settings: Settings, wish: SignIn, *, client: Client
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
    token = await sessions.create_if_password_stands(
        await begin(), settings, account, user["id"], client, remember=wish.rememberMe is not False
    )
    if token is None:
        raise errors.invalid_email_or_password()
    return token, user


async def change_password(
    database: Database,
    begin: Begin,
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
    connection, now = await begin(), milliseconds(datetime.now(UTC))
    if await connection.fetchval(_UPDATE_ACCOUNT, account["id"], account["password"], hashed, now) is None:
        # Someone else changed it meanwhile, so the current password is another one now.
        raise errors.invalid_password()
    if not wish.revokeOtherSessions:
        return None
    await sessions.revoke_all(connection, current.user_id)
    return await sessions.create(connection, settings, current.user_id, client, remember=True)


async def update_user(begin: Begin, current: Current, wish: UpdateUser) -> None:
    """Set the fields that were sent. Raises AuthError."""
    if wish.email:
        raise errors.email_can_not_be_updated()
    if not wish.model_fields_set & {"name", "image"}:
        raise errors.no_fields_to_update()
    connection, now = await begin(), milliseconds(datetime.now(UTC))
    new_image = "image" in wish.model_fields_set
    await connection.execute(_UPDATE_USER, current.user_id, wish.name, new_image, wish.image, now)


async def delete_user(database: Database, begin: Begin, current: Current, password: str) -> None:
    """Remove the user; everything of theirs goes with the row by cascade. Raises AuthError."""
    await verified_account(database, current, password)
    connection = await begin()
    await connection.execute(_DELETE_USER, current.user_id)


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


async def _insert_user(connection: Connection, wish: SignUp, hashed: str) -> Row:
    user_id, now = random_id(), milliseconds(datetime.now(UTC))
    user = await connection.fetchrow(_INSERT_USER, user_id, wish.name, wish.email, wish.image, now)
    if user is None:  # a sign-up at the same moment was first
        raise errors.user_already_exists()
    await connection.execute(_INSERT_ACCOUNT, random_id(), user_id, hashed, now)
    return dict(user)

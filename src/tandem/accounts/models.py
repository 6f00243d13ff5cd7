"""The tables of accounts.

"user", "session", "account" and "verification" are exactly those of a better-auth server (camelCase columns, text ids),
so that one can share the database; only their names for constraints are ours. `api_tokens` is ours.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tandem.core.base import Base

_NOW = text("CURRENT_TIMESTAMP")


def _time(name: str, *, optional: bool = False, default: bool = False) -> Mapped[datetime]:
    column: Mapped[datetime] = mapped_column(
        name, DateTime(timezone=True), nullable=optional, server_default=_NOW if default else None
    )
    return column


class User(Base):
    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("email"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)
    email_verified: Mapped[bool] = mapped_column("emailVerified")
    image: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = _time("createdAt", default=True)
    updated_at: Mapped[datetime] = _time("updatedAt", default=True)


class Session(Base):
    """`token` holds what `secrets.stored_session_token` makes of the token: its HMAC, or with plain tokens itself."""

    __tablename__ = "session"
    __table_args__ = (UniqueConstraint("token"), Index("session_userId_idx", "userId"))

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[datetime] = _time("expiresAt")
    token: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = _time("createdAt", default=True)
    updated_at: Mapped[datetime] = _time("updatedAt")
    ip_address: Mapped[str | None] = mapped_column("ipAddress", Text)
    user_agent: Mapped[str | None] = mapped_column("userAgent", Text)
    user_id: Mapped[str] = mapped_column("userId", Text, ForeignKey("user.id", ondelete="CASCADE"))


class Account(Base):
    """One way to sign in: `providerId='credential'` with a password here; a shared auth-server may add others."""

    __tablename__ = "account"
    __table_args__ = (Index("account_userId_idx", "userId"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column("accountId", Text)
    provider_id: Mapped[str] = mapped_column("providerId", Text)
    user_id: Mapped[str] = mapped_column("userId", Text, ForeignKey("user.id", ondelete="CASCADE"))
    access_token: Mapped[str | None] = mapped_column("accessToken", Text)
    refresh_token: Mapped[str | None] = mapped_column("refreshToken", Text)
    id_token: Mapped[str | None] = mapped_column("idToken", Text)
    access_token_expires_at: Mapped[datetime | None] = _time("accessTokenExpiresAt", optional=True)
    refresh_token_expires_at: Mapped[datetime | None] = _time("refreshTokenExpiresAt", optional=True)
    scope: Mapped[str | None] = mapped_column(Text)
    password: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = _time("createdAt", default=True)
    updated_at: Mapped[datetime] = _time("updatedAt")


class Verification(Base):
    """E-mail verifications and password resets of a shared auth-server; the built-in accounts only purge them."""

    __tablename__ = "verification"
    __table_args__ = (Index("verification_identifier_idx", "identifier"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    identifier: Mapped[str] = mapped_column(Text)
    value: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = _time("expiresAt")
    created_at: Mapped[datetime] = _time("createdAt", default=True)
    updated_at: Mapped[datetime] = _time("updatedAt", default=True)


class ApiToken(Base):
    """A personal API token. It is shown once; `token_hash` is its SHA-256, `prefix` and `last4` are for display."""

    __tablename__ = "api_tokens"
    __table_args__ = (UniqueConstraint("token_hash"), Index(None, "user_id"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(Text, ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    token_hash: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    last4: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = _time("created_at", default=True)
    expires_at: Mapped[datetime | None] = _time("expires_at", optional=True)
    last_used_at: Mapped[datetime | None] = _time("last_used_at", optional=True)

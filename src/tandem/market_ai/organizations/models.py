"""Organizations, their members, and invitations to them."""

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Text, UniqueConstraint, Uuid, func
from sqlalchemy.orm import Mapped, mapped_column

from tandem.accounts.models import User
from tandem.market_ai.base import Base

_USER_ID = User.__table__.c.id
_ROLES = "role IN ('viewer', 'member', 'manager', 'admin')"


class Organization(Base):
    """With Clerk `id` is Clerk's. A personal one goes with its user's account, and with it everything it owns."""

    __tablename__ = "organizations"
    __table_args__ = (UniqueConstraint("personal_of"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, nullable=False)
    personal_of: Mapped[str | None] = mapped_column(Text, ForeignKey(_USER_ID, ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())


class Membership(Base):
    __tablename__ = "memberships"
    __table_args__ = (CheckConstraint(_ROLES, name="role"), Index("ix_memberships_user_id", "user_id"))

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(Text, ForeignKey(_USER_ID, ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(Text, nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())


class Invitation(Base):
    """`code_hash` is all that is kept of the code; whoever has the code can join once, until `expires_at`."""

    __tablename__ = "invitations"
    __table_args__ = (CheckConstraint(_ROLES, name="role"), UniqueConstraint("code_hash"))

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    role: Mapped[str] = mapped_column(Text, nullable=False)
    email: Mapped[str | None] = mapped_column(Text)
    code_hash: Mapped[str] = mapped_column(Text, nullable=False)
    invited_by: Mapped[str] = mapped_column(Text, nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False)
    accepted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    accepted_by: Mapped[str | None] = mapped_column(Text)

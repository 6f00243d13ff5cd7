"""What Momentum's tables have in common.

Primary keys are (user_id, id): a client-made id lives in its user's own space, so it can neither collide with another
user's row nor reveal that one exists, and every foreign key holds inside one user.
"""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, MetaData, Text, Uuid, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tandem.accounts.models import User
from tandem.core.base import NAMING

USER_ID = User.__table__.c.id


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Tracked:
    """A row of a user's data; the trigger `momentum_track` sets `version`, `updated_at` and writes the change log."""

    user_id: Mapped[str] = mapped_column(Text, ForeignKey(USER_ID, ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

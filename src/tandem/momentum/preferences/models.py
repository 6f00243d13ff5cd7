"""The table of user settings: no row means the defaults."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from tandem.momentum.base import USER_ID, Base


class UserSettings(Base):
    __tablename__ = "user_settings"

    user_id: Mapped[str] = mapped_column(Text, ForeignKey(USER_ID, ondelete="CASCADE"), primary_key=True)
    timezone: Mapped[str] = mapped_column(Text, nullable=False, server_default="UTC")
    week_start: Mapped[str] = mapped_column(Text, nullable=False, server_default="monday")
    version: Mapped[int] = mapped_column(BigInteger, nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

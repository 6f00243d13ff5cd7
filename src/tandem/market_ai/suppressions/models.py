"""The tables of addresses that must not be written to."""

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, LargeBinary, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base


class Suppression(Base):
    """`email_key` is an address as it is compared, or for a person who was erased its digest, `sha256:…`."""

    __tablename__ = "suppressions"

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    email_key: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, nullable=False, server_default=text("gen_random_uuid()"))
    reason: Mapped[str] = mapped_column(Text, nullable=False)
    source: Mapped[str] = mapped_column(Text, nullable=False)
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

    __table_args__ = (
        CheckConstraint("reason IN ('unsubscribed', 'bounced', 'complained', 'manual')", name="reason"),
        Index("uq_suppressions_id", "org_id", "id", unique=True),
        Index("ix_suppressions_created_at", "org_id", "created_at", "id"),
    )


class SuppressionKey(Base):
    """What the digests of one organization are keyed with; made when it first erases somebody."""

    __tablename__ = "suppression_keys"

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary, nullable=False)

"""The table of campaigns."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, DateTime, ForeignKeyConstraint, Index, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned


def _time() -> Mapped[datetime | None]:
    column: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    return column


class Campaign(Owned, Base):
    """`budget_micros` are millionths of a unit of `budget_currency`: what may be spent on media, not on AI."""

    __tablename__ = "campaigns"

    name: Mapped[str] = mapped_column(Text, nullable=False)
    type: Mapped[str] = mapped_column(Text, nullable=False)
    status: Mapped[str] = mapped_column(Text, nullable=False, server_default="draft")
    objective: Mapped[str] = mapped_column(Text, nullable=False, server_default="")
    audience: Mapped[str] = mapped_column(Text, nullable=False, server_default="")
    budget_micros: Mapped[int | None] = mapped_column(BigInteger)
    budget_currency: Mapped[str | None] = mapped_column(Text)
    starts_at: Mapped[datetime | None] = _time()
    ends_at: Mapped[datetime | None] = _time()
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text), nullable=False, server_default=text("'{}'::text[]"))
    brand_id: Mapped[str | None] = mapped_column(Uuid)
    activated_at: Mapped[datetime | None] = _time()
    paused_at: Mapped[datetime | None] = _time()
    resumed_at: Mapped[datetime | None] = _time()
    completed_at: Mapped[datetime | None] = _time()
    archived_at: Mapped[datetime | None] = _time()

    __table_args__ = (
        ForeignKeyConstraint(["org_id", "brand_id"], ["brands.org_id", "brands.id"], ondelete="SET NULL (brand_id)"),
        CheckConstraint("type IN ('email', 'social', 'search', 'display')", name="type"),
        CheckConstraint("status IN ('draft', 'active', 'paused', 'completed', 'archived')", name="status"),
        CheckConstraint("budget_micros >= 0", name="budget_is_not_negative"),
        CheckConstraint("(budget_micros IS NULL) = (budget_currency IS NULL)", name="budget_has_a_currency"),
        CheckConstraint("ends_at > starts_at", name="ends_after_it_starts"),
        Index("ix_campaigns_created_at", "org_id", "created_at", "id"),
        Index("ix_campaigns_id", "id"),  # for the inbox, whose messages name no organization
        Index("ix_campaigns_brand", "org_id", "brand_id", postgresql_where=text("brand_id IS NOT NULL")),
    )

"""The table of metrics."""

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, Date, DateTime, ForeignKeyConstraint, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base


def _count() -> Mapped[int]:
    column: Mapped[int] = mapped_column(BigInteger, nullable=False, server_default=text("0"))
    return column


class DailyMetrics(Base):
    """What one variant did in one channel on one day. `variant` is empty where there is none: a key has no null.

    Money is in millionths of a unit of the campaign's currency.
    """

    __tablename__ = "campaign_metrics"

    org_id: Mapped[str] = mapped_column(Text, primary_key=True)
    campaign_id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    date: Mapped[date] = mapped_column(Date, primary_key=True)
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    variant: Mapped[str] = mapped_column(Text, primary_key=True)
    impressions: Mapped[int] = _count()
    clicks: Mapped[int] = _count()
    conversions: Mapped[int] = _count()
    cost_micros: Mapped[int] = _count()
    revenue_micros: Mapped[int] = _count()
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["org_id", "campaign_id"], ["campaigns.org_id", "campaigns.id"], ondelete="CASCADE"),
        CheckConstraint(
            "least(impressions, clicks, conversions, cost_micros, revenue_micros) >= 0", name="not_negative"
        ),
    )

"""The table of reports."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKeyConstraint, Index, Text, Uuid, func
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base


class Report(Base):
    """What an analysis found. It never changes, and a job writes one.

    `rejected` has what was wrong with each text of the model that was not taken; `model` is who wrote the summary.
    """

    __tablename__ = "campaign_reports"

    org_id: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    campaign_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    job_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    model: Mapped[str] = mapped_column(Text, nullable=False)
    language: Mapped[str] = mapped_column(Text, nullable=False)
    summary: Mapped[str] = mapped_column(Text, nullable=False)
    recommendations: Mapped[list[Any]] = mapped_column(JSON, nullable=False)
    rejected: Mapped[list[Any]] = mapped_column(JSON, nullable=False)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["org_id", "campaign_id"], ["campaigns.org_id", "campaigns.id"], ondelete="CASCADE"),
        Index("uq_campaign_reports_job", "org_id", "job_id", unique=True),
        Index("ix_campaign_reports_campaign", "org_id", "campaign_id", "id"),
    )

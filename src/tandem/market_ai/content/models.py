"""The tables of content: assets, their versions that never change, and what reviewers decided about which version."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned


def _time() -> Mapped[datetime | None]:
    column: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    return column


class Asset(Owned, Base):
    """`version` is the row's own, the ETag; the other `…_version` are numbers of `content_versions`.

    `job_id` and `variant` are of what a job generated: the same variant of a job is never kept twice.
    """

    __tablename__ = "content_assets"

    campaign_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    kind: Mapped[str] = mapped_column(Text, nullable=False)
    title: Mapped[str] = mapped_column(Text, nullable=False)
    status: Mapped[str] = mapped_column(Text, nullable=False, server_default="draft")
    current_version: Mapped[int] = mapped_column(Integer, nullable=False, server_default=text("1"))
    approved_version: Mapped[int | None] = mapped_column(Integer)
    approved_by: Mapped[str | None] = mapped_column(Text)
    approved_at: Mapped[datetime | None] = _time()
    published_version: Mapped[int | None] = mapped_column(Integer)
    published_by: Mapped[str | None] = mapped_column(Text)
    published_at: Mapped[datetime | None] = _time()
    rejection: Mapped[str | None] = mapped_column(Text)
    archived_at: Mapped[datetime | None] = _time()
    job_id: Mapped[str | None] = mapped_column(Uuid)
    variant: Mapped[int | None] = mapped_column(SmallInteger)

    __table_args__ = (
        ForeignKeyConstraint(["org_id", "campaign_id"], ["campaigns.org_id", "campaigns.id"], ondelete="CASCADE"),
        CheckConstraint("kind IN ('blog', 'email', 'social', 'ad_copy', 'landing_page', 'video_script')", name="kind"),
        CheckConstraint("status IN ('draft', 'in_review', 'approved', 'published', 'archived')", name="status"),
        CheckConstraint(
            "status NOT IN ('approved', 'published') OR approved_version IS NOT DISTINCT FROM current_version",
            name="approved_as_it_is",
        ),
        CheckConstraint(
            "status <> 'published' OR published_version IS NOT DISTINCT FROM current_version",
            name="published_as_it_is",
        ),
        CheckConstraint("(job_id IS NULL) = (variant IS NULL)", name="variant_of_a_job"),
        Index("ix_content_assets_campaign", "org_id", "campaign_id", "created_at", "id"),
        Index("ix_content_assets_created_at", "org_id", "created_at", "id"),
        Index(
            "uq_content_assets_variant",
            "org_id",
            "job_id",
            "variant",
            unique=True,
            postgresql_where=text("job_id IS NOT NULL"),
        ),
    )


class Version(Base):
    """Immutable (trigger `content_immutable`): it goes only with its asset. Its key is its number in the asset."""

    __tablename__ = "content_versions"

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    asset_id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    headline: Mapped[str] = mapped_column(Text, nullable=False)
    body: Mapped[str] = mapped_column(Text, nullable=False)
    call_to_action: Mapped[str] = mapped_column(Text, nullable=False)
    channel: Mapped[dict[str, Any]] = mapped_column(JSONB, nullable=False)
    citations: Mapped[list[Any]] = mapped_column(JSONB, nullable=False)
    model: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(Text, nullable=False)
    job_id: Mapped[str | None] = mapped_column(Uuid)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "asset_id"], ["content_assets.org_id", "content_assets.id"], ondelete="CASCADE"
        ),
    )


class Review(Base):
    """What somebody did with which version; immutable as versions are."""

    __tablename__ = "content_reviews"

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    asset_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    number: Mapped[int] = mapped_column(Integer, nullable=False)
    action: Mapped[str] = mapped_column(Text, nullable=False)
    reason: Mapped[str | None] = mapped_column(Text)
    by: Mapped[str] = mapped_column(Text, nullable=False)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "asset_id", "number"],
            ["content_versions.org_id", "content_versions.asset_id", "content_versions.number"],
            ondelete="CASCADE",
        ),
        CheckConstraint("action IN ('submit', 'approve', 'reject', 'publish', 'archive')", name="action"),
        Index("ix_content_reviews_asset", "org_id", "asset_id", "number"),
    )

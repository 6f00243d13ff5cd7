"""The tables of leads and of what they consented to."""

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, DateTime, ForeignKey, ForeignKeyConstraint, Index, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned

_ERASED = (
    "CASE WHEN erased_at IS NULL THEN email IS NOT NULL ELSE email IS NULL AND name IS NULL"
    " AND attributes = '{}' AND tags = '{}' AND timezone IS NULL AND locale IS NULL END"
)


class Lead(Owned, Base):
    """`email_key` is the address as it is compared; `consent` is the present state of the history in lead_consents.

    A trigger brings the suppression of a person who was erased back when the address returns (migration 0006).
    """

    __tablename__ = "leads"

    email: Mapped[str | None] = mapped_column(Text)
    email_key: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, nullable=False, server_default=text("'{}'::jsonb"))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), nullable=False, server_default=text("'{}'::text[]"))
    consent: Mapped[str] = mapped_column(Text, nullable=False, server_default="none")
    consent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    consent_source: Mapped[str | None] = mapped_column(Text)
    timezone: Mapped[str | None] = mapped_column(Text)
    locale: Mapped[str | None] = mapped_column(Text)
    erased_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        CheckConstraint("consent IN ('none', 'granted', 'withdrawn')", name="consent"),
        CheckConstraint("(consent = 'none') = (consent_at IS NULL)", name="consent_has_a_time"),
        CheckConstraint("(email IS NULL) = (email_key IS NULL)", name="has_an_address"),
        CheckConstraint("jsonb_typeof(attributes) = 'object'", name="attributes_are_an_object"),
        CheckConstraint(_ERASED, name="erased_is_empty"),
        Index("uq_leads_email_key", "org_id", "email_key", unique=True),
        Index("ix_leads_created_at", "org_id", "created_at", "id"),
        Index("ix_leads_tags", "tags", postgresql_using="gin"),
    )


class LeadConsent(Base):
    """One decision of a person: `at` is when they took it. A trigger refuses any change but the erasure of `proof`."""

    __tablename__ = "lead_consents"

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True, server_default=text("gen_random_uuid()"))
    lead_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    status: Mapped[str] = mapped_column(Text, nullable=False)
    source: Mapped[str] = mapped_column(Text, nullable=False)
    proof: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False)
    actor: Mapped[str] = mapped_column(Text, nullable=False)
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["org_id", "lead_id"], ["leads.org_id", "leads.id"], ondelete="CASCADE"),
        CheckConstraint("status IN ('granted', 'withdrawn')", name="status"),
        Index("ix_lead_consents_lead", "org_id", "lead_id", "recorded_at", "id"),
    )

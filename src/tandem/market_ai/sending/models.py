"""The tables of sending: what was ordered, one row for each mail of it, and what became known of those."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned

_STATES = "state IN ('planned', 'claimed', 'handed_off', 'accepted', 'failed', 'unknown', 'skipped', 'cancelled')"
_KINDS = "kind IN ('delivered', 'deferred', 'bounced', 'complained', 'opened', 'clicked', 'unsubscribed')"


def _time() -> Mapped[datetime | None]:
    column: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    return column


class Send(Owned, Base):
    """An order to send a version of some content to an audience. `copy` is the mail as it was then, layout included.

    `planned` is how many deliveries it was planned with; the view `send_totals` holds that against their states.
    """

    __tablename__ = "sends"

    campaign_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    content_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    content_version: Mapped[int] = mapped_column(Integer, nullable=False)
    template_id: Mapped[str | None] = mapped_column(Uuid)
    segment_id: Mapped[str | None] = mapped_column(Uuid)
    filter: Mapped[str | None] = mapped_column(Text)
    copy: Mapped[dict[str, Any]] = mapped_column(JSONB, nullable=False)
    from_name: Mapped[str | None] = mapped_column(Text)
    reply_to: Mapped[str | None] = mapped_column(Text)
    track_opens: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("false"))
    track_clicks: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("false"))
    status: Mapped[str] = mapped_column(Text, nullable=False)
    starts_at: Mapped[datetime | None] = _time()
    timezone: Mapped[str | None] = mapped_column(Text)
    planned: Mapped[int] = mapped_column(Integer, nullable=False, server_default=text("0"))
    job_id: Mapped[str | None] = mapped_column(Uuid)
    created_by: Mapped[str] = mapped_column(Text, nullable=False)
    finished_at: Mapped[datetime | None] = _time()

    __table_args__ = (
        ForeignKeyConstraint(["org_id", "campaign_id"], ["campaigns.org_id", "campaigns.id"], ondelete="CASCADE"),
        CheckConstraint("status IN ('scheduled', 'sending', 'paused', 'completed', 'cancelled')", name="status"),
        CheckConstraint("(status IN ('completed', 'cancelled')) = (finished_at IS NOT NULL)", name="finished"),
        Index("ix_sends_campaign", "org_id", "campaign_id", "created_at", "id"),
        Index("ix_sends_created_at", "org_id", "created_at", "id"),
        Index("ix_sends_open", "id", postgresql_where=text("finished_at IS NULL")),
    )


class Delivery(Base):
    """One mail of a campaign to one lead, of which there is never a second one, nor one to the same address.

    A trigger refuses a change of state that docs/market-ai-mail.md does not have. When the lead is erased another one
    takes away what tells of the person.
    """

    __tablename__ = "deliveries"

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True, server_default=text("gen_random_uuid()"))
    send_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    campaign_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    lead_id: Mapped[str | None] = mapped_column(Uuid)
    email_key: Mapped[str | None] = mapped_column(Text)
    domain: Mapped[str] = mapped_column(Text, nullable=False)
    state: Mapped[str] = mapped_column(Text, nullable=False, server_default="planned")
    reason: Mapped[str | None] = mapped_column(Text)
    answer: Mapped[str | None] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(SmallInteger, nullable=False, server_default=text("0"))
    next_try_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())
    claimed_by: Mapped[str | None] = mapped_column(Uuid)
    claimed_attempt: Mapped[int | None] = mapped_column(Integer)
    handed_off_at: Mapped[datetime | None] = _time()
    settled_at: Mapped[datetime | None] = _time()
    resolved_by: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    delivered_at: Mapped[datetime | None] = _time()
    bounced_at: Mapped[datetime | None] = _time()
    complained_at: Mapped[datetime | None] = _time()
    opened_at: Mapped[datetime | None] = _time()
    clicked_at: Mapped[datetime | None] = _time()
    unsubscribed_at: Mapped[datetime | None] = _time()
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["org_id", "send_id"], ["sends.org_id", "sends.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["org_id", "lead_id"], ["leads.org_id", "leads.id"], ondelete="SET NULL (lead_id)"),
        UniqueConstraint("org_id", "campaign_id", "lead_id", name="uq_deliveries_lead"),
        UniqueConstraint("org_id", "campaign_id", "email_key", name="uq_deliveries_email_key"),
        CheckConstraint(_STATES, name="state"),
        CheckConstraint("(claimed_by IS NOT NULL) OR state NOT IN ('claimed', 'handed_off')", name="claimed"),
        Index(
            "ix_deliveries_due", "org_id", "send_id", "next_try_at", "id", postgresql_where=text("state = 'planned'")
        ),
        Index("ix_deliveries_state", "org_id", "send_id", "state"),
        Index("ix_deliveries_lead", "org_id", "lead_id"),
        Index("ix_deliveries_id", "id"),  # for links and bounces, which name no organization
        Index("ix_deliveries_in_hand", "claimed_by", postgresql_where=text("state IN ('claimed', 'handed_off')")),
    )


class DeliveryEvent(Base):
    """What was heard of a delivery; `external_id` is what its source calls it, so that it is heard once."""

    __tablename__ = "delivery_events"

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    kind: Mapped[str] = mapped_column(Text, nullable=False)
    source: Mapped[str] = mapped_column(Text, nullable=False)
    external_id: Mapped[str] = mapped_column(Text, nullable=False)
    bot: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("false"))
    detail: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(["org_id", "delivery_id"], ["deliveries.org_id", "deliveries.id"], ondelete="CASCADE"),
        CheckConstraint(_KINDS, name="kind"),
        UniqueConstraint("org_id", "delivery_id", "source", "external_id", name="uq_delivery_events_external_id"),
    )


class TrackedLink(Base):
    """Where a link in the mails of a send leads."""

    __tablename__ = "tracked_links"

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    send_id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    url: Mapped[str] = mapped_column(Text, nullable=False)

    __table_args__ = (ForeignKeyConstraint(["org_id", "send_id"], ["sends.org_id", "sends.id"], ondelete="CASCADE"),)


class MailPace(Base):
    """When the next mail may go out: to anybody under the key '', else to a domain. Shared by all workers."""

    __tablename__ = "mail_pace"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    next_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False)

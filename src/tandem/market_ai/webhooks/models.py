"""The tables of webhooks: who is told, what of, and what came of telling them."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
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
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned

_ZERO = text("0")


def _time() -> Mapped[datetime | None]:
    column: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    return column


def _now() -> Mapped[datetime]:
    column: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())
    return column


def _count() -> Mapped[int]:
    column: Mapped[int] = mapped_column(Integer, nullable=False, server_default=_ZERO)
    return column


def _organization() -> Mapped[str]:
    column: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    return column


class WebhookEndpoint(Owned, Base):
    """Secrets are kept as they are, for signing needs them.

    `version` counts changes of what is set, being disabled among them; how deliveries fare leaves it alone.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("disabled_reason IN ('by_hand', 'gone', 'failing')", name="disabled_reason"),
        CheckConstraint("enabled = (disabled_reason IS NULL)", name="disabled_has_a_reason"),
    )

    url: Mapped[str] = mapped_column(Text, nullable=False)
    description: Mapped[str] = mapped_column(Text, nullable=False, server_default="")
    events: Mapped[list[str]] = mapped_column(ARRAY(Text), nullable=False)
    enabled: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("true"))
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = _time()
    secret: Mapped[str] = mapped_column(Text, nullable=False)
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_secret_until: Mapped[datetime | None] = _time()
    consecutive_failures: Mapped[int] = _count()
    failing_since: Mapped[datetime | None] = _time()
    resting_until: Mapped[datetime | None] = _time()


class WebhookMessage(Base):
    """An event that somebody wanted. `body` is the very text that is sent and signed, hence no JSONB."""

    __tablename__ = "webhook_messages"
    __table_args__ = (Index("ix_webhook_messages_created_at", "created_at"),)

    org_id: Mapped[str] = _organization()
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    type: Mapped[str] = mapped_column(Text, nullable=False)
    body: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False)
    created_at: Mapped[datetime] = _now()


class WebhookDelivery(Base):
    """A message on its way to an endpoint. `attempts` are all there were, `failures` those since it was last asked for.

    The number of attempts is also the fence: who makes attempt n finds n - 1 there, or is too late.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "endpoint_id"], ["webhook_endpoints.org_id", "webhook_endpoints.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["org_id", "message_id"], ["webhook_messages.org_id", "webhook_messages.id"], ondelete="CASCADE"
        ),
        CheckConstraint("status IN ('pending', 'succeeded', 'failed')", name="status"),
        CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="pending_has_a_time"),
        Index("ix_webhook_deliveries_endpoint", "org_id", "endpoint_id", "id"),
        Index("ix_webhook_deliveries_message", "org_id", "message_id"),
    )

    org_id: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    message_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    endpoint_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    status: Mapped[str] = mapped_column(Text, nullable=False, server_default="pending")
    attempts: Mapped[int] = _count()
    failures: Mapped[int] = _count()
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = _now()
    next_attempt_at: Mapped[datetime | None] = _time()
    finished_at: Mapped[datetime | None] = _time()


class WebhookAttempt(Base):
    """`status` is that of the response where there was one; `error` is NULL for an attempt that succeeded."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "delivery_id"], ["webhook_deliveries.org_id", "webhook_deliveries.id"], ondelete="CASCADE"
        ),
    )

    org_id: Mapped[str] = mapped_column(Text, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False)
    duration_ms: Mapped[int] = mapped_column(Integer, nullable=False)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None] = mapped_column(Text)
    excerpt: Mapped[str] = mapped_column(Text, nullable=False)

"""The tables of the AI budget. Money is integer micro-dollars.

The ledger, and what it can be checked against, outlives jobs, campaigns and organizations: no foreign keys there.
"""

from datetime import date, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base

_ZERO = text("0")
_IS_SCOPE = "scope IN ('organization', 'month', 'day', 'campaign', 'request')"


def _money() -> Mapped[int]:
    column: Mapped[int] = mapped_column(BigInteger, nullable=False, server_default=_ZERO)
    return column


def _now() -> Mapped[datetime]:
    column: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())
    return column


class BudgetLimit(Base):
    """No row is no cap, zero is zero. `key` is the campaign's id, and empty for the other scopes."""

    __tablename__ = "budget_limits"
    __table_args__ = (
        CheckConstraint(_IS_SCOPE, name="scope"),
        CheckConstraint("(key = '') = (scope <> 'campaign')", name="key_names_a_campaign"),
        CheckConstraint("cap_micros >= 0", name="cap_is_not_negative"),
        ForeignKeyConstraint(["org_id", "campaign_id"], ["campaigns.org_id", "campaigns.id"], ondelete="CASCADE"),
    )

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True, server_default="")
    cap_micros: Mapped[int] = mapped_column(BigInteger, nullable=False)
    updated_at: Mapped[datetime] = _now()
    campaign_id: Mapped[str | None] = mapped_column(  # so that a limit goes with its campaign
        Uuid, Computed("CASE WHEN scope = 'campaign'::text THEN key::uuid ELSE NULL::uuid END", persisted=True)
    )


class BudgetAccount(Base):
    """What counts against a cap: the sum of the three. `key` is '', 2026-11, 2026-11-24, a campaign's or a job's id."""

    __tablename__ = "budget_accounts"
    __table_args__ = (
        CheckConstraint(_IS_SCOPE, name="scope"),
        CheckConstraint("least(spent_micros, reserved_micros, unknown_micros) >= 0", name="not_negative"),
    )

    org_id: Mapped[str] = mapped_column(Text, primary_key=True)
    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    spent_micros: Mapped[int] = _money()
    reserved_micros: Mapped[int] = _money()
    unknown_micros: Mapped[int] = _money()


class BudgetCall(Base):
    """One attempted call of a model: its reservation, and what is known of its outcome.

    `usage` and `result` are `json`, kept as text: `jsonb` refuses what a model may well write (\\u0000), and that must
    not stand in the way of a settlement.
    """

    __tablename__ = "budget_calls"
    __table_args__ = (
        CheckConstraint("state IN ('held', 'settled', 'released', 'outcome_unknown')", name="state"),
        CheckConstraint("(state = 'settled') = (settled_micros IS NOT NULL)", name="settled_has_an_amount"),
        CheckConstraint("reserved_micros >= 0 AND settled_micros >= 0", name="not_negative"),
        Index(
            "uq_budget_calls_result",
            "org_id",
            "job_id",
            "step",
            "prompt_hash",
            unique=True,
            postgresql_where=text("state = 'settled' AND result IS NOT NULL"),
        ),
        Index("ix_budget_calls_job", "org_id", "job_id", "id"),
        Index("ix_budget_calls_held", "org_id", "expires_at", postgresql_where=text("state = 'held'")),
        Index("ix_budget_calls_unknown", "org_id", "id", postgresql_where=text("state = 'outcome_unknown'")),
        Index("ix_budget_calls_results", "job_id", postgresql_where=text("result IS NOT NULL")),
    )

    org_id: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    job_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    step: Mapped[str] = mapped_column(Text, nullable=False)
    prompt_hash: Mapped[str] = mapped_column(Text, nullable=False)
    attempt: Mapped[int] = mapped_column(Integer, nullable=False)
    campaign_id: Mapped[str | None] = mapped_column(Uuid)
    day: Mapped[date] = mapped_column(Date, nullable=False)
    model: Mapped[str] = mapped_column(Text, nullable=False)
    state: Mapped[str] = mapped_column(Text, nullable=False, server_default="held")
    reserved_micros: Mapped[int] = mapped_column(BigInteger, nullable=False)
    settled_micros: Mapped[int | None] = mapped_column(BigInteger)
    overrun: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("false"))
    usage: Mapped[str | None] = mapped_column(JSON)
    result: Mapped[str | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    resolved_by: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False)
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class BudgetEntry(Base):
    """One movement of money between four accounts, hence four amounts that sum to zero. Written once, by a trigger
    chained to the entry before it."""

    __tablename__ = "budget_ledger"
    __table_args__ = (
        CheckConstraint("kind IN ('reserve', 'settle', 'release', 'unknown', 'resolve')", name="kind"),
        CheckConstraint("budget_micros + reserved_micros + unknown_micros + spent_micros = 0", name="sums_to_zero"),
    )

    org_id: Mapped[str] = mapped_column(Text, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False)
    kind: Mapped[str] = mapped_column(Text, nullable=False)
    call_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    job_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    campaign_id: Mapped[str | None] = mapped_column(Uuid)
    day: Mapped[date] = mapped_column(Date, nullable=False)
    budget_micros: Mapped[int] = mapped_column(BigInteger, nullable=False)
    reserved_micros: Mapped[int] = mapped_column(BigInteger, nullable=False)
    unknown_micros: Mapped[int] = mapped_column(BigInteger, nullable=False)
    spent_micros: Mapped[int] = mapped_column(BigInteger, nullable=False)
    prev_hash: Mapped[bytes] = mapped_column(LargeBinary, nullable=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary, nullable=False)


class BudgetChain(Base):
    """The end of an organization's ledger. Its row is the lock that every movement of that organization takes first."""

    __tablename__ = "budget_chains"

    org_id: Mapped[str] = mapped_column(Text, primary_key=True)
    entries: Mapped[int] = mapped_column(BigInteger, nullable=False, server_default=_ZERO)
    head: Mapped[bytes] = mapped_column(
        LargeBinary, nullable=False, server_default=text("decode(repeat('00', 32), 'hex')")
    )


class BudgetWarning(Base):
    """A threshold that was reached: once per cap, so that a cap that was raised warns anew."""

    __tablename__ = "budget_warnings"
    __table_args__ = (Index("ix_budget_warnings_created_at", "org_id", "created_at"),)

    org_id: Mapped[str] = mapped_column(Text, primary_key=True)
    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    cap_micros: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    threshold: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    used_micros: Mapped[int] = mapped_column(BigInteger, nullable=False)
    created_at: Mapped[datetime] = _now()

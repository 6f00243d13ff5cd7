"""The table of tasks."""

from datetime import date, datetime, time

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Computed,
    Date,
    DateTime,
    Enum,
    ForeignKeyConstraint,
    Index,
    Text,
    Time,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from tandem.momentum.base import Base, Tracked
from tandem.momentum.tasks.sql import DUE_DATE, DUE_TIME, SEARCH

PRIORITIES = ("low", "medium", "high", "urgent")
LIVE = text("deleted_at IS NULL")


class Task(Tracked, Base):
    """`labels` are ids of the user's labels; `position` orders bytewise; `due_at` follows from the three before."""

    __tablename__ = "tasks"

    title: Mapped[str] = mapped_column(Text, nullable=False)
    description: Mapped[str] = mapped_column(Text, nullable=False, server_default="")
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    priority: Mapped[str] = mapped_column(
        Enum(*PRIORITIES, name="task_priority"), nullable=False, server_default="medium"
    )
    project_id: Mapped[str | None] = mapped_column(Uuid)
    parent_id: Mapped[str | None] = mapped_column(Uuid)
    labels: Mapped[list[str]] = mapped_column(ARRAY(Uuid), nullable=False, server_default="{}")
    position: Mapped[str] = mapped_column(Text(collation="C"), nullable=False)
    due_date: Mapped[date | None] = mapped_column(Date)
    due_time: Mapped[time | None] = mapped_column(Time)
    timezone: Mapped[str | None] = mapped_column(Text)
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    search: Mapped[str] = mapped_column(TSVECTOR, Computed(SEARCH, persisted=True), nullable=False)

    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "project_id"], ["projects.user_id", "projects.id"], ondelete="SET NULL (project_id)"
        ),
        ForeignKeyConstraint(
            ["user_id", "parent_id"],
            ["tasks.user_id", "tasks.id"],
            ondelete="CASCADE",
            deferrable=True,
            initially="IMMEDIATE",
        ),
        CheckConstraint(
            "due_time IS NULL OR (due_date IS NOT NULL AND timezone IS NOT NULL)", name="due_time_has_a_day"
        ),
        CheckConstraint("(due_time IS NULL) = (due_at IS NULL)", name="due_at_follows_due_time"),
        Index("ix_tasks_version", "user_id", "version"),
        Index("ix_tasks_position", "user_id", "position", "id", postgresql_where=LIVE),
        Index("ix_tasks_created_at", "user_id", "created_at", "id", postgresql_where=LIVE),
        Index(
            "ix_tasks_open",
            "user_id",
            "position",
            "id",
            postgresql_where=text("deleted_at IS NULL AND completed_at IS NULL"),
        ),
        Index("ix_tasks_due", "user_id", text(DUE_DATE), text(DUE_TIME), "id", postgresql_where=LIVE),
        Index("ix_tasks_completed_at", "user_id", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
        Index("ix_tasks_project", "user_id", "project_id", "position", postgresql_where=text("project_id IS NOT NULL")),
        Index("ix_tasks_parent", "user_id", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        Index("ix_tasks_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        Index("ix_tasks_trash", "user_id", "deleted_at", "id", postgresql_where=text("deleted_at IS NOT NULL")),
        Index("ix_tasks_labels", "labels", postgresql_using="gin"),
        Index("ix_tasks_search", "search", postgresql_using="gin"),
    )

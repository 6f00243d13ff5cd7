"""The table of projects."""

from datetime import datetime

from sqlalchemy import DateTime, ForeignKeyConstraint, Index, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from tandem.momentum.base import Base, Tracked


class Project(Tracked, Base):
    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(Text, nullable=False)
    description: Mapped[str] = mapped_column(Text, nullable=False, server_default="")
    color: Mapped[str | None] = mapped_column(Text)
    parent_id: Mapped[str | None] = mapped_column(Uuid)
    position: Mapped[str] = mapped_column(Text(collation="C"), nullable=False)
    archived_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "parent_id"],
            ["projects.user_id", "projects.id"],
            ondelete="SET NULL (parent_id)",
            deferrable=True,
            initially="IMMEDIATE",
        ),
        Index("ix_projects_version", "user_id", "version"),
        Index("ix_projects_position", "user_id", "position", "id"),
    )

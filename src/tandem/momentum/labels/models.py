"""The table of labels. Which tasks carry one is in `tasks.labels`."""

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from tandem.momentum.base import Base, Tracked


class Label(Tracked, Base):
    __tablename__ = "labels"

    name: Mapped[str] = mapped_column(Text, nullable=False)
    color: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("uq_labels_name", "user_id", text("lower(name)"), unique=True),
        Index("ix_labels_version", "user_id", "version"),
    )

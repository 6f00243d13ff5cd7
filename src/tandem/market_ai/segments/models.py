"""The table of segments."""

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned


class Segment(Owned, Base):
    """`filter` is in the language of docs/leads.md; who is in a segment is asked anew each time."""

    __tablename__ = "segments"

    name: Mapped[str] = mapped_column(Text, nullable=False)
    filter: Mapped[str] = mapped_column(Text, nullable=False)

    __table_args__ = (Index("uq_segments_name", "org_id", text("lower(name)"), unique=True),)

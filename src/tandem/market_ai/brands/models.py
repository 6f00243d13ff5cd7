"""The table of brands."""

from sqlalchemy import ARRAY, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned

_NONE = text("'{}'::text[]")


class Brand(Owned, Base):
    __tablename__ = "brands"

    name: Mapped[str] = mapped_column(Text, nullable=False)
    tone: Mapped[str] = mapped_column(Text, nullable=False, server_default="")
    style: Mapped[str] = mapped_column(Text, nullable=False, server_default="")
    banned_words: Mapped[list[str]] = mapped_column(ARRAY(Text), nullable=False, server_default=_NONE)
    required_disclaimer: Mapped[str] = mapped_column(Text, nullable=False, server_default="")
    examples: Mapped[list[str]] = mapped_column(ARRAY(Text), nullable=False, server_default=_NONE)

    __table_args__ = (Index("uq_brands_name", "org_id", text("lower(name)"), unique=True),)

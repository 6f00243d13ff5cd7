"""What Market AI's tables have in common.

Primary keys are (org_id, id): every foreign key holds inside one organisation, and an id of another one leads nowhere.
"""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, MetaData, Text, Uuid, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tandem.core.base import NAMING


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Owned:
    """A row of an organisation. `version` begins at 1 and each UPDATE of the row raises it; it is the ETag."""

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, nullable=False, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())

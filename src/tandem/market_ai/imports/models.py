"""The tables of imports: the file while it is being read, how far it has been read, and what was wrong with it."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned


def _count() -> Mapped[int]:
    column: Mapped[int] = mapped_column(Integer, nullable=False, server_default=text("0"))
    return column


def _of_import() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["org_id", "import_id"], ["imports.org_id", "imports.id"], ondelete="CASCADE")


class Import(Owned, Base):
    """Its id is that of its job. `read_bytes` and `read_lines` are the checkpoint, moved with the rows they tell of."""

    __tablename__ = "imports"

    kind: Mapped[str] = mapped_column(Text, nullable=False)
    filename: Mapped[str | None] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger, nullable=False)
    sha256: Mapped[bytes] = mapped_column(LargeBinary, nullable=False)
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, nullable=False)
    header: Mapped[list[str]] = mapped_column(ARRAY(Text), nullable=False)
    created_by: Mapped[str] = mapped_column(Text, nullable=False)
    read_bytes: Mapped[int] = mapped_column(BigInteger, nullable=False)
    read_lines: Mapped[int] = mapped_column(Integer, nullable=False)
    rows: Mapped[int] = _count()
    created: Mapped[int] = _count()
    updated: Mapped[int] = _count()
    unchanged: Mapped[int] = _count()
    errors: Mapped[int] = _count()
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        CheckConstraint("kind IN ('leads', 'suppressions')", name="kind"),
        Index("ix_imports_kind", "org_id", "kind", "id"),
    )


class OfImport:
    """What belongs to an import and goes with it."""

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    import_id: Mapped[str] = mapped_column(Uuid, primary_key=True)


class ImportChunk(OfImport, Base):
    """A piece of the file; gone when the import has ended."""

    __tablename__ = "import_chunks"
    __table_args__ = (_of_import(),)

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary, nullable=False)


class ImportEmail(OfImport, Base):
    """An address that the file has had already, and in which line; gone when the import has ended."""

    __tablename__ = "import_emails"
    __table_args__ = (_of_import(),)

    email_key: Mapped[str] = mapped_column(Text, primary_key=True)
    line: Mapped[int] = mapped_column(Integer, nullable=False)


class RefusedRow(OfImport, Base):
    """A row that was refused, as it was in the file. By `email_key` it is found when a person is erased."""

    __tablename__ = "import_errors"
    __table_args__ = (_of_import(), Index("ix_import_errors_email", "org_id", "email_key"))

    line: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(Text, nullable=False)
    message: Mapped[str] = mapped_column(Text, nullable=False)
    email_key: Mapped[str | None] = mapped_column(Text)
    cells: Mapped[list[str]] = mapped_column(ARRAY(Text), nullable=False)

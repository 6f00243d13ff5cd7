"""The tables of documents and of the chunks they are cut into."""

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned
from tandem.market_ai.knowledge.blocks import FORMATS
from tandem.market_ai.knowledge.languages import LANGUAGES

# Every word is indexed together with its organization and language (migration 0004).
SEARCH = "knowledge_search(org_id, language, title, heading, text)"


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class KnowledgeDocument(Owned, Base):
    """`size` and `sha256` are those of the bytes that came, which are not kept; `chunks` counts its rows below."""

    __tablename__ = "knowledge_documents"

    title: Mapped[str] = mapped_column(Text, nullable=False)
    brand_id: Mapped[str | None] = mapped_column(Uuid)
    format: Mapped[str] = mapped_column(Text, nullable=False)
    language: Mapped[str] = mapped_column(Text, nullable=False)
    filename: Mapped[str | None] = mapped_column(Text)
    size: Mapped[int] = mapped_column(Integer, nullable=False)
    sha256: Mapped[bytes] = mapped_column(LargeBinary, nullable=False)
    characters: Mapped[int] = mapped_column(Integer, nullable=False)
    pages: Mapped[int | None] = mapped_column(Integer)
    chunks: Mapped[int] = mapped_column(Integer, nullable=False)

    __table_args__ = (
        ForeignKeyConstraint(["org_id", "brand_id"], ["brands.org_id", "brands.id"], ondelete="SET NULL (brand_id)"),
        CheckConstraint(_one_of("format", FORMATS), name="format"),
        CheckConstraint(_one_of("language", LANGUAGES), name="language"),
        Index("uq_knowledge_documents_sha256", "org_id", "sha256", unique=True),
        Index("ix_knowledge_documents_created_at", "org_id", "created_at", "id"),
        Index("ix_knowledge_documents_brand", "org_id", "brand_id", postgresql_where=text("brand_id IS NOT NULL")),
    )


class KnowledgeChunk(Base):
    """`heading` is the way to it, outermost first. Title and language are its document's, for the index."""

    __tablename__ = "knowledge_chunks"

    org_id: Mapped[str] = mapped_column(Text, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(Uuid, primary_key=True)
    document_id: Mapped[str] = mapped_column(Uuid, nullable=False)
    position: Mapped[int] = mapped_column(Integer, nullable=False)
    title: Mapped[str] = mapped_column(Text, nullable=False)
    language: Mapped[str] = mapped_column(Text, nullable=False)
    heading: Mapped[list[str]] = mapped_column(ARRAY(Text), nullable=False)
    page: Mapped[int | None] = mapped_column(Integer)
    text: Mapped[str] = mapped_column(Text, nullable=False)
    search: Mapped[str] = mapped_column(TSVECTOR, Computed(SEARCH, persisted=True), nullable=False)

    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "document_id"], ["knowledge_documents.org_id", "knowledge_documents.id"], ondelete="CASCADE"
        ),
        Index("uq_knowledge_chunks_position", "org_id", "document_id", "position", unique=True),
        Index("ix_knowledge_chunks_search", "search", postgresql_using="gin"),
    )

"""The table of layouts that mails are set in."""

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from tandem.market_ai.base import Base, Owned


class EmailTemplate(Owned, Base):
    """`html` is in the language of docs/market-ai-mail.md, and shows a link to unsubscribe."""

    __tablename__ = "email_templates"

    name: Mapped[str] = mapped_column(Text, nullable=False)
    html: Mapped[str] = mapped_column(Text, nullable=False)

    __table_args__ = (Index("uq_email_templates_name", "org_id", text("lower(name)"), unique=True),)

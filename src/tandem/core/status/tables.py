"""What the status page remembers: a row for each minute and component, whichever instances saw it."""

from sqlalchemy import BigInteger, Column, DateTime, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from tandem.core.base import Base

_ZERO = text("0")

status_samples = Table(
    "status_samples",
    Base.metadata,
    Column("minute", DateTime(timezone=True), primary_key=True),
    Column("component", Text, primary_key=True),
    Column("good", Integer, nullable=False, server_default=_ZERO),
    Column("bad", Integer, nullable=False, server_default=_ZERO),
    Column("latencies", ARRAY(BigInteger)),
)

"""The links in mails: what they are about is in them, signed, so that nobody can make or change one.

A token is the delivery's id, what the link does, and 128 bits of an HMAC over both, in URL-safe base64. Where a tracked
link leads is kept in the database and named by a number, so a token can redirect to nowhere else.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Purpose = Literal["u", "o", "c"]  # unsubscribe, open, click
PREVIEW = UUID(int=0)  # the delivery of a mail that is a preview or a test
_MAC = 16  # bytes
_LENGTH = 16 + 2 + _MAC


class InvalidToken(ValueError):
    """It was not signed here, or for something else."""


@dataclass(frozen=True)
class Links:
    """`base` is the service's public address, without a slash at its end."""

    base: str
    secret: bytes

    def unsubscribe(self, delivery: UUID) -> str:
        return f"{self.base}/u/{self.token('u', delivery)}"

    def opened(self, delivery: UUID) -> str:
        return f"{self.base}/o/{self.token('o', delivery)}"

    def clicked(self, delivery: UUID, number: int) -> str:
        return f"{self.base}/c/{self.token('c', delivery, number)}"

    def token(self, purpose: Purpose, delivery: UUID, number: int = 0) -> str:
        body = delivery.bytes + number.to_bytes(2, "big")
        return base64.urlsafe_b64encode(body + self._mac(purpose, body)).decode().rstrip("=")

    def read(self, purpose: Purpose, token: str) -> tuple[UUID, int]:
        """The delivery and the number; raises InvalidToken."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise InvalidToken from None
        body, mac = raw[:-_MAC], raw[-_MAC:]
        if len(raw) != _LENGTH or not hmac.compare_digest(mac, self._mac(purpose, body)):
            raise InvalidToken
        return UUID(bytes=body[:16]), int.from_bytes(body[16:], "big")

    def _mac(self, purpose: Purpose, body: bytes) -> bytes:
        return hmac.new(self.secret, purpose.encode() + body, hashlib.sha256).digest()[:_MAC]


def link_secret(secret: str) -> bytes:
    """A key of its own, so that nothing else which the same secret signs can pass for a link."""
    return hmac.new(secret.encode(), b"tandem links in mails", hashlib.sha256).digest()

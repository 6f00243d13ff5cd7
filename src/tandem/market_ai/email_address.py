"""E-mail addresses: as they are written to, and as they are compared."""

import re
import unicodedata
from typing import Annotated, NamedTuple

import idna
from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

MAX_EMAIL, MAX_LOCAL, MAX_DOMAIN = 254, 64, 253  # RFC 5321, 4.5.3.1
# A dot-atom (RFC 5322, 3.2.3) with the letters of RFC 6532. Quoted local parts are refused, as most of the world does.
_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")


class InvalidEmail(ValueError):
    """The text is no e-mail address that could be written to."""


class EmailAddress(NamedTuple):
    """`written` is what goes into an envelope; `key` is the same for all spellings of it."""

    written: str
    key: str


def parse_email(text: str) -> EmailAddress:
    """Trimmed, NFKC, the domain in lower case and ASCII (IDNA 2008); raises InvalidEmail.

    Providers' own rules, such as dots that do not count, are not ours to know.
    """
    local, at, domain = unicodedata.normalize("NFKC", text.strip()).rpartition("@")
    if not at or len(local.encode()) > MAX_LOCAL or not _LOCAL.fullmatch(local):
        raise InvalidEmail("is no e-mail address, as in ada@example.com")
    domain = _ascii(domain)
    if len(domain) > MAX_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise InvalidEmail("has no valid domain, as in ada@example.com")
    written = f"{local}@{domain}"
    if len(written.encode()) > MAX_EMAIL:
        raise InvalidEmail(f"has more than {MAX_EMAIL} bytes")
    return EmailAddress(written, unicodedata.normalize("NFKC", f"{local.lower()}@{domain}"))


def normalise_email(text: str) -> str:
    """The key under which leads and suppressions know an address; raises InvalidEmail."""
    return parse_email(text).key


def _ascii(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise InvalidEmail("has no valid domain, as in ada@example.com") from None


def _valid(text: str) -> str:
    try:
        return parse_email(text).written
    except InvalidEmail as error:
        raise PydanticCustomError("invalid_email", "{problem}", {"problem": str(error)}) from None


Email = Annotated[str, StringConstraints(strict=True, max_length=1000), AfterValidator(_valid)]
"""An address as it is written to; its `normalise_email` is the key."""

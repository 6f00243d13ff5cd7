"""A sender as people write it: `Ada's Bakery <news@example.com>`."""

import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.utils import parseaddr

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


@dataclass(frozen=True)
class Mailbox:
    """`name` may be empty. `address` is ASCII, so that every server takes it."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> "Mailbox":
        """Raises ValueError."""
        name, address = parseaddr(text.strip())
        if _CONTROL.search(text) or not _ADDRESS.fullmatch(address):
            raise ValueError("expected an address, as in Ada's Bakery <news@your-company.com>")
        return cls(name, address)

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2].lower()

    @property
    def header(self) -> Address:
        return Address(self.name, addr_spec=self.address)

    def named(self, name: str | None) -> "Mailbox":
        return self if name is None else Mailbox(name, self.address)

"""Who really called, when proxies stand between."""

import ipaddress
from functools import lru_cache

from starlette.types import Scope


class TrustedProxies:
    """Which peers may say whom they speak for: addresses and networks, comma-separated, or `*` for every peer.

    The client is the right-most address of X-Forwarded-For that is no trusted proxy itself: whatever stands to the left
    of it was written by that client. With `*` it is the right-most one, the address that the peer itself saw.

    uvicorn's own middleware, on by default under the plain `uvicorn` and gunicorn commands, runs before this one. An
    address it resolved is no trusted proxy and stays. But with `*` it believes the left-most, and it takes what is no
    address at all: both are decided again here.
    """

    def __init__(self, text: str) -> None:
        names = [part.strip() for part in text.split(",") if part.strip()]
        self.everyone = "*" in names
        self.networks = [network for name in names if (network := _network(name)) is not None]
        self.trusts = lru_cache(maxsize=4096)(self._trusts)

    def _trusts(self, host: str) -> bool:
        address = _address(host)
        if address is None:
            return False
        return self.everyone or any(address in network for network in self.networks)

    def resolve(self, scope: Scope, forwarded_for: list[bytes], forwarded_proto: bytes) -> None:
        peer: str | None = scope["client"][0] if scope.get("client") else None
        resolved_by_server = peer is not None and bool(forwarded_for) and _address(peer) is None
        if not (self.everyone or resolved_by_server or (peer is not None and self.trusts(peer))):
            return
        scheme = forwarded_proto.decode("latin-1").rsplit(",", 1)[-1].strip().lower()
        if scheme in {"http", "https"}:
            scope["scheme"] = scheme
        if (client := self.client(b",".join(forwarded_for).decode("latin-1"))) is not None:
            scope["client"] = (client, 0)

    def client(self, chain: str) -> str | None:
        """The right-most address of the chain that is not a trusted proxy's; malformed entries count for nothing."""
        addresses = [str(a) for entry in chain.split(",") if (a := _address(_without_port(entry.strip()))) is not None]
        if not addresses or self.everyone:
            return addresses[-1] if addresses else None
        return next((a for a in reversed(addresses) if not self.trusts(a)), addresses[0])


def _network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(entry: str) -> str:
    """`1.2.3.4:5` and `[::1]:5` without the port; anything else as it is."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry

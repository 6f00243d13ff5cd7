"""Where webhooks may go: to the public internet, and to networks that the operator allows for development.

An endpoint's address is its owner's to choose, so it could name what only our own network reaches (server-side request
forgery). A name is resolved once, every address it has is checked, and the connection goes to an address that was
checked: a name that leads elsewhere a moment later (DNS rebinding) changes nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

PORTS: Final = frozenset({443, 8443})

# From the IANA registries of special-purpose addresses, so that it does not depend on how new the interpreter's own
# table is; and 168.63.129.16, at which Azure's virtual machines find their platform.
_REFUSED_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
            "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            "168.63.129.16/32",
        ),
    )
)  # fmt: skip
# Of IPv6 only global unicast is public. Outside of it lie loopback, link-local, unique local and multicast addresses,
# and those with an IPv4 address in them (mapped, compatible, NAT64). Inside lie a few more of these: IETF's protocols
# with Teredo (2001::/23), 6to4 (2002::/16), and documentation.
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_REFUSED_V6: Final = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)


class NoPublicAddress(Exception):
    """Why is not said: whoever chose the address shall not learn what our network looks like."""


def is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _REFUSED_V4)
    return (
        address.is_global
        and address.scope_id is None
        and address in _PUBLIC_V6
        and not any(address in network for network in _REFUSED_V6)
    )


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def literal(host: str) -> Address | None:
    """The address that a URL's host is, or None for a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def may_be(scheme: str, port: int, address: Address | None, networks: Sequence[Network]) -> bool:
    """Whether such an address may be called; with None, whether one could be that a name leads to."""
    if networks and (address is None or is_allowed(address, networks)):
        return True
    return scheme == "https" and port in PORTS and (address is None or is_public(address))


async def resolve(scheme: str, host: str, port: int, networks: Sequence[Network]) -> list[Address]:
    """The addresses of a host. Raises NoPublicAddress when there is none, or one of them may not be called."""
    addresses = await _lookup(host, port)
    if not addresses or not all(may_be(scheme, port, address, networks) for address in addresses):
        raise NoPublicAddress
    return addresses


async def _lookup(host: str, port: int) -> list[Address]:
    if (address := literal(host)) is not None:
        return [address]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))
    except (OSError, ValueError):  # a ValueError for a name that no server can be asked for
        return []

"""Where webhooks may go, over all of the address space."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tandem.market_ai.webhooks import addresses
from tandem.market_ai.webhooks.addresses import NoPublicAddress, is_public, literal, may_be, resolve

REFUSED = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
    "240.0.0.0/4", "::/128", "::1/128", "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "2001::/32", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7",
    "fe80::/10", "fec0::/10", "ff00::/8",
)  # fmt: skip
METADATA = (
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254",
    "fd20:ce::254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1",
)  # fmt: skip
PUBLIC = ("1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "192.167.255.255", "2606:4700::1111", "2a00:1450::1")


def inside(network: IPv4Network | IPv6Network) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    first, last = int(network.network_address), int(network.broadcast_address)
    make = IPv4Address if network.version == 4 else IPv6Address
    return st.one_of(st.sampled_from([first, last]), st.integers(first, last)).map(make)


def embedded(address: IPv4Address) -> list[IPv6Address]:
    """The IPv6 addresses that lead to an IPv4 address, or that some router takes for it."""
    number = int(address)
    places = {
        "mapped": 0xFFFF << 32, "compatible": 0, "nat64": 0x64FF9B << 96, "local nat64": 0x64FF9B0001 << 80,
    }  # fmt: skip
    found = [IPv6Address(place | number) for place in places.values()]
    found.append(IPv6Address(0x2002 << 112 | number << 80 | 1))  # 6to4
    found.append(IPv6Address(0x20010000 << 96 | (~number & 0xFFFFFFFF)))  # Teredo
    return found


@given(st.sampled_from(REFUSED).map(ip_network).flatmap(inside))
def test_nothing_of_a_special_network_is_public(address):
    assert not is_public(address)


@given(st.ip_addresses(v=4))
@example(IPv4Address("8.8.8.8"))
@example(IPv4Address("127.0.0.1"))
def test_no_ipv6_address_around_an_ipv4_address_is_public(address):
    assert [one for one in embedded(address) if is_public(one)] == []


@given(st.ip_addresses())
def test_what_is_public_is_global_unicast(address):
    if is_public(address):
        assert address.is_global
        for special in ("private", "loopback", "link_local", "multicast", "reserved", "unspecified"):
            assert not getattr(address, f"is_{special}")
        assert not any(address in network for network in map(ip_network, REFUSED) if network.version == address.version)


@given(st.ip_addresses(v=4))
def test_a_global_ipv4_address_is_public_unless_it_is_named(address):
    named = any(address in network for network in addresses._REFUSED_V4)
    assert is_public(address) == (address.is_global and not named)


@pytest.mark.parametrize("text", PUBLIC)
def test_ordinary_servers_are_public(text):
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", [*METADATA, "fe80::1%eth0", "2606:4700::1111%eth0"])
def test_the_metadata_of_clouds_is_not(text):
    assert not is_public(ip_address(text))


@given(st.ip_addresses(), st.integers(1, 65535), st.sampled_from(["http", "https"]))
def test_without_allowed_networks_only_https_on_its_ports_reaches_public_addresses(address, port, scheme):
    expected = scheme == "https" and port in {443, 8443} and is_public(address)
    assert may_be(scheme, port, address, ()) == expected


@given(st.ip_addresses(), st.integers(1, 65535), st.sampled_from(["http", "https"]))
def test_an_allowed_network_opens_nothing_but_itself(address, port, scheme):
    network = ip_network("10.1.0.0/16")
    allowed = address.version == 4 and address in network
    assert may_be(scheme, port, address, (network,)) == (allowed or may_be(scheme, port, address, ()))


@given(st.ip_addresses())
def test_a_literal_is_read_as_urls_write_it(address):
    text = f"[{address}]" if address.version == 6 else str(address)
    assert literal(text) == address


def test_a_name_is_no_literal():
    assert [literal(name) for name in ("example.com", "localhost", "", "1.2.3", "[::1", "0x7f.1")] == [
        None, None, None, None, ipaddress.ip_address("::1"), None,
    ]  # fmt: skip


async def test_localhost_is_resolved_and_refused():
    with pytest.raises(NoPublicAddress):
        await resolve("https", "localhost", 443, ())
    assert IPv4Address("127.0.0.1") in await resolve(
        "http", "localhost", 8000, (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    )


@pytest.mark.parametrize("name", ["127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "127.0.0.1.", "a" * 300])
async def test_spellings_of_an_address_lead_nowhere(name, answering):
    """Those that the system's resolver would take for 127.0.0.1, or chokes on."""
    answering({})
    with pytest.raises(NoPublicAddress):
        await resolve("https", name, 443, ())


async def test_one_address_that_is_not_public_spoils_them_all(answering):
    answering({"mixed.example.com": [["1.1.1.1", "10.0.0.1"]], "good.example.com": [["1.1.1.1", "1.0.0.1"]]})
    assert [str(one) for one in await resolve("https", "good.example.com", 443, ())] == ["1.1.1.1", "1.0.0.1"]
    for host in ("mixed.example.com", "nobody.example.com"):
        with pytest.raises(NoPublicAddress):
            await resolve("https", host, 443, ())

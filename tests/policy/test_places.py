"""Named locations: who is inside."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.policy.model import IpLocation, IPv4Range, IPv6Range, NamedLocation
from tests.policy.world import PLACES


def a_net(bits: int, first: int, length: int) -> str:
    """The net of that length which an address falls in."""
    kind = ip_address(first) if bits == 32 else ip_address(first.to_bytes(16))
    return str(ip_network(f"{kind}/{length}", strict=False))


# Few leading bits, so that nets overlap and addresses hit them.
FOUR = st.integers(0, 2**10 - 1).map(lambda n: n << 22 | n)
SIX = st.integers(0, 2**10 - 1).map(lambda n: n << 118 | n)
NETS = st.lists(
    st.one_of(
        st.builds(lambda n, size: IPv4Range(cidr_address=a_net(32, n, size)), FOUR, st.integers(8, 32)),
        st.builds(lambda n, size: IPv6Range(cidr_address=a_net(128, n, size)), SIX, st.integers(8, 128)),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(NETS, st.one_of(FOUR.map(ip_address), SIX.map(lambda n: ip_address(n.to_bytes(16)))))
def test_an_address_is_inside_when_it_is_in_one_of_the_nets(
    nets: list[IPv4Range | IPv6Range], address: object
) -> None:
    place = IpLocation(display_name="Somewhere", ip_ranges=tuple(nets))

    inside = any(address in ip_network(net.cidr_address) for net in nets)

    assert place.contains(address) == inside  # type: ignore[arg-type]


def test_a_net_within_a_net_hides_nothing_of_it() -> None:
    nets = ("10.0.0.0/9", "10.1.0.0/16", "10.64.0.0/16")
    place = IpLocation(display_name="Nested", ip_ranges=tuple(IPv4Range(cidr_address=net) for net in nets))

    assert place.contains(ip_address("10.2.0.0"))
    assert place.contains(ip_address("10.127.255.255"))
    assert not place.contains(ip_address("10.128.0.0"))


def test_the_ends_of_a_net_are_inside_and_their_neighbours_are_not() -> None:
    office = PLACES["office"]
    assert isinstance(office, IpLocation)

    addresses = ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0")

    assert [office.contains(ip_address(a)) for a in addresses] == [False, True, True, False]
    assert not office.contains(None)


def test_a_location_is_its_graph_document() -> None:
    document = {
        "@odata.type": "#microsoft.graph.ipNamedLocation",
        "id": "7a0f6b1e-22b4-4a0e-8d3c-0d8a6f5e9b02",
        "displayName": "Head office",
        "createdDateTime": None,
        "modifiedDateTime": None,
        "isTrusted": True,
        "ipRanges": [
            {"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "203.0.113.0/24"},
            {"@odata.type": "#microsoft.graph.iPv6CidrRange", "cidrAddress": "2001:db8:7::/48"},
        ],
    }

    location: NamedLocation = msgspec.convert(document, NamedLocation)

    assert json.loads(msgspec.json.encode(location)) == document

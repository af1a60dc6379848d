"""Which addresses are no part of the public internet: an address in, yes or no out. Pure.

The tables are those of the kept library `microsoft-antissrf`. Only its list is used: its check is private, tied to
`requests`, and walks forty networks for each address. IPv6 is narrowed further to 2000::/3, all that is given out to
anybody, which refuses every form with an IPv4 address inside that the library does not list.
"""

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from AntiSSRF import IPAddressRanges  # type: ignore[import-untyped]  # carries no types

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")
"""The last 32 bits are the IPv4 address where the packets go."""

OUTSIDE_2000 = ("::/3", "4000::/2", "8000::/1")

METADATA = (
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure WireServer: an ordinary public address
    "169.254.0.0/16",  # AWS, Google, Azure, Oracle and others
    "192.0.0.192/32",  # Oracle
    "fd00:42::42/128",  # Scaleway
    "fd00:ec2::/32",  # AWS
    "fd20:ce::254/128",  # Google
    "fe80::/10",
)
"""Where clouds hand out credentials; an operator who allows a wide range rarely means these."""


class AddressSet:
    """A fixed set of networks that answers in the time of one binary search per family."""

    def __init__(self, networks: Iterable[str | Network]) -> None:
        spans = sorted(
            (network.version, int(network.network_address), int(network.broadcast_address))
            for network in map(ip_network, networks)
        )
        self._starts: dict[int, list[int]] = {4: [], 6: []}
        self._ends: dict[int, list[int]] = {4: [], 6: []}
        for version, start, end in spans:
            ends = self._ends[version]
            if ends and start <= ends[-1] + 1:
                ends[-1] = max(ends[-1], end)
            else:
                self._starts[version].append(start)
                ends.append(end)

    def __contains__(self, address: Address) -> bool:
        value = int(address)
        at = bisect_right(self._starts[address.version], value)
        return at > 0 and value <= self._ends[address.version][at - 1]


SPECIAL_PURPOSE = AddressSet((*IPAddressRanges.recommended_latest, *OUTSIDE_2000, *METADATA))
GUARDED = AddressSet(METADATA)


def parse_address(text: str) -> Address | None:
    """Return the address that packets to `text` go to: an IPv4 address mapped into IPv6 is that IPv4 address.

    None where `text` is no address in its plain form, and for one with a zone: it is meant for a link of this machine.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return None if address.scope_id else address.ipv4_mapped or address

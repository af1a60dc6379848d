"""The addresses that a provider's notifications may come from.

An address list of the settings and a peer come in; `Refused` goes out where the peer is not on the list. Taking
trusted proxies off the peer is the work of `app`.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from esimhooks.server.domain.errors import Refused

Network = IPv4Network | IPv6Network


class Sources:
    """An address list; without one every peer is let through."""

    def __init__(self, networks: Sequence[Network] | None) -> None:
        self._networks = None if networks is None else tuple(networks)

    def check(self, peer: str) -> None:
        """Raise `Refused` (401) where `peer` is not on the list. IPv4 mapped into IPv6 counts as IPv4."""
        if self._networks is None:
            return
        try:
            address = ip_address(peer)
        except ValueError:
            raise Refused.unauthenticated("the sender's address is not known") from None
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if not any(address in network for network in self._networks):
            raise Refused.unauthenticated(f"the address {address} is not one of the provider's")


def read_sources(value: object, *, published: Sequence[str]) -> Sources:
    """Read `allowedSources`: absent, a list of addresses and networks, or `"published"` where any are.

    Raises `Refused` (422).
    """
    if value is None:
        return Sources(None)
    listed = published if value == "published" else value
    if not isinstance(listed, (list, tuple)) or not listed:
        expected = '"published" or a list of addresses' if published else "a list of addresses"
        raise Refused.invalid("/settings/allowedSources", f"expected {expected}")
    return Sources([_network(entry, index) for index, entry in enumerate(listed)])


def _network(entry: object, index: int) -> Network:
    try:
        if not isinstance(entry, str):
            raise ValueError("not text")  # noqa: TRY301, TRY004  # one way out for every kind of wrong entry
        return ip_network(entry)
    except ValueError:
        raise Refused.invalid(
            f"/settings/allowedSources/{index}", "expected an address or a network such as 10.0.0.0/8"
        ) from None

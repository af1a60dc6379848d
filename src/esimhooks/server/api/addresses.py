"""Addresses of callers, as the socket or a proxy names them. Pure: text comes in, one spelling of each address goes out."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address


def address_of(text: str) -> str:
    """Return the address in `203.0.113.9`, `203.0.113.9:50000`, `[2001:db8::1]:50000` or `::ffff:203.0.113.9`.

    What is no address comes back as it is.
    """
    parsed = _parsed(text)
    return text if parsed is None else str(parsed)


def network_of(address: str) -> str:
    """Return whose limits an address shares: in IPv6 a caller has a whole /64."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    return str(parsed) if isinstance(parsed, IPv4Address) else str(ipaddress.ip_network((parsed, 64), strict=False))


def is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Whether the address is in one of the networks (CIDR)."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        # Without its zone, as networks have none.
        parsed = IPv6Address(int(parsed)) if parsed.ipv4_mapped is None else parsed.ipv4_mapped
    return parsed

"""Addresses, up to half a million, at and around everything that is special, by the registries of the IANA.

Each special range gives its edges, their neighbours and random addresses inside; all of IPv4 and IPv6 gives random ones.
Every IPv4 address also comes in the forms in which IPv6 carries it.
"""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from random import Random

Network = IPv4Network | IPv6Network

# https://www.iana.org/assignments/iana-ipv4-special-registry, multicast, and what clouds use
SPECIAL_IPV4 = (
    *("0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/31"),
    *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16"),
    *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "233.252.0.0/24"),
    *("239.0.0.0/8", "240.0.0.0/4", "255.255.255.255/32"),
    *("100.100.100.200/32", "168.63.129.16/32", "169.254.169.254/32", "169.254.170.2/32", "192.0.0.192/32"),
)

# https://www.iana.org/assignments/iana-ipv6-special-registry, multicast, what was given back, and what clouds use
SPECIAL_IPV6 = (
    *("::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64"),
    *("100:0:0:1::/64", "2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48"),
    *("2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16"),
    *("2620:4f:8000::/48", "3fff::/20", "3ffe::/16", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    *("fd00:ec2::254/128", "fd20:ce::254/128", "fd00:42::42/128", "::/8", "200::/7", "400::/6", "4000::/3", "e000::/4"),
)

EDGE = 2
"""How far around an edge addresses are taken."""

INSIDE = 4_000
"""Random addresses out of each range."""

ANYWHERE = 60_000
"""Random addresses out of each family."""


def addresses(rng: Random, *, one_in: int) -> Iterator[IPv4Address | IPv6Address]:
    """Yield the corpus with one in so many of its random addresses and all edges; the same for the same `chance`."""
    for plain in _family(SPECIAL_IPV4, bits=32, rng=rng, one_in=one_in):
        ipv4 = IPv4Address(plain)
        yield ipv4
        yield from carried(ipv4, rng)
    yield from map(IPv6Address, _family(SPECIAL_IPV6, bits=128, rng=rng, one_in=one_in))


def carried(ipv4: IPv4Address, rng: Random) -> Iterator[IPv6Address]:
    """Yield the forms in which IPv6 carries an IPv4 address, in turn at random: two of them."""
    for form in rng.sample(FORMS, 2):
        yield IPv6Address(form(int(ipv4)))


def _rfc6052(ipv4: int, *, prefix: int) -> int:
    """Return the address behind a translator with a prefix of 48 bits (RFC 6052, 2.2): bits 64 to 71 are left out."""
    return prefix << 80 | (ipv4 >> 16) << 64 | (ipv4 & 0xFFFF) << 40


FORMS: tuple[Callable[[int], int], ...] = (
    lambda ipv4: 0xFFFF << 32 | ipv4,  # mapped
    lambda ipv4: ipv4,  # compatible
    lambda ipv4: 0xFFFF << 48 | ipv4,  # translated (SIIT)
    lambda ipv4: 0x64FF9B << 96 | ipv4,  # NAT64
    lambda ipv4: 0x64FF9B0001 << 80 | ipv4,  # NAT64 of the network's own, in the last bits
    lambda ipv4: _rfc6052(ipv4, prefix=0x64FF9B0001),  # the same, where the RFC puts them
    lambda ipv4: 0x2002 << 112 | ipv4 << 80 | 1,  # 6to4
    lambda ipv4: 0x20010000 << 96 | ipv4 << 64 | (ipv4 ^ 0xFFFFFFFF),  # Teredo: server, and client turned round
    lambda ipv4: 0xFE80 << 112 | 0x5EFE << 32 | ipv4,  # ISATAP, on a link
    lambda ipv4: 0xFC00 << 112 | 0x2005EFE << 32 | ipv4,  # ISATAP, in a private network
)


def _family(special: tuple[str, ...], *, bits: int, rng: Random, one_in: int) -> Iterator[int]:
    top = 2**bits - 1
    for network in map(ip_network, special):
        first, last = int(network[0]), int(network[-1])
        for edge in (first, last):
            yield from (edge + step for step in range(-EDGE, EDGE + 1) if 0 <= edge + step <= top)
        yield from (rng.randint(first, last) for _ in range(min(INSIDE // one_in, network.num_addresses)))
    yield from (rng.randint(0, top) for _ in range(ANYWHERE // one_in))
    if bits == 128:
        yield from (rng.randint(0x2000 << 112, (0x4000 << 112) - 1) for _ in range(ANYWHERE // one_in))

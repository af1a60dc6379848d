"""Two corpora: addresses, half a million where all are wanted, and thousands of hostile URLs with addresses inside spelled in every way.

No address passes that the oracles refuse, and nothing that is refused opens a connection, seen at the socket.
`make corpora` takes all, the ordinary run all edges and one in twelve of the random addresses, and one in four URLs.
"""

import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import product
from random import Random

import pytest
from AntiSSRF import AntiSSRFPolicy, PolicyConfigOptions  # type: ignore[import-untyped]  # carries no types
from ssrfguard import Policy

from delivery import opened_sockets
from delivery.address_corpus import addresses
from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.http.exchange import Exchange
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.domain.delivery import OutcomeClass
from receiver import Receiver

WHOLE = os.environ.get("CORPORA") == "whole"
GATE = Gate()
INSIDE = (
    *("0.0.0.0", "10.0.0.1", "10.255.255.254", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.254", "192.0.0.192"),
    *("192.0.2.1", "192.168.0.1", "192.168.255.254", "198.18.0.1", "203.0.113.7", "224.0.0.1", "255.255.255.255"),
)
PLACES = ("{}", "{}:443", "{}:8443", "me@{}", "example.com@{}", "me:secret@{}:443")
RESTS = ("", "/hook", "/?a=b")


def spellings(address: str) -> Iterator[str]:
    """Return an IPv4 address in the ways in which it is smuggled past text filters."""
    number = int(IPv4Address(address))
    a, b, c, d = IPv4Address(address).packed
    yield from (address, f"{address}.", str(number), hex(number), f"0{number:o}", f"{a}.{number & 0xFFFFFF}")
    yield from (f"{a}.{b}.{c << 8 | d}", f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}")
    yield from (f"{a:03d}.{b:03d}.{c:03d}.{d:03d}", f"{a}.{b}.{c}.{d + 256}", f"{a}%2e{b}%2e{c}%2e{d}")
    yield from (
        "".join(chr(0xFF10 + int(one)) if one.isdigit() else one for one in address),
        address.replace(".", "。"),
    )
    yield from (
        f"[::ffff:{address}]",
        f"[::{address}]",
        f"[64:ff9b::{address}]",
        f"[2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1]",
    )
    yield from (f"[::ffff:0:{address}]", f"[64:ff9b:1::{address}]", f"[fe80::{address}%25eth0]")


def hostile_urls() -> list[str]:
    hosts = [host for address in INSIDE for host in spellings(address)]
    return [f"https://{template.format(host)}{rest}" for host, template, rest in product(hosts, PLACES, RESTS)]


async def _reach(receiver: Receiver) -> None:
    sender = Sender(Gate([ip_network("127.0.0.0/8")]))
    assert (await sender.send(receiver.url(), headers={}, body=b"{}", timeout_s=4)).outcome is OutcomeClass.OK
    await sender.close()


@pytest.mark.slow(reason="posts to 1 890 URLs, or to 7 560")
@pytest.mark.timeout(60)
async def test_no_hostile_url_opens_a_connection(receiver: Receiver) -> None:
    urls = hostile_urls()
    if not WHOLE:
        urls = Random(1).sample(urls, len(urls) // 4)
    sender = Sender(GATE, lookup=lambda _: ("10.0.0.1",))
    opened_sockets.watch()

    outcomes = [await sender.send(url, headers={}, body=b"{}", timeout_s=4) for url in urls]
    opened = list(opened_sockets.connected)
    await sender.close()

    assert len(set(urls)) > (6000 if WHOLE else 1500)
    assert [url for url, one in zip(urls, outcomes, strict=True) if one.outcome is not OutcomeClass.BLOCKED] == []
    assert opened == []
    await _reach(receiver)
    assert opened_sockets.connected  # so it is seen where one is opened


@pytest.mark.slow(reason="tries tens of thousands of addresses, or half a million")
@pytest.mark.timeout(900 if WHOLE else 60)
async def test_of_all_kinds_of_addresses_none_gets_a_socket_that_an_oracle_refuses() -> None:
    oracles = (Policy(), AntiSSRFPolicy(PolicyConfigOptions.EXTERNAL_ONLY_LATEST))
    corpus = set(addresses(Random(1), one_in=1 if WHOLE else 12))
    sender = Sender(GATE)
    opened_sockets.watch()

    dialled = [str(address) for address in corpus if _opens(sender, address)]
    opened = len(opened_sockets.made)
    await sender.close()

    print(f"\n{len(corpus)} addresses, {len(dialled)} of them public")
    assert len(corpus) > (500_000 if WHOLE else 40_000)
    assert opened == len(dialled) > len(corpus) // 12
    assert [one for one in dialled if not oracles[0].permits_address(one)] == []
    assert [one for one in dialled if not oracles[1]._is_network_connection_allowed([one])] == []


def _opens(sender: Sender, address: IPv4Address | IPv6Address) -> bool:
    """Return whether the sender would make a socket to connect to this address."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        info = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), 443))
        sender.dialler.open_socket(info, Exchange(plain=False)).close()
    except PermissionError:
        return False
    return True

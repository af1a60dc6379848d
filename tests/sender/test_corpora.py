"""A corpus of thousands of hostile URLs: every spelling of addresses inside, in every place. None opens a connection."""

import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network
from itertools import product

import pytest

from esimhooks.server.model.delivery import OutcomeClass
from esimhooks.server.sender.gate import Gate
from esimhooks.server.sender.sender import Sender
from receiver import Receiver

GATE = Gate()
INSIDE = (
    *("0.0.0.0", "10.0.0.1", "10.255.255.254", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.254", "192.0.0.192"),
    *("192.0.2.1", "192.168.0.1", "192.168.255.254", "198.18.0.1", "203.0.113.7", "224.0.0.1", "255.255.255.255"),
)
PLACES = ("{}", "{}:443", "{}:8443", "me@{}", "example.com@{}", "me:secret@{}:443")
RESTS = ("", "/hook", "/?a=b")

connected: list[object] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        connected.append(arguments[1])


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
    return [f"https://{place.format(host)}{rest}" for host, place, rest in product(hosts, PLACES, RESTS)]


async def _reach(receiver: Receiver) -> None:
    sender = Sender(Gate([ip_network("127.0.0.0/8")]))
    assert (await sender.send(receiver.url(), headers={}, body=b"{}", timeout_s=4)).outcome is OutcomeClass.OK
    await sender.close()


@pytest.mark.slow(reason="posts to 7 560 URLs")
@pytest.mark.timeout(60)
async def test_no_hostile_url_opens_a_connection(receiver: Receiver) -> None:
    urls = hostile_urls()
    sender = Sender(GATE, lookup=lambda _: ("10.0.0.1",))
    sys.addaudithook(_watch)
    connected.clear()

    outcomes = [await sender.send(url, headers={}, body=b"{}", timeout_s=4) for url in urls]
    opened = list(connected)
    await sender.close()

    assert len(set(urls)) > 2000
    assert [url for url, one in zip(urls, outcomes, strict=True) if one.outcome is not OutcomeClass.BLOCKED] == []
    assert opened == []
    await _reach(receiver)
    assert connected  # so it is seen where one is opened

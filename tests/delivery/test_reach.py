"""What the sender refuses to reach: names, addresses and certificates."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
import trustme

from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.http.exchange import Exchange
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.delivery.http.resolver import PROBE, Lookup
from esimhooks.server.domain.delivery import Outcome, OutcomeClass
from esimhooks.server.domain.errors import Broken
from receiver import Receiver, status

NAME = "hooks.example.com"
CA = trustme.CA()


async def post(sender: Sender, url: str, *, timeout_s: float = 4.0) -> Outcome:
    return await sender.send(url, headers={}, body=b"{}", timeout_s=timeout_s)


def leads_to(*addresses: str) -> Lookup:
    return lambda host: addresses


def fails_with(code: int) -> Lookup:
    def lookup(host: str) -> Sequence[str]:
        raise socket.gaierror(code, "")

    return lookup


@asynccontextmanager
async def sending(
    gate: Gate, lookup: Lookup = leads_to("127.0.0.1"), *, trust: trustme.CA = CA, proxy: str | None = None
) -> AsyncIterator[Sender]:
    tls = ssl.create_default_context()
    trust.configure_trust(tls)
    sender = Sender(gate, tls=tls, lookup=lookup, proxy=proxy)
    try:
        yield sender
    finally:
        await sender.close()


@asynccontextmanager
async def receiving_tls(*, name: str = NAME, not_after: datetime | None = None) -> AsyncIterator[Receiver]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert(name, not_after=not_after).configure_cert(tls)
    async with Receiver(tls=tls) as receiver:
        yield receiver


async def test_a_name_with_a_good_certificate_is_reached_over_tls(gate: Gate) -> None:
    async with receiving_tls() as receiver, sending(gate) as sender:
        outcomes = [await post(sender, receiver.url(host=NAME)) for _ in range(2)]

    assert [got.outcome for got in outcomes] == [OutcomeClass.OK] * 2
    assert outcomes[1].dialled == f"127.0.0.1:{receiver.port}"
    assert receiver.connections == 1


@pytest.mark.parametrize(
    ("served", "trusted", "error"),
    [
        ({}, trustme.CA(), "unable to get local issuer"),
        ({"name": "other.example.com"}, CA, "not valid for 'hooks.example.com'"),
        ({"not_after": datetime(2020, 1, 1, tzinfo=UTC)}, CA, "certificate has expired"),
    ],
)
async def test_a_bad_certificate_is_a_tls_failure(
    gate: Gate, served: dict[str, str], trusted: trustme.CA, error: str
) -> None:
    async with receiving_tls(**served) as receiver, sending(gate, trust=trusted) as sender:  # type: ignore[arg-type]  # cases
        got = await post(sender, receiver.url(host=NAME))

    assert got.outcome is OutcomeClass.TLS
    assert error in str(got.error)
    assert not receiver.received


async def test_a_receiver_that_does_not_speak_tls_is_a_tls_failure(gate: Gate) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1")
    async with server, sending(gate) as sender:
        got = await post(sender, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook")

    assert (got.outcome, got.error) == (OutcomeClass.TLS, "the TLS connection failed: wrong version number")


@pytest.mark.parametrize("weaken", ["check_hostname", "verify_mode"])
async def test_verification_cannot_be_switched_off(gate: Gate, weaken: str) -> None:
    tls = ssl.create_default_context()
    tls.check_hostname = False
    if weaken == "verify_mode":
        tls.verify_mode = ssl.CERT_NONE

    with pytest.raises(Broken):
        Sender(gate, tls=tls)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_private_literal_is_refused_without_a_connection(receiver: Receiver, scheme: str) -> None:
    async with sending(Gate()) as sender:
        got = await post(sender, f"{scheme}://127.0.0.1:{receiver.port}/hook")

    assert (got.outcome, got.dialled, receiver.connections) == (OutcomeClass.BLOCKED, None, 0)


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["::ffff:127.0.0.1"], ["10.0.0.1%lo"]],
)
async def test_a_name_is_refused_if_one_of_its_addresses_is_private(receiver: Receiver, answers: list[str]) -> None:
    async with sending(Gate(), leads_to(*answers)) as sender:
        got = await post(sender, f"https://{NAME}/hook")

    assert (got.outcome, got.dialled) == (OutcomeClass.BLOCKED, None)
    assert "127.0.0.1" not in str(got.error)


async def test_a_name_that_changes_its_address_is_refused_at_the_next_connection() -> None:
    answers = iter([["127.0.0.2"], ["127.0.0.1"]])
    async with Receiver(host="127.0.0.2") as receiver:
        receiver.answer(headers={"connection": "close"})
        async with sending(Gate([ip_network("127.0.0.2/32")]), lambda host: next(answers)) as sender:
            outcomes = [(await post(sender, receiver.url(host=NAME))).outcome for _ in range(2)]

    assert outcomes == [OutcomeClass.OK, OutcomeClass.BLOCKED]


async def test_plain_http_to_a_name_outside_the_allowed_networks_is_refused(gate: Gate) -> None:
    async with sending(gate, leads_to("8.8.8.8")) as sender:
        outcomes = [await post(sender, url) for url in (f"http://{NAME}/hook", f"https://{NAME}:5000/hook")]

    assert [(got.outcome, got.dialled) for got in outcomes] == [(OutcomeClass.BLOCKED, None)] * 2


async def test_a_name_without_a_dot_is_reached_where_it_leads_into_an_allowed_network(
    gate: Gate, receiver: Receiver
) -> None:
    async with sending(gate) as sender:
        inside = await post(sender, receiver.url(host="receiver"))
    async with sending(gate, leads_to("8.8.8.8")) as sender:
        outside = await post(sender, "https://receiver/hook")

    assert inside.outcome is OutcomeClass.OK
    assert (outside.outcome, outside.dialled) == (OutcomeClass.BLOCKED, None)


async def test_the_last_gate_before_the_socket_stands_alone() -> None:
    async with sending(Gate()) as sender:
        inside = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 443))
        with pytest.raises(PermissionError):
            sender.dialler.open_socket(inside, Exchange(plain=False))


async def test_localhost_is_this_machine_whatever_a_name_server_says(gate: Gate, receiver: Receiver) -> None:
    async with sending(gate, leads_to("8.8.8.8")) as sender:
        got = await post(sender, receiver.url(host="localhost"))

    assert got.outcome is OutcomeClass.OK


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_NODATA])
async def test_a_name_that_does_not_exist_is_the_receivers_fault(gate: Gate, code: int) -> None:
    async with sending(gate, fails_with(code)) as sender:
        got = await post(sender, f"https://{NAME}/hook")

    assert (got.outcome, got.error) == (OutcomeClass.DNS, "the host name does not exist or has no address")


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_SYSTEM])
async def test_a_resolver_that_never_answered_is_our_fault(gate: Gate, code: int) -> None:
    async with sending(gate, fails_with(code)) as sender:
        assert (await post(sender, f"https://{NAME}/hook")).outcome is OutcomeClass.INTERNAL


async def test_dead_name_servers_of_one_name_are_the_receivers_fault(gate: Gate, receiver: Receiver) -> None:
    def lookup(host: str) -> Sequence[str]:
        return ["127.0.0.1"] if host == NAME else fails_with(socket.EAI_AGAIN)(host)

    async with sending(gate, lookup) as sender:
        await post(sender, receiver.url(host=NAME))
        got = await post(sender, "https://dead.example.com/hook")

    assert got.outcome is OutcomeClass.DNS


async def test_a_resolver_that_answers_a_probe_is_not_at_fault(gate: Gate) -> None:
    def lookup(host: str) -> Sequence[str]:
        return fails_with(socket.EAI_NONAME if host == PROBE else socket.EAI_AGAIN)(host)

    async with sending(gate, lookup) as sender:
        first = await post(sender, f"https://{NAME}/hook")
        while not sender.resolver.trusted:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0)
        second = await post(sender, f"https://{NAME}/hook")

    assert [first.outcome, second.outcome] == [OutcomeClass.INTERNAL, OutcomeClass.DNS]


@pytest.mark.parametrize(("answered_before", "outcome"), [(False, OutcomeClass.INTERNAL), (True, OutcomeClass.TIMEOUT)])
async def test_a_lookup_that_hangs_is_our_fault_only_if_all_do(
    gate: Gate, receiver: Receiver, *, answered_before: bool, outcome: OutcomeClass
) -> None:
    released = threading.Event()

    def lookup(host: str) -> Sequence[str]:
        if host == "slow.example.com":
            released.wait(4)
        elif host == PROBE:
            fails_with(socket.EAI_AGAIN)(host)
        return ["127.0.0.1"]

    try:
        async with sending(gate, lookup) as sender:
            if answered_before:
                await post(sender, receiver.url(host=NAME))
            got = await post(sender, "https://slow.example.com/hook", timeout_s=0.1)
    finally:
        released.set()

    assert got.outcome is outcome
    assert "within 0.1 s" in str(got.error)


async def test_lookups_of_one_name_that_overlap_are_made_once(gate: Gate, receiver: Receiver) -> None:
    lookups: list[str] = []
    waiting = threading.Event()

    def lookup(host: str) -> Sequence[str]:
        lookups.append(host)
        waiting.wait(4)
        return ["127.0.0.1"]

    async with sending(gate, lookup) as sender, asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(post(sender, receiver.url(host=NAME)))
        while not lookups:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0)
        waiting.set()

    assert (lookups, len(receiver.received)) == ([NAME], 10)


async def test_a_proxy_carries_everything_and_is_not_mentioned(gate: Gate, receiver: Receiver) -> None:
    target = "http://127.0.0.9:1234/hook"
    receiver.answer(target, script=[status(202)])
    async with sending(gate, proxy=receiver.url("")) as sender:
        got = await post(sender, target)

    assert (got.outcome, got.status_code, got.dialled) == (OutcomeClass.OK, 202, None)


@pytest.mark.parametrize(
    ("answered", "outcome"),
    [
        (403, OutcomeClass.BLOCKED),
        (407, OutcomeClass.INTERNAL),
        (400, OutcomeClass.INTERNAL),
        (429, OutcomeClass.INTERNAL),
        (500, OutcomeClass.INTERNAL),
        (502, OutcomeClass.CONNECT),
    ],
)
async def test_a_proxy_inside_the_network_is_used_and_its_no_is_understood(
    receiver: Receiver, answered: int, outcome: OutcomeClass
) -> None:
    receiver.answer(f"{NAME}:443", status=answered)
    async with sending(Gate(), proxy=receiver.url("", host="proxy.internal")) as sender:
        assert (await post(sender, f"https://{NAME}/hook")).outcome is outcome


async def test_a_proxy_that_is_down_is_our_fault(gate: Gate, receiver: Receiver) -> None:
    await receiver.stop()
    async with sending(gate, proxy=receiver.url("")) as sender:
        assert (await post(sender, f"https://{NAME}/hook")).outcome is OutcomeClass.INTERNAL


@pytest.mark.parametrize("url", [f"http://{NAME}/hook", f"https://{NAME}:5000", "http://localhost", "http://10.0.0.1"])
async def test_behind_a_proxy_a_name_cannot_claim_an_allowed_network(gate: Gate, receiver: Receiver, url: str) -> None:
    async with sending(gate, proxy=receiver.url("")) as sender:
        got = await post(sender, url)

    assert (got.outcome, receiver.connections) == (OutcomeClass.BLOCKED, 0)

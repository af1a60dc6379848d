"""Names whose owner plays with their addresses, where the resolver of the system is called.

CNAME chains end there: what is judged is every address at their end.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest

from api import eventually
from delivery import opened_sockets
from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.delivery.http.resolver import Lookup
from esimhooks.server.domain.delivery import Outcome, OutcomeClass
from receiver import Receiver

NAME = "hooks.example.com"
MANY = 5_000
LOOPBACK = Gate([ip_network("127.0.0.0/8"), ip_network("::1/128")])


@asynccontextmanager
async def sending(gate: Gate, lookup: Lookup) -> AsyncIterator[Sender]:
    sender = Sender(gate, lookup=lookup)
    opened_sockets.watch()
    try:
        yield sender
    finally:
        await sender.close()


async def post(sender: Sender, url: str, *, timeout_s: float = 4.0, owner: str | None = None) -> Outcome:
    return await sender.send(url, headers={}, body=b"{}", timeout_s=timeout_s, owner=owner)


@pytest.mark.parametrize(
    "answers",
    [
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["2606:4700::1111", "::1"],
        ["8.8.8.8", "fd00:ec2::254"],
        ["8.8.8.8", "64:ff9b::a00:1"],
        [*(f"8.8.{number // 250}.{number % 250 + 1}" for number in range(MANY)), "10.0.0.1"],
    ],
    ids=["last", "first", "ipv6", "metadata", "nat64", "behind thousands"],
)
async def test_one_address_inside_refuses_the_whole_name_before_any_connection(answers: Sequence[str]) -> None:
    async with sending(Gate(), lambda _: answers) as sender:
        got = await post(sender, f"https://{NAME}/hook")

    assert (got.outcome, got.dialled) == (OutcomeClass.BLOCKED, None)
    assert opened_sockets.made == []
    assert not any(address in str(got.error) for address in answers)


async def test_what_was_checked_is_what_is_dialled_however_the_name_answers_the_second_time(
    receiver: Receiver,
) -> None:
    answers = iter(["127.0.0.1"] + ["127.0.0.2"] * 10)
    async with sending(LOOPBACK, lambda _: [next(answers)]) as sender:
        got = await post(sender, receiver.url(host=NAME))

    assert (got.outcome, got.dialled) == (OutcomeClass.OK, f"127.0.0.1:{receiver.port}")
    assert opened_sockets.connected == [("127.0.0.1", receiver.port)]
    assert next(answers) == "127.0.0.2"  # it was looked up once


async def test_a_name_that_turns_inward_after_a_stale_connection_is_refused(receiver: Receiver) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    async with sending(Gate([ip_network("127.0.0.1/32")]), lambda _: next(answers)) as sender:
        first = await post(sender, receiver.url(host=NAME))
        await receiver.stop()
        second = await post(sender, receiver.url(host=NAME))

    assert (first.outcome, second.outcome) == (OutcomeClass.OK, OutcomeClass.BLOCKED)
    assert len(opened_sockets.connected) == 1


async def test_a_name_with_ipv6_addresses_only_is_reached() -> None:
    async with Receiver(host="::1") as receiver, sending(LOOPBACK, lambda _: ["::1"]) as sender:
        got = await post(sender, receiver.url(host=NAME))

    assert (got.outcome, got.dialled) == (OutcomeClass.OK, f"[::1]:{receiver.port}")


async def test_the_next_address_is_tried_where_nobody_listens_at_the_first(receiver: Receiver) -> None:
    async with sending(LOOPBACK, lambda _: ["127.0.0.9", "127.0.0.1"]) as sender:
        got = await post(sender, receiver.url(host=NAME))

    assert (got.outcome, got.dialled) == (OutcomeClass.OK, f"127.0.0.1:{receiver.port}")
    assert len(receiver.received) == 1


async def test_a_name_with_thousands_of_addresses_takes_no_longer_than_the_timeout(receiver: Receiver) -> None:
    await receiver.stop()
    answers = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(MANY)]
    async with sending(LOOPBACK, lambda _: answers) as sender:
        got = await post(sender, receiver.url(host=NAME), timeout_s=2.0)

    assert got.outcome in (OutcomeClass.TIMEOUT, OutcomeClass.CONNECT)
    assert got.error in ("no connection within 2 s", "connection refused")


def no_answer(_: str) -> Sequence[str]:
    return []


def not_an_address(_: str) -> Sequence[str]:
    return ["localhost"]


def with_a_zone(_: str) -> Sequence[str]:
    return ["fe80::1%lo"]


def no_such_name(_: str) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known 10.0.0.1")


def too_long(host: str) -> Sequence[str]:
    raise UnicodeError("label too long")


@pytest.mark.parametrize(
    ("lookup", "outcome"),
    [
        (no_answer, OutcomeClass.DNS),
        (not_an_address, OutcomeClass.BLOCKED),
        (with_a_zone, OutcomeClass.BLOCKED),
        (no_such_name, OutcomeClass.DNS),
        (too_long, OutcomeClass.DNS),
    ],
)
async def test_an_odd_answer_ends_the_attempt_and_is_reported_in_words_of_ours(
    lookup: Callable[[str], Sequence[str]], outcome: OutcomeClass
) -> None:
    async with sending(Gate(), lookup) as sender:
        got = await post(sender, f"https://{NAME}/hook")

    assert got.outcome is outcome
    assert got.error
    assert "10.0.0.1" not in got.error
    assert opened_sockets.made == []


class NameServers:
    """Those of `silent*.example.com` answer once `answering` is set, that there is no such name."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answering = threading.Event()

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if not host.startswith("silent"):
            return ["127.0.0.1"]
        self.answering.wait()
        return []


async def test_names_of_one_account_that_nobody_answers_for_leave_the_resolver_to_others(receiver: Receiver) -> None:
    servers = NameServers()
    async with sending(LOOPBACK, servers) as sender:
        silent = [
            asyncio.create_task(post(sender, f"https://silent{number}.example.com/", timeout_s=60, owner="one"))
            for number in range(100)
        ]

        async def are_asked() -> bool:
            return len(servers.asked) >= 8

        await eventually(are_asked)
        got = await post(sender, receiver.url(host=NAME), owner="another")
        of_one = await post(sender, "https://silent.example.com/", timeout_s=0.1, owner="one")
        servers.answering.set()
        later = await asyncio.gather(*silent)

    assert got.outcome is OutcomeClass.OK
    assert of_one.outcome is OutcomeClass.INTERNAL  # it had no turn, which says nothing of the receiver
    assert {one.outcome for one in later} == {OutcomeClass.DNS}
    assert len(set(servers.asked)) == len(servers.asked) == 101

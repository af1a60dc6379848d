"""What strangers may take of the listener: heads, headers, connections and time end somewhere, and who is within goes on."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import psutil
import pytest

from api import Api, eventually
from esimhooks.server.app import connections
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from web.test_metrics import scraped
from web.test_raw_requests import HOST, connected, send_raw

LINE = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"
MIB = 1024 * 1024
ALLOWED_GROWTH = 64 * MIB


@asynccontextmanager
async def many(api: Api, number: int, *, first: bytes = b"") -> AsyncIterator[Sequence[asyncio.StreamReader]]:
    """Open so many connections, each of which sends its first bytes and then nothing."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(number):
            reader, writer = await stack.enter_async_context(connected(api))
            writer.write(first)
            opened.append(reader)
        yield opened


async def endless(api: Api, start: bytes, piece: bytes, *, total: int) -> tuple[bytes, int]:
    """Send pieces until the server closes; return what it answered and how much it was sent."""
    async with connected(api) as (reader, writer):
        writer.write(start)
        sent = len(start)
        try:
            while sent < total:
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
            return await reader.read(), sent
        except OSError:
            return b"", sent


def resident() -> int:
    return int(psutil.Process(os.getpid()).memory_info().rss)


HEADS = {
    "a target": (b"GET /", b"a" * 65_536, 414),
    "a header": (LINE + b"x-a: ", b"a" * 65_536, 431),
    "the name of a header": (LINE, b"a" * 65_536, 431),
    "headers": (LINE, b"a: b\r\n" * 10_000, 431),
    "blank lines": (b"", b"\r\n" * 32_768, 431),
    "trailers": (
        b"POST /sign-in HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ",
        b"a" * 65_536,
        431,
    ),
}


@pytest.mark.parametrize(("start", "piece", "status"), HEADS.values(), ids=HEADS)
async def test_a_head_without_end_is_refused_early(start: bytes, piece: bytes, status: int, operator: Api) -> None:
    before = resident()

    answer, sent = await endless(operator, start, piece, total=100 * MIB)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode()) or not answer
    assert sent < 100 * MIB
    assert resident() - before < ALLOWED_GROWTH
    assert (await operator.get("/healthz")) == {"status": "ok"}


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * connections.MAX_TARGET_BYTES + b" HTTP/1.1\r\n" + HOST, 414),
        (LINE + b"x: y\r\n" * connections.MAX_HEADERS, 431),
        (LINE + b"x: " + b"a" * connections.MAX_HEAD_BYTES + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\n", 400),
        (LINE + b"host: other\r\n", 400),
    ],
    ids=["long target", "many headers", "long header", "no host", "two hosts"],
)
async def test_a_head_beyond_a_limit_is_answered_with_a_problem(head: bytes, status: int, operator: Api) -> None:
    answer = await send_raw(operator, head + b"\r\n")

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in answer
    assert f'"status":{status}'.encode() in answer


async def test_a_head_within_the_limits_is_taken_in_whatever_pieces(operator: Api) -> None:
    large = LINE + b"connection: close\r\n" + b"x: " + b"a" * 60_000 + b"\r\n"
    large += b"y: z\r\n" * (connections.MAX_HEADERS - 3) + b"\r\n"

    whole = await send_raw(operator, large)
    pieces = await send_raw(operator, *[large[at : at + 7_000] for at in range(0, len(large), 7_000)])

    assert whole.startswith(b"HTTP/1.1 200 ")
    assert pieces.startswith(b"HTTP/1.1 200 ")


async def test_requests_one_behind_the_other_are_all_answered(operator: Api) -> None:
    answer = await send_raw(operator, (LINE + b"\r\n") * 20 + LINE + b"connection: close\r\n\r\n")

    assert answer.count(b"HTTP/1.1 200 ") == 21


async def test_without_a_host_http_1_0_is_served(operator: Api) -> None:
    assert (await send_raw(operator, b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_thousand_silent_connections_leave_room_for_who_asks(operator: Api) -> None:
    before = resident()

    async with many(operator, 500), many(operator, 500, first=b"GET / HT"):
        for _ in range(3):
            async with Api(operator.url, operator.key) as new:
                assert (await new.get("/healthz")) == {"status": "ok"}

    assert resident() - before < ALLOWED_GROWTH


@pytest.mark.slow(reason="opens 800 connections")
@pytest.mark.timeout(30)
async def test_bodies_for_inbound_addresses_that_nobody_has_are_not_waited_for(operator: Api) -> None:
    before = resident()
    head = b"POST /providers/upstream/nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 262144\r\n\r\n"

    async with many(operator, 800, first=head + b"a" * 65_536) as opened:
        answers = [await reader.readline() for reader in opened[-200:]]
        async with Api(operator.url, operator.key) as new:
            assert (await new.get("/healthz")) == {"status": "ok"}
        grown = resident() - before

    assert set(answers) == {b"HTTP/1.1 401 Unauthorized\r\n"}
    assert grown < ALLOWED_GROWTH


@pytest.mark.parametrize("first", [b"", b"GET / HT", b"\r\n"], ids=["no byte", "half a head", "a blank line"])
async def test_a_connection_that_stays_silent_is_closed(
    first: bytes, operator: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 0.2)
    monkeypatch.setattr(connections, "HEAD_S", 0.1)
    async with many(operator, 3, first=first) as opened:
        answers = [await reader.read() for reader in opened]

    expected = b"" if not first else b"HTTP/1.1 408 "
    assert {one[: len(expected)] for one in answers} == {expected}
    assert all(one or not first for one in answers)


async def test_a_body_that_is_not_wanted_any_more_is_not_waited_for_for_ever(
    operator: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BODY_S", 0.2)
    head = b"POST /v1/accounts HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n"
    async with many(operator, 1, first=head) as [reader]:
        answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_one_address_has_only_so_many_connections_and_busy_ones_are_not_given_up(settings: Settings) -> None:
    few = settings.model_copy(update={"connections_address": 2})
    slow = (
        b"POST /v1/accounts HTTP/1.1\r\nhost: a\r\nauthorization: Bearer "
        + settings.admin_key.get_secret_value().encode()  # type: ignore[union-attr]
        + b"\r\ncontent-length: 16\r\ncontent-type: application/json\r\n\r\n"
    )
    async with running(few) as node, Api(node.url, node.admin_key) as api:
        async with connected(api) as (first, body), connected(api) as (_, second):
            body.write(slow)
            second.write(slow)

            async def is_full() -> bool:
                answer = await send_raw(api, LINE + b"\r\n") if not first.at_eof() else b""
                return answer.startswith(b"HTTP/1.1 503 ")

            await eventually(is_full)
            body.write(b'{"name": "Acme"}')
            assert (await first.readline()).startswith(b"HTTP/1.1 201 ")
        metrics = await scraped(api.url, api.key)

    assert metrics['esimhooks_refused_total{what="connection"}'] >= 1


@asynccontextmanager
async def not_reading(api: Api, request: bytes) -> AsyncIterator[socket.socket]:
    """A connection whose caller asks for much and reads nothing of it."""
    with socket.socket() as unread:
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(unread, ("127.0.0.1", int(api.url.rpartition(":")[2])))
        await loop.sock_sendall(unread, request)
        yield unread


UNREAD = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n" * 40
"""Its answers are more than the buffers of two sockets."""


async def test_who_reads_no_answers_makes_room_for_others(settings: Settings) -> None:
    few = settings.model_copy(update={"connections_address": 1})
    async with (
        running(few) as node,
        Api(node.url, node.admin_key) as api,
        not_reading(api, UNREAD),
    ):

        async def is_served() -> bool:
            return (await send_raw(api, LINE + b"connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

        await eventually(is_served)


async def test_a_connection_whose_answers_are_not_read_is_closed(
    operator: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 0.1)
    async with not_reading(operator, UNREAD) as unread:
        address = unread.getsockname()

        async def is_closed() -> bool:
            open_now = psutil.Process(os.getpid()).net_connections("tcp")
            return not any(one.raddr == address for one in open_now if one.fd != -1)

        assert not await is_closed()
        await eventually(is_closed)

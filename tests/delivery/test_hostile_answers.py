"""Receivers that answer what no HTTP server should: each attempt ends, is bounded in memory, and says why.

What a receiver has decided by its status line holds, whatever comes after it and however it is packed.
"""

import asyncio
import tracemalloc
from collections.abc import Callable

import pytest

from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.domain.delivery import Outcome, OutcomeClass
from receiver import (
    Behaviour,
    Receiver,
    drip,
    endless_body,
    gzip_bomb,
    huge_header,
    interim_flood,
    raw,
    redirect,
    status,
)

pytestmark = [
    pytest.mark.slow(reason="reads floods and waits for timeouts, on a machine that may be busy"),
    pytest.mark.timeout(90),
]

TIMEOUT_S = 10.0
GIVEN_UP_S = 60.0
"""An attempt that lasts as long as this would not end at all."""

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
NOT_HTTP = (OutcomeClass.CONNECT, "the answer is not valid HTTP")
NO_MORE = (OutcomeClass.CONNECT, "the receiver closed the connection without an answer")


def in_pieces(*pieces: bytes, keep: bool = False) -> Behaviour:
    """Answer with these bytes, each in a packet of its own."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            taken = asyncio.Event()
            asyncio.get_running_loop().call_later(0.01, taken.set)
            await taken.wait()
        return keep

    return behave


def half_closed(answer: bytes) -> Behaviour:
    """Answer, then say that nothing more comes, and keep the connection."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        writer.write(answer)
        writer.write_eof()
        await asyncio.Event().wait()
        return False

    return behave


async def post(sender: Sender, url: str, *, timeout_s: float = TIMEOUT_S) -> Outcome:
    async with asyncio.timeout(GIVEN_UP_S):
        return await sender.send(url, headers={}, body=b"{}", timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (raw(b"<html>hello</html>"), NOT_HTTP),
        (raw(b"HTTP/3.7 200 OK\r\ncontent-length: 0\r\n\r\n"), NOT_HTTP),
        (raw(b"HTTP/1.1 99999 OK\r\ncontent-length: 0\r\n\r\n"), NOT_HTTP),
        (status(headers={f"x-{number}": "a" for number in range(10_000)}), NOT_HTTP),
        (huge_header(), NOT_HTTP),
        (drip(b"HTTP/1.1 200 ", b"a" * 0x10000, every_s=0), NOT_HTTP),
        (drip(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n" * 4096, every_s=0), NOT_HTTP),
        (drip(b"HTTP/1.1 200 OK\r\nx-a: ", b"b" * 0x10000, every_s=0), NOT_HTTP),
        (drip(b"HTTP/1.1 200 OK\r\nx-a: b\r\n", b" b\r\n" * 16_384, every_s=0), NOT_HTTP),
        (drip(b"HTTP/1.1 100 Continue\r\n", b"x-a: b\r\n" * 4096, every_s=0), NOT_HTTP),
        (drip(b"", b"\r\n" * 0x8000, every_s=0), NOT_HTTP),
        (interim_flood(), NOT_HTTP),
        (half_closed(b""), NO_MORE),
        (half_closed(b"HTTP/1.1 200 OK\r\n"), NO_MORE),
    ],
)
async def test_what_is_no_answer_is_a_failure_that_says_why(
    sender: Sender, receiver: Receiver, behaviour: Behaviour, expected: tuple[OutcomeClass, str]
) -> None:
    receiver.answer(script=[behaviour, status()])

    got = await post(sender, receiver.url())
    next_one = await post(sender, receiver.url())

    assert (got.outcome, got.error, got.status_code) == (*expected, None)
    assert next_one.outcome is OutcomeClass.OK
    assert len(receiver.received) == 2  # whatever came back, nothing was sent a second time


@pytest.mark.parametrize(
    "packing", [raw, lambda answer: in_pieces(*answer.partition(b"\r\n\r\n"))], ids=["one", "three"]
)
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\nOK", 204),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nOK", 204),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nOK", 200),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK and more", 200),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nOK", 200),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nOK", 200),
        (b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\nGone", 410),
        (CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n", 200),
        (CHUNKED + b"-5\r\nabc\r\n0\r\n\r\n", 200),
        (CHUNKED + b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n", 200),
        (CHUNKED + b"3\r\nabcdefgh\r\n0\r\n\r\n", 200),
        (CHUNKED + b"9\r\nabc", 200),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nOK", 204),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 200),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nOK", 200),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nOK", 200),
        (b"HTTP/1.1 200 OK\r\nx-a: \x00\r\ncontent-length: 0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nx-a : b\r\ncontent-length : 0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nno colon\r\ncontent-length: 0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nx-gr\xfc\xdf: \xff\r\ncontent-length: 0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nOK", 200),
        (b"\r\nHTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200),
    ],
)
async def test_a_status_line_holds_whatever_comes_after_it(
    sender: Sender, receiver: Receiver, answer: bytes, code: int, packing: Callable[[bytes], Behaviour]
) -> None:
    receiver.answer(script=[packing(answer)])

    got = await post(sender, receiver.url())

    assert (got.status_code, got.error) == (code, None)
    assert len(receiver.received) == 1


async def test_what_came_too_much_is_not_taken_for_the_next_answer(sender: Sender, receiver: Receiver) -> None:
    receiver.answer(script=[raw(b"HTTP/1.1 204 No Content\r\n\r\nOK", keep=True), status(201)])

    await post(sender, receiver.url())
    next_one = await post(sender, receiver.url())

    assert next_one.status_code == 201
    assert receiver.connections == 2


async def test_the_end_of_the_headers_is_found_byte_by_byte(sender: Sender, receiver: Receiver) -> None:
    answer = b"HTTP/1.1 204 No\r\n\r\nOK"
    receiver.answer(script=[in_pieces(*(bytes([one]) for one in answer[:-3]), answer[-3:])])

    assert (await post(sender, receiver.url())).status_code == 204


async def test_an_answer_before_the_request_was_read_counts(sender: Sender) -> None:
    over = asyncio.Event()

    async def eager(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        await over.wait()
        writer.close()

    async with await asyncio.start_server(eager, "127.0.0.1") as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        async with asyncio.timeout(GIVEN_UP_S):
            got = await sender.send(url, headers={}, body=bytes(512 << 10), timeout_s=TIMEOUT_S)
        over.set()

    assert (got.outcome, got.status_code) in ((OutcomeClass.CLIENT_ERROR, 413), (OutcomeClass.CONNECT, None))
    assert "127.0.0.1" not in str(got.error)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to",
    ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "//127.0.0.1:22/", "file:///etc/passwd", "\x80"],
)
async def test_a_redirect_into_a_private_network_is_not_followed(
    sender: Sender, receiver: Receiver, to: str, code: int
) -> None:
    receiver.answer(script=[redirect(to, code)])

    got = await post(sender, receiver.url())

    assert (got.outcome, got.error) == (OutcomeClass.REDIRECT, "redirects are not followed")
    assert (len(receiver.received), receiver.connections) == (1, 1)


@pytest.mark.parametrize(
    "behaviour",
    [
        endless_body(),
        gzip_bomb(30),
        interim_flood(),
        drip(b"", b"\r\n" * 0x8000, every_s=0),
        drip(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n" * 4096, every_s=0),
        drip(CHUNKED + b"5;", b"a" * 0x10000, every_s=0),
        drip(CHUNKED + b"0\r\n", b"x-a: b\r\n" * 4096, every_s=0),
    ],
    ids=["body", "gzip", "interim", "newlines", "headers", "chunk extension", "trailers"],
)
async def test_a_flood_is_read_only_as_far_as_it_is_kept(
    sender: Sender, receiver: Receiver, behaviour: Behaviour
) -> None:
    receiver.answer(script=[behaviour])
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    got = await post(sender, receiver.url())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak - before < 4 << 20
    assert len(got.body) <= 16_384

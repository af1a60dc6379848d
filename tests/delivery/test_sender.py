"""What an attempt comes to when the receiver answers, or does not."""

import asyncio
import resource
import socket
from collections.abc import Awaitable
from contextlib import closing

import pytest

from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.domain.delivery import Outcome, OutcomeClass
from receiver import (
    Behaviour,
    Receiver,
    close_unanswered,
    endless_body,
    gzip_bomb,
    hang,
    huge_header,
    interim_flood,
    raw,
    redirect,
    reset,
    slow_body,
    slow_headers,
    status,
    too_many,
)

BODY = b'{"id":"evt_01jd3v8k5fe8ya3q8r0m2n6x7c"}'
HEADERS = {"content-type": "application/json", "user-agent": "esimhooks/0", "webhook-id": "evt_1"}

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def post(sender: Sender, url: str, *, timeout_s: float = 4.0) -> Outcome:
    return await sender.send(url, headers=HEADERS, body=BODY, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (200, OutcomeClass.OK),
        (204, OutcomeClass.OK),
        (304, OutcomeClass.REDIRECT),
        (404, OutcomeClass.CLIENT_ERROR),
        (410, OutcomeClass.GONE),
        (429, OutcomeClass.TOO_MANY),
        (500, OutcomeClass.SERVER_ERROR),
        (101, OutcomeClass.CONNECT),
        (999, OutcomeClass.CONNECT),
    ],
)
async def test_a_status_gives_its_class(sender: Sender, receiver: Receiver, code: int, outcome: OutcomeClass) -> None:
    receiver.answer(status=code)

    got = await post(sender, receiver.url())

    assert (got.outcome, got.status_code) == (outcome, code)


async def test_the_receiver_gets_the_bytes_and_headers_and_nothing_else_of_ours(
    sender: Sender, receiver: Receiver
) -> None:
    await post(sender, receiver.url("/hook?a=b%20c"))

    (request,) = await receiver.wait_for(1)
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=b%20c", BODY)
    assert request.headers == {
        **HEADERS,
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(BODY)),
        "host": f"127.0.0.1:{receiver.port}",
    }


@pytest.mark.parametrize("path", ["/%7euser", "/a/../b/./c", "/x?", "/%zz", "/a//b;c=d?e[]=f|g", "/?"])
async def test_the_path_is_sent_as_it_was_saved(sender: Sender, receiver: Receiver, path: str) -> None:
    await post(sender, receiver.url(path))

    assert [request.path for request in receiver.received] == [path]


async def test_what_no_request_line_can_have_is_sent_as_utf_8(sender: Sender, receiver: Receiver) -> None:
    await post(sender, receiver.url("/gr\xfc\xdf%20e?\u20ac"))

    assert receiver.received[0].path == "/gr%C3%BC%C3%9F%20e?%E2%82%AC"


async def test_the_answer_is_kept_cut_and_the_connection_reused(sender: Sender, receiver: Receiver) -> None:
    receiver.answer(headers={"X-Note": "gr\xfc\xdf", "x-long": "a" * 5000, "x-more": "b" * 5000}, body=b"c" * 20_000)

    first = await post(sender, receiver.url())
    second = await post(sender, receiver.url())

    assert first.headers == (("content-length", "20000"), ("X-Note", "gr\xfc\xdf"), ("x-long", "a" * 5000))
    assert first.body == b"c" * 16_384
    assert first.dialled == second.dialled == f"127.0.0.1:{receiver.port}"
    assert receiver.connections == 1


async def test_a_redirect_is_not_followed(sender: Sender, receiver: Receiver) -> None:
    receiver.answer(script=[redirect(receiver.url("/elsewhere"), 307)])

    got = await post(sender, receiver.url())

    assert (got.outcome, got.status_code) == (OutcomeClass.REDIRECT, 307)
    assert [request.path for request in receiver.received] == ["/hook"]


async def test_a_cookie_is_not_sent_back(sender: Sender, receiver: Receiver) -> None:
    receiver.answer(headers={"set-cookie": "tenant=a"})

    await post(sender, receiver.url())
    await post(sender, receiver.url())

    assert "cookie" not in receiver.received[1].headers


@pytest.mark.parametrize("code", [429, 503])
async def test_a_wait_that_the_receiver_asks_for_is_in_the_outcome(
    sender: Sender, receiver: Receiver, code: int
) -> None:
    receiver.answer(script=[too_many("120", code), status(code), too_many("120", 500)])

    waits = [(await post(sender, receiver.url())).retry_after_s for _ in range(3)]

    assert waits == [120.0, None, None]


@pytest.mark.parametrize("behaviour", [hang(), slow_headers()])
async def test_no_status_line_in_time_is_a_timeout(sender: Sender, receiver: Receiver, behaviour: Behaviour) -> None:
    receiver.answer(script=[behaviour])

    got = await post(sender, receiver.url(), timeout_s=0.3)

    assert (got.outcome, got.error) == (OutcomeClass.TIMEOUT, "no answer within 0.3 s")
    assert got.duration_ms >= 300


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (close_unanswered(), "the receiver closed the connection without an answer"),
        (reset(), "the receiver reset the connection"),
        (reset(b"HTTP/1.1 200 OK\r\n"), "the receiver reset the connection"),
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "the answer is not valid HTTP"),
        (huge_header(), "the answer is not valid HTTP"),
        (interim_flood(), "the answer is not valid HTTP"),
    ],
)
async def test_an_answer_that_breaks_off_or_is_none_is_a_failed_connection(
    sender: Sender, receiver: Receiver, behaviour: Behaviour, error: str
) -> None:
    receiver.answer(script=[behaviour])

    got = await post(sender, receiver.url())

    assert (got.outcome, got.error, got.status_code) == (OutcomeClass.CONNECT, error, None)
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "headers", [{"set-cookie": "a" * 60_000}, {f"x-{number}": "a" for number in range(500)}], ids=["long", "many"]
)
async def test_a_status_counts_however_long_and_many_its_headers_are(
    sender: Sender, receiver: Receiver, headers: dict[str, str]
) -> None:
    receiver.answer(script=[status(headers=headers)])

    got = await post(sender, receiver.url())

    assert (got.outcome, got.status_code) == (OutcomeClass.OK, 200)


@pytest.mark.parametrize(
    "behaviour", [slow_body(), endless_body(), reset(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab")]
)
async def test_what_happens_after_the_status_line_does_not_matter(
    sender: Sender, receiver: Receiver, behaviour: Behaviour
) -> None:
    receiver.answer(script=[behaviour, status()])

    got = await post(sender, receiver.url(), timeout_s=2.0)
    next_one = await post(sender, receiver.url())

    assert (got.outcome, got.error) == (OutcomeClass.OK, None)
    assert len(got.body) <= 16_384
    assert next_one.outcome is OutcomeClass.OK
    assert receiver.connections == 2


async def test_a_body_without_end_is_read_only_as_far_as_it_is_kept(sender: Sender, receiver: Receiver) -> None:
    sent = 0

    async def count(writer: asyncio.StreamWriter) -> bool:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n")
        while True:
            writer.write(bytes(0x10000))
            await writer.drain()
            sent += 0x10000

    receiver.answer(script=[count])

    got = await post(sender, receiver.url())

    assert got.outcome is OutcomeClass.OK
    # The buffers of two sockets and two programs hold some megabytes; a second of reading would be hundreds.
    assert sent < 24 << 20


async def test_an_answer_is_not_inflated(sender: Sender, receiver: Receiver) -> None:
    receiver.answer(script=[gzip_bomb()])

    got = await post(sender, receiver.url())

    assert (got.outcome, got.body[:2], len(got.body)) == (OutcomeClass.OK, b"\x1f\x8b", 16_384)


async def test_nobody_listening_is_a_refused_connection(sender: Sender, receiver: Receiver) -> None:
    await receiver.stop()

    got = await post(sender, receiver.url())

    assert (got.outcome, got.error) == (OutcomeClass.CONNECT, "connection refused")


async def test_a_stale_connection_is_replaced_within_the_attempt(sender: Sender) -> None:
    """The receiver has closed before the request is written, and this process has not heard of it yet."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.setblocking(False)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
        first, kept = await _answered(listening, post(sender, url), ANSWER)
        kept.close()
        second, fresh = await _answered(listening, post(sender, url), ANSWER.replace(b"200", b"201"))
        fresh.close()

    assert (first.status_code, second.status_code) == (200, 201)


async def test_a_request_that_was_read_is_not_sent_again_within_the_attempt(sender: Sender, receiver: Receiver) -> None:
    receiver.answer(script=[status(), close_unanswered(), status(201)])
    await post(sender, receiver.url())

    got = await post(sender, receiver.url())

    assert (got.outcome, got.error) == (OutcomeClass.CONNECT, "the receiver closed the connection without an answer")
    assert len(receiver.received) == 2


async def _answered(
    listening: socket.socket, sending: Awaitable[Outcome], answer: bytes
) -> tuple[Outcome, socket.socket]:
    """Answer the next request on a new connection; return what the attempt came to, and the connection."""
    loop = asyncio.get_running_loop()
    attempt = asyncio.ensure_future(sending)
    connection, _ = await loop.sock_accept(listening)
    while not (await loop.sock_recv(connection, 65_536)).endswith(BODY):
        pass
    await loop.sock_sendall(connection, answer)
    return await attempt, connection


async def test_a_fresh_connection_that_fails_is_not_tried_again(sender: Sender, receiver: Receiver) -> None:
    receiver.answer(script=[close_unanswered(), status()])

    got = await post(sender, receiver.url())

    assert got.outcome is OutcomeClass.CONNECT
    assert len(receiver.received) == 1


@pytest.mark.parametrize("bytes_back", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
async def test_a_kept_connection_on_which_anything_came_back_is_not_tried_again(
    sender: Sender, receiver: Receiver, bytes_back: bytes
) -> None:
    receiver.answer(script=[status(), raw(bytes_back), status()])
    await post(sender, receiver.url())

    got = await post(sender, receiver.url())

    assert got.outcome is OutcomeClass.CONNECT
    assert len(receiver.received) == 2


async def test_an_unsolicited_answer_is_not_taken_for_the_next_one(sender: Sender, receiver: Receiver) -> None:
    first_was_taken = asyncio.Event()

    async def twice(writer: asyncio.StreamWriter) -> bool:
        writer.write(ANSWER)
        await first_was_taken.wait()
        writer.write(ANSWER)
        return True

    receiver.answer(script=[twice, status(500)])
    await post(sender, receiver.url())
    assert sender.pool.idle == 1
    first_was_taken.set()
    while sender.pool.idle:  # noqa: ASYNC110 - the connection knows no event for it
        await asyncio.sleep(0)

    got = await post(sender, receiver.url())

    assert got.outcome is OutcomeClass.SERVER_ERROR


async def test_a_receiver_that_comes_back_is_reached(sender: Sender, receiver: Receiver) -> None:
    await post(sender, receiver.url())
    await receiver.stop()
    await receiver.start()

    assert (await post(sender, receiver.url())).outcome is OutcomeClass.OK


async def test_no_file_handles_left_is_a_fault_of_ours(sender: Sender, receiver: Receiver) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        got = await post(sender, receiver.url())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (got.outcome, got.error) == (OutcomeClass.INTERNAL, "this server has no file handles or memory left")


async def test_what_nobody_foresaw_is_a_fault_of_ours(sender: Sender, receiver: Receiver) -> None:
    got = await sender.send(receiver.url(), headers={"x-a": "b\r\nc"}, body=BODY, timeout_s=4)

    assert (got.outcome, got.error) == (OutcomeClass.INTERNAL, "this server failed: ValueError")


async def test_a_closed_sender_uses_up_no_attempt(sender: Sender, receiver: Receiver) -> None:
    await sender.close()

    got = await post(sender, receiver.url())

    assert (got.outcome, got.error) == (OutcomeClass.INTERNAL, "this server was shutting down")


async def test_being_cancelled_is_passed_on(sender: Sender, receiver: Receiver) -> None:
    receiver.answer(script=[hang()])
    task = asyncio.create_task(post(sender, receiver.url()))
    await receiver.wait_for(1)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

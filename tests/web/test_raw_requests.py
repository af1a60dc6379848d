"""What no client library sends: broken request lines and headers, two lengths at once, a trickle, a caller that leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from structlog.testing import capture_logs

from api import Api
from conftest import ADMIN_KEY

HOST = b"host: localhost\r\nconnection: close\r\n"
AUTH = f"authorization: Bearer {ADMIN_KEY}\r\n".encode()
POST = b"POST /v1/accounts HTTP/1.1\r\n" + HOST + AUTH + b"content-type: application/json\r\n"
ACME = b'{"name": "Acme"}'

BROKEN = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another version": b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n",
    "a method of its own": b"FETCH /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "blank in the path": b"GET /health z HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the path": b"GET /healthz\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a header without a colon": b"GET /healthz HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n",
    "a blank before the colon": b"GET /healthz HTTP/1.1\r\n" + HOST + b"x-a : b\r\n\r\n",
    "NUL in a header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"x-a: \x00\r\n\r\n",
    "a length that is no number": POST + b"content-length: x\r\n\r\n" + ACME,
    "a negative length": POST + b"content-length: -1\r\n\r\n" + ACME,
    "two lengths": POST + b"content-length: 16\r\ncontent-length: 15\r\n\r\n" + ACME,
    "a length and chunks": POST + b"content-length: 16\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + ACME,
    "a chunk that is no number": POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + ACME,
}


@asynccontextmanager
async def connected(api: Api) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection to the node."""
    port = int(api.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def send_raw(api: Api, *pieces: bytes) -> bytes:
    """Send bytes; return all that is answered until the server closes."""
    async with connected(api) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
async def test_a_request_that_is_no_http_is_refused_and_the_server_goes_on(sent: bytes, operator: Api) -> None:
    answer = await send_raw(operator, sent)

    assert answer.startswith(b"HTTP/1.1 400 ") or not answer
    assert b"Traceback" not in answer
    assert answer.count(b"HTTP/1.1") <= 1
    assert (await operator.get("/healthz")) == {"status": "ok"}
    assert (await operator.get("/v1/accounts"))["data"] == []


async def test_chunks_without_a_length_are_read_as_a_body(operator: Api) -> None:
    answer = await send_raw(operator, POST + b"transfer-encoding: chunked\r\n\r\n10\r\n" + ACME + b"\r\n0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 201 ")


async def test_chunks_beyond_256_kib_are_refused_without_being_read_to_the_end(operator: Api) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    answer = await send_raw(operator, POST + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 5)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


async def test_a_caller_that_leaves_in_the_middle_of_its_body_is_no_error_of_ours(operator: Api) -> None:
    with capture_logs() as lines:
        async with connected(operator) as (_, writer):
            writer.write(POST + b"content-length: 1000\r\n\r\n" + ACME)
            await writer.drain()
        assert (await operator.get("/v1/accounts"))["data"] == []

    assert [line for line in lines if line["log_level"] == "error"] == []


async def test_callers_that_send_their_headers_slowly_block_nobody(operator: Api) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(200):
            _, writer = await stack.enter_async_context(connected(operator))
            writer.write(POST[:40])
            await writer.drain()

        assert (await operator.call("POST", "/v1/accounts", {"name": "Acme"})).status == 201

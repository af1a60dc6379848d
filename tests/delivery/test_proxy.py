"""The egress proxy, with a real small one: what it carries for http and https, what never gets there, and its password."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network

import pytest
import trustme

from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.domain.delivery import Outcome, OutcomeClass
from receiver import Receiver

NAME = "hooks.example.com"
CA = trustme.CA()


class Proxy:
    """Carries everything to one port of 127.0.0.1, whatever host is requested; records the requests."""

    def __init__(self, to_port: int) -> None:
        self.request_lines: list[bytes] = []
        self.heads: list[bytes] = []
        self.port = 0
        self._to_port = to_port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: CONNECT opens a tunnel, anything else is passed on as it is."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.request_lines.append(head.partition(b"\r\n")[0])
        self.heads.append(head.lower())
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._to_port)
        if head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            there.write(head)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass_on(reader, there))
            group.create_task(_pass_on(there_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy_to(receiver: Receiver) -> AsyncIterator[Proxy]:
    proxy = Proxy(receiver.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1")
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


@asynccontextmanager
async def tls_receiver() -> AsyncIterator[Receiver]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert(NAME).configure_cert(tls)
    async with Receiver(tls=tls) as receiver:
        yield receiver


@asynccontextmanager
async def sending(gate: Gate, proxy: str) -> AsyncIterator[Sender]:
    tls = ssl.create_default_context()
    CA.configure_trust(tls)
    sender = Sender(gate, tls=tls, proxy=proxy, lookup=lambda _: ("10.0.0.1",))
    try:
        yield sender
    finally:
        await sender.close()


async def post(sender: Sender, url: str) -> Outcome:
    return await sender.send(url, headers={"webhook-id": "evt_1"}, body=b"{}", timeout_s=4)


async def test_https_goes_through_a_tunnel_and_the_proxy_sees_nothing_of_it(gate: Gate) -> None:
    async with (
        tls_receiver() as receiver,
        proxy_to(receiver) as proxy,
        sending(gate, f"http://127.0.0.1:{proxy.port}") as sender,
    ):
        outcomes = [await post(sender, f"https://{NAME}/hook?token=secret") for _ in range(3)]

    assert [got.outcome for got in outcomes] == [OutcomeClass.OK] * 3
    assert proxy.request_lines == [f"CONNECT {NAME}:443 HTTP/1.1".encode()]  # the tunnel is kept alive
    assert b"secret" not in b"".join(proxy.heads)
    assert [request.headers["webhook-id"] for request in receiver.received] == ["evt_1"] * 3
    assert {got.dialled for got in outcomes} == {None}


async def test_http_is_handed_to_the_proxy_where_the_address_is_allowed(gate: Gate, receiver: Receiver) -> None:
    async with proxy_to(receiver) as proxy, sending(gate, f"http://127.0.0.1:{proxy.port}") as sender:
        got = await post(sender, "http://127.0.0.9:1234/hook")

    assert got.outcome is OutcomeClass.OK
    assert proxy.request_lines == [b"POST http://127.0.0.9:1234/hook HTTP/1.1"]


async def test_a_receiver_behind_a_tunnel_must_prove_who_it_is(gate: Gate) -> None:
    async with (
        tls_receiver() as receiver,
        proxy_to(receiver) as proxy,
        sending(gate, f"http://127.0.0.1:{proxy.port}") as sender,
    ):
        got = await post(sender, "https://other.example.com/hook")

    assert got.outcome is OutcomeClass.TLS
    assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/hook",
        "https://169.254.169.254/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://2130706433/hook",
        "https://localhost/hook",
        "https://db.internal/hook",
        f"http://{NAME}/hook",
        f"https://{NAME}:22/hook",
    ],
)
async def test_the_gate_stands_before_the_proxy_too(receiver: Receiver, url: str) -> None:
    async with proxy_to(receiver) as proxy, sending(Gate(), f"http://127.0.0.1:{proxy.port}") as sender:
        got = await post(sender, url)

    assert got.outcome is OutcomeClass.BLOCKED
    assert proxy.request_lines == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_password_of_the_proxy_goes_to_the_proxy_and_not_to_the_receiver(gate: Gate, scheme: str) -> None:
    header = b"proxy-authorization: basic " + b64encode(b"me:secret").lower()
    async with (
        tls_receiver() if scheme == "https" else Receiver() as receiver,
        proxy_to(receiver) as proxy,
        sending(gate, f"http://me:secret@127.0.0.1:{proxy.port}") as sender,
    ):
        got = await post(sender, f"https://{NAME}/hook" if scheme == "https" else "http://127.0.0.9:80/hook")

    assert got.outcome is OutcomeClass.OK
    assert header in proxy.heads[0]
    if scheme == "https":
        assert "proxy-authorization" not in receiver.received[0].headers


async def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as nobody:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, nobody.url(""))
        sender = Sender(Gate([ip_network("127.0.0.0/8")]))
        got = await post(sender, receiver.url())
        await sender.close()

        assert got.outcome is OutcomeClass.OK
        assert nobody.connections == 0

"""Opens connections: a target goes in, a connection that may carry requests to it comes out.

The gate stands where the socket is made, after which nothing can change where it leads. With an egress proxy the socket
leads there, and the proxy is asked for a tunnel for whatever goes over TLS.
"""

import asyncio
import socket
import ssl
from base64 import b64encode
from errno import EACCES
from functools import partial
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import start_connection
from msgspec import Struct

from esimhooks.server.delivery.http.connection import Connection
from esimhooks.server.delivery.http.errors import GateRefused, NotHttp, ProxyRefused, ProxyUnreachable, Unanswered
from esimhooks.server.delivery.http.exchange import Exchange, Stage
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.delivery.http.ranges import parse_address
from esimhooks.server.delivery.http.resolver import GuardedResolver
from esimhooks.server.delivery.http.target import Target, authority

NEXT_ADDRESS_S = 0.25
"""After so long without a connection the next address of a name is tried beside it (RFC 8305)."""

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple]  # type: ignore[type-arg]  # as in `socket`


class Proxy(Struct, frozen=True):
    """An egress proxy; `authorization` is the value of its header, None where it wants none."""

    host: str
    port: int
    over_tls: bool
    authorization: str | None

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Return the proxy of `http://user:password@host:port`."""
        parts = urlsplit(url)
        over_tls = parts.scheme == "https"
        authorization = None
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {b64encode(credentials.encode()).decode()}"
        return cls(parts.hostname or "", parts.port or (443 if over_tls else 80), over_tls, authorization)


class Dialler:
    """Opens connections to what the gate lets through, or to the proxy; `tls` verifies a proxy that speaks it."""

    def __init__(self, gate: Gate, resolver: GuardedResolver, *, tls: ssl.SSLContext, proxy: Proxy | None) -> None:
        self._gate = gate
        self._resolver = resolver
        self._tls = tls
        self._proxy = proxy

    async def dial(self, target: Target, exchange: Exchange, *, tls: ssl.SSLContext | None) -> Connection:
        """Open a connection, with `tls` around it where that is given.

        Raises `GateRefused`, `ProxyUnreachable`, `ProxyRefused`, `ssl.SSLError` or another `OSError`.
        """
        if self._proxy is None:
            sock = await self._connect(target.host, target.port, exchange)
            return await _open(sock, exchange, tls=tls, name=target.host, dialled=exchange.dialled)
        try:
            sock = await self._connect(self._proxy.host, self._proxy.port, exchange)
            inner = self._tls if self._proxy.over_tls else None
            connection = await _open(sock, exchange, tls=inner, name=self._proxy.host, dialled=None)
        except OSError as error:
            raise ProxyUnreachable from error
        if tls is not None:
            exchange.stage = Stage.PROXY
            await self._tunnel(connection, target)
            exchange.stage = Stage.HANDSHAKE
            await connection.start_tls(tls, target.host)
        return connection

    def open_socket(self, info: AddressInfo, exchange: Exchange) -> socket.socket:
        """Make the socket of a connection to this address, or raise `PermissionError` where the gate refuses it."""
        family, kind, protocol, _, address = info
        if self._proxy is None:
            try:
                self._gate.check_address(str(address[0]), int(address[1]), plain=exchange.plain, local=exchange.local)
            except GateRefused as refusal:
                exchange.refusal = refusal
                raise OSError(EACCES, "refused by the address policy") from refusal
            exchange.dialled = authority(address[0], address[1])
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _connect(self, host: str, port: int, exchange: Exchange) -> socket.socket:
        literal = parse_address(host)
        addresses = [host] if literal is not None else await self._resolver.resolve(host, port, exchange)
        exchange.stage = Stage.CONNECTING
        sock = await start_connection(
            [_address_info(address, port) for address in addresses],
            happy_eyeballs_delay=NEXT_ADDRESS_S,
            interleave=1,
            socket_factory=partial(self.open_socket, exchange=exchange),
        )
        if self._proxy is None:
            # Of several that were tried, the one that was reached.
            exchange.dialled = authority(*sock.getpeername()[:2])
        return sock

    async def _tunnel(self, connection: Connection, target: Target) -> None:
        assert self._proxy is not None  # noqa: S101 - for the type checker
        address = authority(target.host, target.port)
        lines = [f"CONNECT {address} HTTP/1.1", f"host: {address}"]
        if self._proxy.authorization is not None:
            lines.append(f"proxy-authorization: {self._proxy.authorization}")
        try:
            answer = await connection.post("\r\n".join([*lines, "", ""]).encode())
        except (NotHttp, Unanswered, OSError) as error:
            raise ProxyRefused(None) from error
        if not 200 <= answer.status < 300:
            connection.abort()
            raise ProxyRefused(answer.status)


async def _open(
    sock: socket.socket, exchange: Exchange, *, tls: ssl.SSLContext | None, name: str, dialled: str | None
) -> Connection:
    """Return the connection over a socket that is connected; the socket is closed where the handshake fails."""
    if tls is not None:
        exchange.stage = Stage.HANDSHAKE
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(sock, dialled), sock=sock, ssl=tls, server_hostname=name if tls else None
        )
    except BaseException:
        sock.close()
        raise
    return connection


def _address_info(address: str, port: int) -> AddressInfo:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)

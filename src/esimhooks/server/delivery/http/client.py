"""One HTTP request to a receiver: URL, headers and bytes in, an `Outcome` out.

Raises for nothing that a receiver does. Follows no redirect, keeps no cookie, inflates nothing, dials no address that the
gate has not let through (delivery, "Sending"). Knows nothing of deliveries, schedules and signatures; how many requests
are in flight is up to the caller.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from errno import EACCES
from functools import cache, lru_cache, partial
from typing import cast

from aiohttp import (
    AddrInfoType,
    ClientConnectionError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler

from esimhooks.server.delivery.http.answers import classify, keep_body, keep_headers, parse_retry_after, remark
from esimhooks.server.delivery.http.errors import GateRefused
from esimhooks.server.delivery.http.failures import Failure, explain, explain_timeout
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.delivery.http.resolver import GuardedResolver, Lookup, system_lookup
from esimhooks.server.delivery.http.target import Target, read_target
from esimhooks.server.delivery.http.wire import Exchange, Wire, current, spelled
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.delivery import Outcome, OutcomeClass
from esimhooks.server.domain.errors import Broken
from esimhooks.server.observe.log import get_logger

log = get_logger("sender")

NO_LIMIT = ClientTimeout(total=None, sock_connect=None)
"""One limit for the whole attempt stands around the request; those of aiohttp would only cost timers."""

URLS_REMEMBERED = 4096

MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 1000
"""A status counts whatever comes with it, up to what no honest receiver sends."""

WITH_RETRY_AFTER = frozenset({429, 503})


AUTHORITIES_REMEMBERED = 1024


def verified_tls(ca_file: str | None = None, *, ca_pem: str | None = None) -> ssl.SSLContext:
    """Return how receivers are verified: by the authorities of the system, and those in `ca_file` or `ca_pem` (PEM)."""
    tls = ssl.create_default_context()
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["http/1.1"])
    if ca_file is not None or ca_pem is not None:
        tls.load_verify_locations(ca_file, cadata=ca_pem)
    return tls


@cache
def system_tls() -> ssl.SSLContext:
    """Return how receivers are verified by the authorities of the system alone, which takes 50 ms to read: once."""
    return verified_tls()


class Sender:
    """Sends over connections that are kept alive. Made inside a running loop, closed there.

    Raises `Broken` where `tls` would not verify receivers. `proxy` is the URL of an egress proxy: all connections go
    there, so it must refuse private addresses itself; names that need an address in the gate's networks are refused.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        lookup: Lookup = system_lookup,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._gate = gate
        self._tls = tls or system_tls()
        if self._tls.verify_mode != ssl.CERT_REQUIRED or not self._tls.check_hostname:
            raise Broken("receivers must be verified: the TLS context switches it off")
        self._proxy = proxy
        self._resolver = GuardedResolver(None if proxy else gate, lookup)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._kept = self._session(keep=True)
        self._fresh = self._session(keep=False)
        # What a text means never changes, so it may be remembered; what a name leads to is never.
        self._target = lru_cache(URLS_REMEMBERED)(self._read)
        # The pool tells connections apart by the context itself, so there is one for the same authorities.
        self._tls_with = lru_cache(AUTHORITIES_REMEMBERED)(lambda pem: verified_tls(ca_pem=pem))

    async def send(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float, ca_pem: str | None = None
    ) -> Outcome:
        """Post `body` and return what came of it, `timeout_s` after the start of the name lookup at the latest.

        The body of the answer may take one second more. `ca_pem` are authorities trusted beside the system's for this
        request; a connection is used again only for the same ones.
        """
        started_at = self._clock()
        began = self._loop.time()
        exchange = Exchange(plain=False)
        current.set(exchange)
        try:
            async with asyncio.timeout(timeout_s) as limit:
                target = self._target(url)
                exchange.plain = target.plain
                exchange.local = target.local_name and not target.localhost
                tls = self._tls if ca_pem is None else self._tls_with(ca_pem)
                response = await self._post(target, {**headers, "accept-encoding": "identity"}, body, exchange, tls=tls)
        except Exception as failure:  # noqa: BLE001  # a raise would lose the attempt; what is not foreseen is ours
            kind, text = self._explain(failure, exchange, timeout_s, expired=limit.expired())
            return Outcome(
                outcome=kind,
                started_at=started_at,
                duration_ms=round((self._loop.time() - began) * 1000),
                error=text,
                dialled=None if self._proxy else exchange.dialled,
            )
        duration_ms = round((self._loop.time() - began) * 1000)
        status = response.status
        return Outcome(
            outcome=classify(status),
            started_at=started_at,
            duration_ms=duration_ms,
            status_code=status,
            error=remark(status),
            headers=keep_headers(response.raw_headers),
            body=await keep_body(response),
            dialled=None if self._proxy else exchange.dialled,
            retry_after_s=self._retry_after_s(response) if status in WITH_RETRY_AFTER else None,
        )

    async def close(self) -> None:
        """Close all connections, idle or not."""
        await self._kept.close()
        await self._fresh.close()
        await self._resolver.close()

    def _read(self, url: str) -> Target:
        target = self._gate.check_target(read_target(url))
        if self._proxy and target.address is None and self._gate.needs_allowed(target):
            # Behind a proxy nobody here sees what a name leads to.
            raise GateRefused("the URL must start with https:// and use a common port")
        return target

    async def _post(
        self, target: Target, headers: dict[str, str], body: bytes, exchange: Exchange, *, tls: ssl.SSLContext
    ) -> ClientResponse:
        try:
            return await self._kept.post(target.url, data=body, headers=headers, allow_redirects=False, ssl=tls)
        except ClientConnectionError:
            # The receiver had closed the idle connection and could not have seen the request. In any other case
            # it may have, and a second one would be a duplicate.
            if not exchange.was_stale:
                raise
        exchange.wire = None
        return await self._fresh.post(target.url, data=body, headers=headers, allow_redirects=False, ssl=tls)

    def _explain(self, failure: Exception, exchange: Exchange, timeout_s: float, *, expired: bool) -> Failure:
        trusted = self._resolver.trusted
        if expired and isinstance(failure, TimeoutError):
            told: Failure | None = explain_timeout(exchange, timeout_s, resolver_trusted=trusted)
        elif self._kept.closed:
            told = OutcomeClass.INTERNAL, "this server was shutting down"
        else:
            told = explain(failure, exchange, resolver_trusted=trusted, proxied=self._proxy is not None)
        if told is None:
            log.error("sending failed in an unforeseen way", exc_info=failure)
            told = OutcomeClass.INTERNAL, f"this server failed: {type(failure).__name__}"
        if told[0] is OutcomeClass.INTERNAL and not trusted and exchange.lookup is not None:
            self._resolver.doubt()
        return told

    def _retry_after_s(self, response: ClientResponse) -> float | None:
        value = response.headers.get("Retry-After")
        return None if value is None else parse_retry_after(value, self._clock())

    def _session(self, *, keep: bool) -> ClientSession:
        connector = TCPConnector(
            ssl=self._tls,
            resolver=self._resolver,
            use_dns_cache=False,
            force_close=not keep,
            limit=0,
            socket_factory=self._open_socket,
        )
        # aiohttp offers no other way to hear what happens on a connection.
        connector._factory = cast("partial[ResponseHandler]", partial(Wire, loop=self._loop))  # noqa: SLF001
        return ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            timeout=NO_LIMIT,
            trust_env=False,
            auto_decompress=False,
            proxy=self._proxy,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )

    def _open_socket(self, info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not self._proxy:
            exchange = current.get()
            try:
                self._gate.check_address(str(address[0]), int(address[1]), plain=exchange.plain, local=exchange.local)
            except GateRefused as refusal:
                exchange.refusal = refusal
                raise OSError(EACCES, "refused by the address policy") from refusal
            exchange.dialled = spelled(address)
        return socket.socket(family, kind, protocol)

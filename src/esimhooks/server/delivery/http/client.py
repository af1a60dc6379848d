"""One HTTP request to a receiver: URL, headers and bytes in, an `Outcome` out.

Raises for nothing that a receiver does. Follows no redirect, keeps no cookie, inflates nothing, dials no address that the
gate has not let through. Knows nothing of deliveries, schedules and signatures; how many requests
are in flight is up to the caller.
"""

import asyncio
import ssl
from collections.abc import Hashable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import NamedTuple

from esimhooks.server.delivery.http.answer_reader import AnswerReader
from esimhooks.server.delivery.http.answers import classify, keep_headers, parse_retry_after, remark
from esimhooks.server.delivery.http.connection import Connection
from esimhooks.server.delivery.http.dialler import Dialler, Proxy
from esimhooks.server.delivery.http.errors import GateRefused, Unanswered
from esimhooks.server.delivery.http.exchange import Exchange, Stage
from esimhooks.server.delivery.http.failures import Failure, explain, explain_timeout
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.delivery.http.pool import Origin, Pool
from esimhooks.server.delivery.http.resolver import GuardedResolver, Lookup, system_lookup
from esimhooks.server.delivery.http.target import Target, read_target
from esimhooks.server.domain.clock import Clock, system_clock
from esimhooks.server.domain.delivery import Outcome, OutcomeClass
from esimhooks.server.domain.errors import Broken
from esimhooks.server.observe.log import get_logger

log = get_logger("sender")

URLS_REMEMBERED = 4096
AUTHORITIES_REMEMBERED = 128
"""Each takes most of a MiB, as it holds those of the system too."""

WITH_RETRY_AFTER = frozenset({429, 503})
PROXY_PASSWORD_WANTED = 407


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
        clock: Clock = system_clock,
    ) -> None:
        self._gate = gate
        self._tls = tls or system_tls()
        if self._tls.verify_mode != ssl.CERT_REQUIRED or not self._tls.check_hostname:
            raise Broken("receivers must be verified: the TLS context switches it off")
        self._proxy = None if proxy is None else Proxy.parse(proxy)
        self.resolver = GuardedResolver(None if proxy else gate, lookup)
        self.dialler = Dialler(gate, self.resolver, tls=self._tls, proxy=self._proxy)
        self.pool = Pool()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        # What a text means never changes, so it may be remembered; what a name leads to is never.
        self._addressed = lru_cache(URLS_REMEMBERED)(self._address)
        self._own_tls: dict[str, ssl.SSLContext] = {}

    async def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
        ca_pem: str | None = None,
        owner: Hashable = None,
    ) -> Outcome:
        """Post `body` and return what came of it, `timeout_s` after the start of the name lookup at the latest.

        The body of the answer may take one second more. `ca_pem` are authorities trusted beside the system's for this
        request; a connection is used again only for the same ones. `owner` is whose share of the name lookups it takes.
        """
        started_at = self._clock()
        began = self._loop.time()
        exchange = Exchange(plain=False, owner=owner)
        try:
            async with asyncio.timeout(timeout_s) as limit:
                addressed = self._addressed(url)
                exchange.plain, exchange.local = addressed.plain, addressed.local
                tls = None if addressed.plain else self._tls if ca_pem is None else await self._tls_with(ca_pem)
                origin = Origin(addressed.target.host, addressed.target.port, tls)
                request = b"".join((addressed.head, _encode(headers), b"%d\r\n\r\n" % len(body), body))
                connection, answer = await self._post(addressed.target, origin, request, exchange)
        except Exception as failure:  # noqa: BLE001  # a raise would lose the attempt; what is not foreseen is ours
            kind, text = self._explain(failure, exchange, timeout_s, expired=limit.expired())
            return Outcome(
                outcome=kind,
                started_at=started_at,
                duration_ms=round((self._loop.time() - began) * 1000),
                error=text,
                dialled=exchange.dialled,
            )
        duration_ms = round((self._loop.time() - began) * 1000)
        if await connection.finish(answer):
            self.pool.release(origin, connection)
        if self._proxy is not None and tls is None and answer.status == PROXY_PASSWORD_WANTED:
            return Outcome(
                outcome=OutcomeClass.INTERNAL,
                started_at=started_at,
                duration_ms=duration_ms,
                error="our egress proxy wants a password",
            )
        return self._outcome(answer, started_at=started_at, duration_ms=duration_ms, dialled=exchange.dialled)

    async def close(self) -> None:
        """Close all idle connections, and the others as they become idle."""
        self.pool.close()
        await self.resolver.close()

    async def _post(
        self, target: Target, origin: Origin, request: bytes, exchange: Exchange
    ) -> tuple[Connection, AnswerReader]:
        """Send the request over an idle connection, or over a new one; return it with the beginning of the answer."""
        if self.pool.closed:
            raise Unanswered
        idle = self.pool.acquire(origin)
        if idle is not None:
            exchange.dialled = idle.dialled
            try:
                return idle, await self._over(idle, request, exchange)
            except (Unanswered, OSError):
                # Only where the receiver cannot have seen the request: a second one would be a duplicate.
                if not idle.was_unread:
                    raise
        fresh = await self.dialler.dial(target, exchange, tls=origin.tls)
        return fresh, await self._over(fresh, request, exchange)

    async def _over(self, connection: Connection, request: bytes, exchange: Exchange) -> AnswerReader:
        exchange.stage = Stage.SENT
        try:
            return await connection.post(request)
        except BaseException:
            connection.abort()
            raise

    async def _tls_with(self, ca_pem: str) -> ssl.SSLContext:
        """Return the context for these authorities, made in a thread: it takes 50 ms, and merchants may change theirs often.

        There is one for the same authorities, as the pool distinguishes connections by it.
        """
        known = self._own_tls.pop(ca_pem, None)
        if known is None:
            made = await asyncio.to_thread(verified_tls, ca_pem=ca_pem)
            known = self._own_tls.pop(ca_pem, made)
        self._own_tls[ca_pem] = known
        if len(self._own_tls) > AUTHORITIES_REMEMBERED:
            del self._own_tls[next(iter(self._own_tls))]
        return known

    def _address(self, url: str) -> "_Addressed":
        """Return where the URL leads, and the beginning of each request there, up to the length of its body."""
        target = self._gate.check_target(read_target(url))
        if self._proxy and target.address is None and self._gate.needs_allowed(target):
            # Behind a proxy it is not seen here what a name resolves to.
            raise GateRefused("the URL must start with https:// and use a common port")
        path = target.path
        lines = [f"host: {target.host_header}", "accept: */*", "accept-encoding: identity"]
        if self._proxy and target.plain:
            path = f"http://{target.host_header}{path}"
            if self._proxy.authorization is not None:
                lines.append(f"proxy-authorization: {self._proxy.authorization}")
        head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, ""])
        return _Addressed(target, head.encode(), target.plain, target.local_name and not target.localhost)

    def _outcome(self, answer: AnswerReader, *, started_at: datetime, duration_ms: int, dialled: str | None) -> Outcome:
        status = answer.status
        retry_after = _first(answer, b"retry-after") if status in WITH_RETRY_AFTER else None
        return Outcome(
            outcome=classify(status),
            started_at=started_at,
            duration_ms=duration_ms,
            status_code=status,
            error=remark(status),
            headers=keep_headers(answer.headers),
            body=bytes(answer.body),
            dialled=dialled,
            retry_after_s=None if retry_after is None else parse_retry_after(retry_after, self._clock()),
        )

    def _explain(self, failure: Exception, exchange: Exchange, timeout_s: float, *, expired: bool) -> Failure:
        trusted = self.resolver.trusted
        if expired and isinstance(failure, TimeoutError):
            explained: Failure | None = explain_timeout(exchange, timeout_s, resolver_trusted=trusted)
        elif self.pool.closed:
            explained = OutcomeClass.INTERNAL, "this server was shutting down"
        else:
            explained = explain(failure, exchange, resolver_trusted=trusted)
        if explained is None:
            log.error("sending failed in an unforeseen way", exc_info=failure)
            explained = OutcomeClass.INTERNAL, f"this server failed: {type(failure).__name__}"
        if explained[0] is OutcomeClass.INTERNAL and not trusted and exchange.lookup is not None:
            self.resolver.probe_soon()
        return explained


class _Addressed(NamedTuple):
    target: Target
    head: bytes
    plain: bool
    local: bool


def _encode(headers: Mapping[str, str]) -> bytes:
    """Return the header lines, and the beginning of the one that says how long the body is."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\r") != len(headers) or text.count("\n") != len(headers) or "\0" in text:
        raise ValueError("a header may not contain a line break")
    return text.encode() + b"content-length: "


def _first(answer: AnswerReader, wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in answer.headers if name.lower() == wanted), None)

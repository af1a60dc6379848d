"""Why there was no answer: an exception in, its class and a text for a person out. Pure.

The text never names an address that a host name led to: what a private name resolves to must not leak.
"""

import errno
import socket
import ssl
from collections.abc import Iterator

from esimhooks.server.delivery.http.errors import GateRefused, NotHttp, ProxyRefused, ProxyUnreachable, Unanswered
from esimhooks.server.delivery.http.exchange import Exchange, Stage
from esimhooks.server.delivery.http.resolver import NO_SUCH_NAME
from esimhooks.server.domain.delivery import OutcomeClass

Failure = tuple[OutcomeClass, str]

LOCAL_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""No file handles or memory left here."""

OUR_LOOKUP = frozenset({socket.EAI_MEMORY, socket.EAI_SYSTEM})

UNANSWERED = "the receiver closed the connection without an answer"
NO_SUCH_HOST = "the host name does not exist or has no address"
TEXTS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "the receiver reset the connection",
    errno.ECONNABORTED: "the connection was aborted",
    errno.EPIPE: "the receiver closed the connection",
    errno.EHOSTUNREACH: "there is no route to the host",
    errno.ENETUNREACH: "there is no route to the network",
    errno.EADDRNOTAVAIL: "there is no route to the host",
}


def explain_timeout(exchange: Exchange, timeout_s: float, *, resolver_trusted: bool) -> Failure:
    """Return what it means that the time was up before a status line came."""
    within = f"within {timeout_s:g} s"
    match exchange.stage:
        case Stage.SENT:
            return OutcomeClass.TIMEOUT, f"no answer {within}"
        case Stage.CONNECTING:
            return OutcomeClass.TIMEOUT, f"no connection {within}"
        case Stage.PROXY:
            return OutcomeClass.INTERNAL, f"our egress proxy opened no connection {within}"
        case Stage.HANDSHAKE:
            return OutcomeClass.TLS, f"the TLS handshake was not over {within}"
        case Stage.LOOKUP:
            waits_for_a_thread = exchange.lookup is None or not (exchange.lookup.running() or exchange.lookup.done())
            if waits_for_a_thread or not resolver_trusted:
                return OutcomeClass.INTERNAL, f"our name resolver did not answer {within}"
            return OutcomeClass.TIMEOUT, f"the host name was not resolved {within}"


def explain(failure: Exception, exchange: Exchange, *, resolver_trusted: bool) -> Failure | None:
    """Return what it means that sending raised this; None for what is not foreseen."""
    if isinstance(failure, GateRefused):
        return OutcomeClass.BLOCKED, failure.detail
    if exchange.refusal is not None and exchange.stage is Stage.CONNECTING:
        return OutcomeClass.BLOCKED, exchange.refusal.detail
    if isinstance(failure, ProxyUnreachable | ProxyRefused):
        return _of_the_proxy(failure)
    if explained := _of_the_cause(failure, resolver_trusted=resolver_trusted):
        return explained
    if exchange.stage is Stage.HANDSHAKE and isinstance(failure, OSError):
        return (
            OutcomeClass.TLS,
            "the receiver ended the connection during the TLS handshake (TLS 1.2 or newer is spoken)",
        )
    return _of_the_connection(failure)


def _of_the_cause(failure: Exception, *, resolver_trusted: bool) -> Failure | None:
    for error in _chain(failure):
        if isinstance(error, socket.gaierror):
            return _of_the_lookup(error, resolver_trusted=resolver_trusted)
        if isinstance(error, ssl.SSLError):
            return OutcomeClass.TLS, _of_tls(error)
        if isinstance(error, OSError) and error.errno in LOCAL_ERRNOS:
            return OutcomeClass.INTERNAL, "this server has no file handles or memory left"
    return None


def _of_the_proxy(failure: ProxyUnreachable | ProxyRefused) -> Failure:
    """A proxy that says that the receiver cannot be reached speaks of the receiver, all else is a fault in this server."""
    if isinstance(failure, ProxyUnreachable):
        return OutcomeClass.INTERNAL, "our egress proxy could not be reached"
    match failure.status:
        case None:
            return OutcomeClass.INTERNAL, "our egress proxy gave no answer"
        case 403:
            return OutcomeClass.BLOCKED, "our egress proxy refused the address"
        case 407:
            return OutcomeClass.INTERNAL, "our egress proxy wants a password"
        case 502 | 503 | 504:
            return OutcomeClass.CONNECT, f"no connection: our egress proxy answered {failure.status}"
        case status:
            return OutcomeClass.INTERNAL, f"our egress proxy answered {status}"


def _of_the_lookup(error: socket.gaierror, *, resolver_trusted: bool) -> Failure:
    if error.errno in NO_SUCH_NAME:
        return OutcomeClass.DNS, NO_SUCH_HOST
    if error.errno in OUR_LOOKUP:
        return OutcomeClass.INTERNAL, "our name resolver is out of order"
    if error.errno == socket.EAI_AGAIN and not resolver_trusted:
        return OutcomeClass.INTERNAL, "our name resolver does not answer"
    return OutcomeClass.DNS, "the name servers of the host do not answer"


def _of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {error.verify_message.rstrip('.')}"
    return f"the TLS connection failed: {(error.reason or 'no reason given').replace('_', ' ').lower()}"


def _of_the_connection(failure: Exception) -> Failure | None:
    if isinstance(failure, NotHttp):
        return OutcomeClass.CONNECT, "the answer is not valid HTTP"
    if isinstance(failure, Unanswered):
        return OutcomeClass.CONNECT, UNANSWERED
    codes = [error.errno for error in _chain(failure) if isinstance(error, OSError)]
    if errno.ETIMEDOUT in codes:
        return OutcomeClass.TIMEOUT, "the connection timed out"
    texts = (TEXTS[code] for code in codes if code in TEXTS)
    return (OutcomeClass.CONNECT, next(texts, "the connection failed")) if codes else None


def _chain(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__

"""Whose fault it is that there was no answer, where a receiver cannot show it."""

import errno
import socket
from concurrent.futures import Future

import pytest

from esimhooks.server.delivery.http.exchange import Exchange, Stage
from esimhooks.server.delivery.http.failures import LOCAL_ERRNOS, explain, explain_timeout
from esimhooks.server.domain.delivery import OutcomeClass


@pytest.mark.parametrize(("running", "outcome"), [(False, OutcomeClass.INTERNAL), (True, OutcomeClass.TIMEOUT)])
def test_a_lookup_that_never_got_a_thread_is_our_fault(*, running: bool, outcome: OutcomeClass) -> None:
    exchange = Exchange(plain=False)
    exchange.stage = Stage.LOOKUP
    exchange.lookup = Future()
    if running:
        exchange.lookup.set_running_or_notify_cancel()

    assert explain_timeout(exchange, 5, resolver_trusted=True)[0] is outcome


@pytest.mark.parametrize("stage", [Stage.CONNECTING, Stage.SENT])
def test_a_receiver_that_does_not_take_or_answer_the_request_is_at_fault(stage: Stage) -> None:
    exchange = Exchange(plain=False)
    exchange.stage = stage

    assert explain_timeout(exchange, 5, resolver_trusted=False)[0] is OutcomeClass.TIMEOUT


@pytest.mark.parametrize(
    ("stage", "outcome"), [(Stage.PROXY, OutcomeClass.INTERNAL), (Stage.HANDSHAKE, OutcomeClass.TLS)]
)
def test_a_timeout_is_reported_by_how_far_the_connection_got(stage: Stage, outcome: OutcomeClass) -> None:
    exchange = Exchange(plain=False)
    exchange.stage = stage

    assert explain_timeout(exchange, 5, resolver_trusted=True)[0] is outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        *((OSError(code, ""), OutcomeClass.INTERNAL) for code in sorted(LOCAL_ERRNOS)),
        (OSError(errno.ETIMEDOUT, ""), OutcomeClass.TIMEOUT),
        (OSError(errno.EHOSTUNREACH, ""), OutcomeClass.CONNECT),
        (OSError("10.0.0.1 said no"), OutcomeClass.CONNECT),
        (socket.gaierror(socket.EAI_MEMORY, ""), OutcomeClass.INTERNAL),
    ],
)
def test_an_error_of_the_system_is_reported_without_its_own_text(error: OSError, outcome: OutcomeClass) -> None:
    explained = explain(error, Exchange(plain=False), resolver_trusted=True)

    assert explained is not None
    assert explained[0] is outcome
    assert "10.0.0.1" not in explained[1]


def test_an_error_nobody_foresaw_is_not_explained() -> None:
    assert explain(ZeroDivisionError(), Exchange(plain=False), resolver_trusted=True) is None

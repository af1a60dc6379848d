"""Authorities of an endpoint: trusted for its requests alone, over real TLS."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from esimhooks.server.delivery.http.client import AUTHORITIES_REMEMBERED, Sender
from esimhooks.server.domain.delivery import OutcomeClass
from receiver import Receiver

CA, OTHER = trustme.CA(), trustme.CA()
NOBODY = "https://127.0.0.1:1/"
PEM, OTHER_PEM = (one.cert_pem.bytes().decode() for one in (CA, OTHER))


@pytest.fixture
async def private() -> AsyncIterator[Receiver]:
    """A receiver whose certificate no system knows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    async with Receiver(tls=context) as listening:
        yield listening


async def sent(sender: Sender, receiver: Receiver, ca_pem: str | None) -> OutcomeClass:
    outcome = await sender.send(receiver.url(), headers={}, body=b"{}", timeout_s=5, ca_pem=ca_pem)
    return outcome.outcome


async def test_a_receiver_is_trusted_by_the_authorities_of_its_endpoint(sender: Sender, private: Receiver) -> None:
    assert await sent(sender, private, PEM) is OutcomeClass.OK


async def test_connections_are_kept_for_the_same_authorities_and_never_lent_to_others(
    sender: Sender, private: Receiver
) -> None:
    outcomes = [await sent(sender, private, pem) for pem in (PEM, PEM, OTHER_PEM, None, PEM)]

    assert outcomes == [OutcomeClass.OK, OutcomeClass.OK, OutcomeClass.TLS, OutcomeClass.TLS, OutcomeClass.OK]
    assert {request.connection for request in private.received} == {1}


async def test_others_go_on_while_the_authorities_of_an_endpoint_are_read(
    sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_system = tmp_path / "system.pem"
    of_the_system.write_text(PEM * 500)
    monkeypatch.setenv("SSL_CERT_FILE", str(of_the_system))

    attempt = asyncio.create_task(sender.send(NOBODY, headers={}, body=b"{}", timeout_s=10, ca_pem=PEM))
    turns = 0
    while not attempt.done():
        await asyncio.sleep(0)
        turns += 1

    assert attempt.result().outcome is OutcomeClass.CONNECT
    assert turns > 100


async def test_of_all_the_authorities_that_endpoints_have_had_few_are_remembered(
    sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_system = tmp_path / "system.pem"
    of_the_system.write_text(PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(of_the_system))

    for number in range(AUTHORITIES_REMEMBERED + 10):
        await sender.send(NOBODY, headers={}, body=b"{}", timeout_s=10, ca_pem=PEM + "\n" * number)

    gc.collect()
    of_endpoints = [one for one in gc.get_objects() if isinstance(one, ssl.SSLContext) and len(one.get_ca_certs()) == 1]
    assert len(of_endpoints) <= AUTHORITIES_REMEMBERED <= 128

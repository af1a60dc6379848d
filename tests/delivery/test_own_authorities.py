"""Authorities of an endpoint: trusted for its requests alone, over real TLS."""

import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.domain.delivery import OutcomeClass
from receiver import Receiver

CA, OTHER = trustme.CA(), trustme.CA()
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

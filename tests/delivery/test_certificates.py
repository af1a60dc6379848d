"""Receivers that do not prove who they are, or speak a TLS that is too old: nothing is sent to them, and the reason is reported."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from esimhooks.server.delivery.http.client import Sender, verified_tls
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.domain.delivery import Outcome, OutcomeClass
from receiver import Receiver

NAME = "hooks.example.com"
CA = trustme.CA()
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def presented() -> ssl.SSLContext:
    """Return the TLS of a server that has no certificate yet."""
    return ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)


def issued(*names: str, ca: trustme.CA = CA, common_name: str | None = None) -> ssl.SSLContext:
    """Return the TLS of a server with a certificate of this authority."""
    tls = presented()
    ca.issue_cert(*names, common_name=common_name).configure_cert(tls)
    return tls


def self_signed(folder: Path, *, begins: datetime, ends: datetime, bits: int | None = None) -> ssl.SSLContext:
    """Return the TLS of a server that vouches for itself."""
    key = rsa.generate_private_key(65_537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    both = folder / "both.pem"
    both.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tls = presented()
    tls.load_cert_chain(both)
    return tls


@asynccontextmanager
async def sending(gate: Gate, *trusted: Path | trustme.CA) -> AsyncIterator[Sender]:
    tls = verified_tls()
    for one in trusted:
        if isinstance(one, trustme.CA):
            one.configure_trust(tls)
        else:
            tls.load_verify_locations(one)
    sender = Sender(gate, tls=tls, lookup=lambda _: ("127.0.0.1",))
    try:
        yield sender
    finally:
        await sender.close()


async def refused(sender: Sender, tls: ssl.SSLContext, host: str = NAME) -> Outcome:
    """Return what an attempt came to, having seen that the receiver got nothing of it."""
    async with Receiver(tls=tls) as receiver:
        got = await sender.send(receiver.url(host=host), headers={}, body=b"{}", timeout_s=4)
        assert receiver.received == []
    assert got.outcome is OutcomeClass.TLS
    return got


async def test_a_certificate_of_a_known_authority_for_this_very_name_is_accepted(gate: Gate) -> None:
    async with Receiver(tls=issued(NAME)) as receiver, sending(gate, CA) as sender:
        got = await sender.send(receiver.url(host=NAME), headers={}, body=b"{}", timeout_s=4)

    assert got.outcome is OutcomeClass.OK


@pytest.mark.parametrize(
    ("begins", "ends", "error"),
    [
        (NOW - 2 * DAY, NOW - DAY, "the certificate was not accepted: certificate has expired"),
        (NOW + DAY, NOW + 2 * DAY, "the certificate was not accepted: certificate is not yet valid"),
    ],
)
async def test_a_certificate_outside_its_time_is_not_accepted(
    gate: Gate, tmp_path: Path, begins: datetime, ends: datetime, error: str
) -> None:
    tls = self_signed(tmp_path, begins=begins, ends=ends)
    async with sending(gate, tmp_path / "both.pem") as sender:
        assert (await refused(sender, tls)).error == error


async def test_a_receiver_that_vouches_for_itself_is_not_accepted(gate: Gate, tmp_path: Path) -> None:
    async with sending(gate) as sender:
        got = await refused(sender, self_signed(tmp_path, begins=NOW - DAY, ends=NOW + DAY))

    assert "self-signed certificate" in str(got.error)


async def test_an_unknown_authority_is_not_accepted(gate: Gate) -> None:
    async with sending(gate, trustme.CA()) as sender:
        got = await refused(sender, issued(NAME))

    assert "unable to get local issuer certificate" in str(got.error)


@pytest.mark.parametrize(
    ("names", "common_name"),
    [
        (("other.example.com",), None),
        (("example.com", "*.example.org"), None),
        (("*.hooks.example.com",), None),
        (("other.example.com",), NAME),  # a name outside the list of names has not counted since 2000 (RFC 2818)
        (("127.0.0.1",), None),
    ],
)
async def test_a_certificate_for_other_names_is_not_accepted(
    gate: Gate, names: tuple[str, ...], common_name: str | None
) -> None:
    async with sending(gate, CA) as sender:
        got = await refused(sender, issued(*names, common_name=common_name))

    assert f"certificate is not valid for '{NAME}'" in str(got.error)


async def test_a_certificate_for_a_name_does_not_speak_for_the_address_behind_it(gate: Gate) -> None:
    address = IPv4Address("127.0.0.1")
    async with sending(gate, CA) as sender:
        got = await refused(sender, issued(NAME), host=str(address))

    assert "IP address mismatch" in str(got.error)


async def test_a_weak_key_is_not_accepted(gate: Gate, tmp_path: Path) -> None:
    tls = presented()
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):  # not even loaded where the level is the usual one
        self_signed(tmp_path, begins=NOW - DAY, ends=NOW + DAY, bits=1024)
    tls.load_cert_chain(tmp_path / "both.pem")
    async with sending(gate, tmp_path / "both.pem") as sender:
        got = await refused(sender, tls)

    assert "key too small" in str(got.error) or "too weak" in str(got.error)


async def test_tls_older_than_1_2_is_not_spoken(gate: Gate) -> None:
    tls = issued(NAME)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tls.minimum_version = ssl.TLSVersion.TLSv1_1
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
    tls.set_ciphers("ALL:@SECLEVEL=0")
    async with sending(gate, CA) as sender:
        got = await refused(sender, tls)

    assert "TLS" in str(got.error)


async def test_a_receiver_that_resets_the_connection_during_the_handshake_is_a_tls_failure(gate: Gate) -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(end, "127.0.0.1")
    async with server, sending(gate) as sender:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        got = await sender.send(url, headers={}, body=b"{}", timeout_s=4)

    assert got.outcome is OutcomeClass.TLS
    assert "during the TLS handshake" in str(got.error)

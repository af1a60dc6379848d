"""How notifications prove where they come from: each scheme with what is right, wrong, missing and rotated."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from esimhooks import signing
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.providers.mapping import provider
from esimhooks.server.providers.mapping.check import compile_document
from esimhooks.server.providers.port import Provider, ProviderConfig
from providers.mapping.documents import HEAD, request, rule

NOW = datetime(2026, 11, 2, 14, 5, 18, tzinfo=UTC)
BODY = b'{"iccid":"8944540808334817826"}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)

Build = Callable[..., Provider]


async def pace() -> None: ...


@pytest.fixture
def build(session: ClientSession) -> Build:
    def built(verify: str, credentials: dict[str, str], **settings: object) -> Provider:
        mapped = compile_document(HEAD + rule('set.status = "s"') + "\n" + verify)
        config = ProviderConfig(name="p", kind="mapping", credentials=credentials, settings=settings, clock=lambda: NOW)
        return provider.build_mapped(mapped, config, session, pace)

    return built


def sent(body: bytes = BODY, *, path: str = "", query: str = "", **headers: str) -> InboundRequest:
    return request(
        body, headers={name.replace("_", "-"): value for name, value in headers.items()}, path=path, query=query
    )


def digest(algorithm: str, signed: bytes, secret: bytes = b"s3cret") -> bytes:
    return hmac.digest(secret, signed, algorithm)


HMAC = '[[verify]]\nscheme = "hmac"\nheader = "X-Sig"\nsecret = "key"\n'
WSSE = '[[verify]]\nscheme = "wsse"\nusername = "user"\nsecret = "key"\n'
CREATED, NONCE = "2026-11-02T14:05:18Z", base64.b64encode(b"nonce-1").decode()


def wsse(nonce: bytes, username: str = "me") -> str:
    password = base64.b64encode(hashlib.sha256(nonce + CREATED.encode() + b"s3cret").digest()).decode()
    return f'UsernameToken Username="{username}", PasswordDigest="{password}", Nonce="{NONCE}", Created="{CREATED}"'


def standard(secret: str = SECRET, at: int = int(NOW.timestamp())) -> InboundRequest:
    signed = signing.signature(secret, message_id="evt_1", timestamp=at, body=BODY)
    return sent(webhook_id="evt_1", webhook_timestamp=str(at), webhook_signature=signed)


CASES = [
    (HMAC, sent(x_sig=digest("sha256", BODY).hex())),
    (HMAC, sent(x_sig=digest("sha256", BODY).hex().upper())),
    (HMAC + 'algorithm = "sha512"', sent(x_sig=digest("sha512", BODY).hex())),
    (HMAC + 'prefix = "sha256="', sent(x_sig="sha256=" + digest("sha256", BODY).hex())),
    (HMAC + 'encoding = "base64"', sent(x_sig=base64.b64encode(digest("sha256", BODY)).decode())),
    (HMAC + 'secretEncoding = "hex"', sent(x_sig=digest("sha256", BODY, bytes.fromhex("aa11")).hex())),
    (
        HMAC + 'signed = ["header:X-Time", "text:.", "query:id", "credential:user", "path", "body"]',
        sent(x_time="7", query="id=4&id=5", path="/in", x_sig=digest("sha256", b"7.4me/in" + BODY).hex()),
    ),
    ('[[verify]]\nscheme = "header"\nheader = "X-Key"\nsecret = "key"', sent(x_key="s3cret")),
    ('[[verify]]\nscheme = "bearer"\nsecret = "key"', sent(authorization="Bearer s3cret")),
    (
        '[[verify]]\nscheme = "basic"\nusername = "user"\nsecret = "key"',
        sent(authorization="Basic " + base64.b64encode(b"me:s3cret").decode()),
    ),
    ('[[verify]]\nscheme = "bearer"\nsecret = "key"', sent(authorization="bearer s3cret")),
    (
        '[[verify]]\nscheme = "basic"\nusername = "user"\nsecret = "key"',
        sent(authorization="BASIC " + base64.b64encode(b"me:s3cret").decode()),
    ),
    (WSSE, sent(x_wsse=wsse(b"nonce-1"))),
    (WSSE, sent(x_wsse=wsse(NONCE.encode()))),
    (
        '[[verify]]\nscheme = "md5-concat"\nheader = "x-sign"\nsigned = ["credential:key", "body"]',
        sent(x_sign=hashlib.md5(b"s3cret" + BODY).hexdigest()),
    ),
    ('[[verify]]\nscheme = "standard-webhooks"\nsecret = "webhook"', standard()),
    (
        '[[verify]]\nscheme = "ed25519"\nheader = "x-sig"\nsecret = "public"\nsecretEncoding = "hex"\nsigned = ["header:x-t", "body"]',
        sent(x_t="1", x_sig=KEY.sign(b"1" + BODY).hex()),
    ),
]
CREDENTIALS = {
    "key": "s3cret",
    "user": "me",
    "webhook": SECRET,
    "public": KEY.public_key().public_bytes_raw().hex(),
}


@pytest.mark.parametrize(("verify", "right"), CASES)
def test_what_is_right_is_proven_and_every_change_of_it_is_not(
    build: Build, verify: str, right: InboundRequest
) -> None:
    named = {name: value for name, value in CREDENTIALS.items() if f'"{name}"' in verify or f":{name}" in verify}
    if 'secretEncoding = "hex"' in verify and "hmac" in verify:
        named["key"] = "aa11"
    provider = build(verify, named)
    assert provider.verify(right) is True
    wrong = [request(right.body, headers={name: f"{value[:-3]}x" for name, value in right.headers.items()})]
    wrong += [request(right.body), request(right.body, headers=dict.fromkeys(right.headers, ""))]
    wrong += [request(right.body, headers=dict.fromkeys(right.headers, "\udc80é"))]
    if not any(f'"{scheme}"' in verify for scheme in ("header", "bearer", "basic", "wsse")):
        wrong.append(request(right.body + b" ", headers=right.headers, path=right.path, query=right.query))
    for one in wrong:
        with pytest.raises(Refused) as refused:
            provider.verify(one)
        assert refused.value.status == 401


def test_any_one_proof_that_fits_is_enough_and_those_without_credentials_are_left_out(build: Build) -> None:
    both = HMAC + '[[verify]]\nscheme = "bearer"\nsecret = "token"'
    assert build(both, {"key": "s3cret", "token": "t"}).verify(sent(authorization="Bearer t"))
    with pytest.raises(Refused):
        build(both, {"key": "s3cret"}).verify(sent(authorization="Bearer t"))


def test_two_secrets_are_good_while_one_is_rotated(build: Build) -> None:
    provider = build(HMAC, {"key": "new", "keyPrevious": "s3cret"})
    assert provider.verify(sent(x_sig=digest("sha256", BODY).hex()))
    assert provider.verify(sent(x_sig=digest("sha256", BODY, b"new").hex()))


def test_a_standard_webhook_of_long_ago_is_refused(build: Build) -> None:
    provider = build('[[verify]]\nscheme = "standard-webhooks"\nsecret = "key"', {"key": SECRET})
    with pytest.raises(Refused):
        provider.verify(standard(at=int(NOW.timestamp()) - 301))


def test_without_credentials_a_provider_is_unsigned(build: Build) -> None:
    assert build(HMAC, {}).verify(sent()) is False
    with pytest.raises(Refused) as refused:
        build(HMAC, {}, signed=True)
    assert refused.value.errors[0].pointer == "/credentials/key"


def test_credentials_that_the_document_does_not_name_are_refused(build: Build) -> None:
    with pytest.raises(Refused) as refused:
        build(HMAC, {"kye": "x"})
    assert refused.value.errors[0].pointer == "/credentials/kye"


def test_a_secret_that_is_not_in_its_encoding_is_refused(build: Build) -> None:
    with pytest.raises(Refused) as refused:
        build(HMAC + 'secretEncoding = "hex"', {"key": "no hex"})
    assert refused.value.errors[0].pointer == "/credentials/key"
    assert "no hex" not in str(refused.value.errors)


def test_notifications_come_only_from_the_allowed_addresses(build: Build) -> None:
    with pytest.raises(Refused):
        build("", {}, allowedSources=["198.51.100.0/24"]).verify(sent())


def test_a_handshake_repeats_the_text_that_the_provider_wants_to_see(build: Build) -> None:
    challenge = request(None, query="challenge=abc")
    assert build('[handshake]\necho = "query:challenge"', {}).handshake(challenge).body == b"abc"
    assert build("", {}).handshake(challenge).body == b""


def test_a_notification_is_answered_as_the_document_says(build: Build) -> None:
    reply = build("[answer]\nbody = '{\"code\": 0}'", {}).reply(sent())
    assert (reply.status, reply.body, reply.content_type) == (200, b'{"code": 0}', "application/json")
    assert build("", {}).reply(sent()).body is None
    assert build("[answer]\nstatus = 204", {}).reply(sent()).body == b""

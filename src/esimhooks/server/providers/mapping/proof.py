"""How a notification proves where it comes from: the schemes of `[[verify]]`.

A compiled scheme with its secrets answers whether a request is proven. Everything is compared in constant time; the bytes
that are signed are those that came. The token in the inbound address is checked before, by the server.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from esimhooks import signing
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.providers.mapping.document import Verify

TOLERANCE_S = 300
PREVIOUS = "Previous"
"""Put behind a credential's name for the secret that is on its way out while it is rotated."""
_WSSE = re.compile(r'(\w+)="([^"]{0,500})"', re.ASCII)
_DEFAULT_HEADERS = {"basic": "authorization", "bearer": "authorization", "wsse": "x-wsse"}

Proof = Callable[[InboundRequest], bool]
Credentials = Mapping[str, str]


def names_of(verify: Verify) -> tuple[str, ...]:
    """Return the credentials without which this scheme proves nothing."""
    signed = [part.partition(":")[2] for part in verify.signed if part.startswith("credential:")]
    username = [verify.username] if verify.username else []
    return tuple(dict.fromkeys([*username, *([verify.secret] if verify.secret else []), *signed]))


def check(verify: Verify) -> None:
    """Raise `ValueError` with what was expected where the scheme lacks what it needs."""
    if verify.scheme != "md5-concat" and verify.secret is None:
        raise ValueError("expected `secret`: the name of a credential")
    if verify.scheme in ("hmac", "ed25519", "header", "md5-concat") and verify.header is None:
        raise ValueError("expected `header`: the name of the one that proves it")
    if verify.scheme in ("basic", "wsse") and verify.username is None:
        raise ValueError("expected `username`: the name of a credential")
    if verify.scheme == "md5-concat" and not names_of(verify):
        raise ValueError("expected `signed` with a credential:NAME: without a secret it proves nothing")
    for part in verify.signed:
        source, _, name = part.partition(":")
        if part not in ("body", "path") and not (source in ("text", "header", "query", "credential") and name):
            raise ValueError("expected in `signed` body, path, text:..., header:NAME, query:NAME or credential:NAME")


def compile_proof(verify: Verify, credentials: Credentials, clock: Clock) -> Proof:
    """Return what proves a request with these credentials, of which all that `names_of` has are there.

    Raises `ValueError` where a secret is not what the scheme takes.
    """
    header = (verify.header or _DEFAULT_HEADERS.get(verify.scheme, "")).lower()
    texts = _secrets(verify, credentials)
    if verify.scheme == "standard-webhooks":
        return _standard_webhooks(texts, clock)
    if verify.scheme == "md5-concat":
        return _digest(verify, header, credentials, lambda signed: hashlib.md5(signed, usedforsecurity=False).digest())
    return _any(_MAKERS[verify.scheme](verify, header, text, credentials) for text in texts)


def _secrets(verify: Verify, credentials: Credentials) -> Sequence[str]:
    if verify.secret is None:
        return []
    previous = credentials.get(f"{verify.secret}{PREVIOUS}")
    return [credentials[verify.secret], *([previous] if previous else [])]


def _bytes_of(text: str, encoding: str) -> bytes:
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        return base64.b64decode(text, validate=True) if encoding == "base64" else text.encode()
    except (ValueError, binascii.Error):
        raise ValueError(f"expected a secret in {encoding}") from None


def _any(proofs: Iterable[Proof]) -> Proof:
    every = tuple(proofs)
    return lambda request: any(proof(request) for proof in every)


def _signed(verify: Verify, request: InboundRequest, credentials: Credentials) -> bytes:
    return b"".join(_part(part, request, credentials) for part in verify.signed)


def _part(part: str, request: InboundRequest, credentials: Credentials) -> bytes:
    source, _, name = part.partition(":")
    match source:
        case "body":
            return request.body
        case "path":
            return request.path.encode("utf-8", "surrogatepass")
        case "header":
            return request.headers.get(name.lower(), "").encode("utf-8", "surrogatepass")
        case "query":
            pairs = dict(reversed(parse_qsl(request.query, keep_blank_values=True)))
            return pairs.get(name, "").encode("utf-8", "surrogatepass")
        case "credential":
            return credentials[name].encode()
        case _:
            return name.encode()


def _header_value(request: InboundRequest, header: str, prefix: str) -> bytes | None:
    """Return what the header holds behind the prefix, or None where there is no such header."""
    value = request.headers.get(header, "").strip()
    if not value or value[: len(prefix)].lower() != prefix.lower():
        return None
    return value[len(prefix) :].strip().encode("utf-8", "surrogatepass")


def _header(verify: Verify, header: str, text: str, credentials: Credentials) -> Proof:
    return _fixed(header, f"{verify.prefix}{text}")


def _bearer(verify: Verify, header: str, text: str, credentials: Credentials) -> Proof:
    return _authorization(header, "bearer", text)


def _basic(verify: Verify, header: str, text: str, credentials: Credentials) -> Proof:
    pair = f"{credentials[verify.username or '']}:{text}"
    return _authorization(header, "basic", base64.b64encode(pair.encode()).decode())


def _authorization(header: str, scheme: str, expected: str) -> Proof:
    """The scheme's name counts in any case (RFC 9110, 11.1)."""

    def proves(request: InboundRequest) -> bool:
        named, _, given = request.headers.get(header, "").partition(" ")
        proof = given.strip().encode("utf-8", "surrogatepass")
        return named.lower() == scheme and hmac.compare_digest(proof, expected.encode())

    return proves


def _fixed(header: str, expected: str) -> Proof:
    def proves(request: InboundRequest) -> bool:
        given = request.headers.get(header, "").encode("utf-8", "surrogatepass")
        return hmac.compare_digest(given, expected.encode())

    return proves


def _hmac(verify: Verify, header: str, text: str, credentials: Credentials) -> Proof:
    key = _bytes_of(text, verify.secret_encoding)
    return _digest(verify, header, credentials, lambda signed: hmac.digest(key, signed, verify.algorithm))


def _digest(verify: Verify, header: str, credentials: Credentials, digest_of: Callable[[bytes], bytes]) -> Proof:
    def proves(request: InboundRequest) -> bool:
        given = _header_value(request, header, verify.prefix)
        return given is not None and _is_encoded(
            digest_of(_signed(verify, request, credentials)), given, verify.encoding
        )

    return proves


def _is_encoded(digest: bytes, given: bytes, encoding: str) -> bool:
    if encoding == "base64":
        return hmac.compare_digest(given, base64.b64encode(digest))
    return hmac.compare_digest(given.lower(), digest.hex().encode())


def _ed25519(verify: Verify, header: str, text: str, credentials: Credentials) -> Proof:
    public = Ed25519PublicKey.from_public_bytes(_bytes_of(text, verify.secret_encoding))

    def proves(request: InboundRequest) -> bool:
        given = _header_value(request, header, verify.prefix)
        try:
            signature = _bytes_of((given or b"").decode(), verify.encoding)
            public.verify(signature, _signed(verify, request, credentials))
        except (InvalidSignature, ValueError):
            return False
        return True

    return proves


def _standard_webhooks(secrets: Sequence[str], clock: Clock) -> Proof:
    keys = [signing.verifying_key(secret) for secret in secrets]

    def proves(request: InboundRequest) -> bool:
        headers = request.headers
        message_id, sent_at = (
            headers.get(f"webhook-{name}") or headers.get(f"svix-{name}", "") for name in ("id", "timestamp")
        )
        given = headers.get("webhook-signature") or headers.get("svix-signature", "")
        if not (sent_at.isascii() and sent_at.isdigit() and len(sent_at) <= 12):
            return False
        if abs(clock().timestamp() - int(sent_at)) > TOLERANCE_S:
            return False
        message = message_id.encode("utf-8", "surrogatepass")
        return signing.is_signed(given, keys, signing.signed_bytes(message, sent_at.encode(), request.body))

    return proves


def _wsse(verify: Verify, header: str, text: str, credentials: Credentials) -> Proof:
    """UsernameToken: the digest is base64(hash(nonce + created + secret)), the nonce as text or as what it encodes."""
    username = credentials[verify.username or ""]

    def proves(request: InboundRequest) -> bool:
        members = dict(_WSSE.findall(request.headers.get(header, "")))
        nonce, created = members.get("Nonce", ""), members.get("Created", "")
        given = members.get("PasswordDigest", "").encode("utf-8", "surrogatepass")
        tail = f"{created}{text}".encode("utf-8", "surrogatepass")
        heads = [nonce.encode("utf-8", "surrogatepass"), *_decode(nonce)]
        digests = [base64.b64encode(hashlib.new(verify.algorithm, head + tail).digest()) for head in heads]
        named = hmac.compare_digest(
            members.get("Username", "").encode("utf-8", "surrogatepass"), username.encode("utf-8", "surrogatepass")
        )
        return bool(nonce) and named and any(hmac.compare_digest(given, digest) for digest in digests)

    return proves


def _decode(nonce: str) -> Sequence[bytes]:
    try:
        return [base64.b64decode(nonce, validate=True)]
    except (ValueError, binascii.Error):
        return []


_MAKERS: Mapping[str, Callable[[Verify, str, str, Credentials], Proof]] = {
    "hmac": _hmac,
    "ed25519": _ed25519,
    "header": _header,
    "bearer": _bearer,
    "basic": _basic,
    "wsse": _wsse,
}

"""Signing and verifying webhooks: Standard Webhooks 1.0 (`v1`, `v1a`) and the hex profile.

Secrets and raw bytes come in, header values or a verdict go out. No clock and no I/O: times are arguments.
`v1a` needs the package cryptography, which is imported when the first such key is read.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix is public
PRIVATE_KEY_PREFIX = "whsk_"
PUBLIC_KEY_PREFIX = "whpk_"
HEX_PREFIX = "sha256="
SECRET_BYTES = 32
MIN_SECRET_BYTES = 16
"""Standard Webhooks asks for 24 to 64 bytes, and some senders have fewer; less than this is no secret but a word."""

SEED_BYTES = 32
MAX_SIGNATURES = 64
"""More in one header are not looked at, so that a long header costs no time."""

Check = Callable[[bytes], bool]
"""Whether a signature is right; in constant time."""


class InvalidSecretError(ValueError):
    """A secret that is not `whsec_`, `whsk_` or `whpk_` and standard base64 of a key, or the wrong kind of these."""


class MissingExtraError(ImportError):
    """A part of the package that is not installed; the message says how to get it."""


class KeyPair(NamedTuple):
    """An Ed25519 key pair: `private_key` (`whsk_`) stays with the sender, receivers get `public_key` (`whpk_`)."""

    private_key: str
    public_key: str


class VerifyingKey(NamedTuple):
    """What one secret or public key of a receiver accepts: signatures of one version (`v1`, `v1a`)."""

    version: str
    check_of: Callable[[bytes], Check]
    """Takes the signed bytes."""


def new_secret() -> str:
    """Return a new secret: `whsec_` and the standard base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def new_key_pair() -> KeyPair:
    """Return a new Ed25519 key pair. Raises `MissingExtraError` without the extra `asymmetric`."""
    seed = secrets.token_bytes(SEED_BYTES)
    public = _raw_public_key(_ed25519(seed))
    return KeyPair(
        PRIVATE_KEY_PREFIX + base64.b64encode(seed + public).decode(),
        PUBLIC_KEY_PREFIX + base64.b64encode(public).decode(),
    )


def public_key_of(private_key: str) -> str:
    """Return the `whpk_` key that belongs to a `whsk_` key. Raises `InvalidSecretError`."""
    return PUBLIC_KEY_PREFIX + base64.b64encode(_raw_public_key(_private(private_key))).decode()


def key_of(secret: str) -> bytes:
    """Return the key inside a secret, with or without its prefix. Raises `InvalidSecretError`."""
    key = _decode(secret.removeprefix(SECRET_PREFIX))
    if key is None:
        raise InvalidSecretError("expected whsec_ and standard base64")
    if not key:
        raise InvalidSecretError("the secret is empty")
    return key


def padded(secret: str) -> str:
    """Return a secret with its base64's padding, which other senders may leave out, as their verifiers allow it."""
    return secret + "=" * (-len(secret.removeprefix(SECRET_PREFIX)) % 4)


def signature(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of `"{id}.{timestamp}.{body}"`; `timestamp` is Unix seconds.

    With a `whsec_` secret `v1,<base64 HMAC-SHA256>`, with a `whsk_` key `v1a,<base64 Ed25519>`.
    """
    signed = signed_bytes(message_id.encode(), b"%d" % timestamp, body)
    if secret.startswith(PRIVATE_KEY_PREFIX):
        return "v1a," + base64.b64encode(_private(secret).sign(signed)).decode()
    digest = hmac.digest(key_of(secret), signed, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def signature_header(secrets_newest_first: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return `webhook-signature`: one signature per secret, newest first, exactly one space between.

    The public verifiers raise on two spaces, so nothing but signatures and single spaces may stand there.
    """
    return " ".join(
        signature(secret, message_id=message_id, timestamp=timestamp, body=body) for secret in secrets_newest_first
    )


def hex_signature(secret: str | bytes, body: bytes) -> str:
    """Return `sha256=<hex HMAC-SHA256 of the body>`, the hex profile. The key is the text of the secret as it stands.

    Nothing but the body is signed, as with GitHub's `X-Hub-Signature-256`: ids and times must come from the body.
    """
    return HEX_PREFIX + hmac.digest(_text_key(secret), body, hashlib.sha256).hex()


def convoy_signature(secret: str, body: bytes) -> str:
    """Return Convoy's simple signature: the hex HMAC-SHA256 of the body. The key is what is inside the secret."""
    return hmac.digest(key_of(secret), body, hashlib.sha256).hex()


def convoy_advanced_signature(secrets_newest_first: Iterable[str], *, timestamp: int, body: bytes) -> str:
    """Return Convoy's advanced signature, `t=<timestamp>` and a `v1=<hex>` of each secret; `timestamp` is Unix seconds."""
    signed = b"%d,%s" % (timestamp, body)
    return ",".join([f"t={timestamp}", *(f"v1={convoy_signature(one, signed)}" for one in secrets_newest_first)])


def signed_bytes(message_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """Return what Standard Webhooks signs. Id and timestamp are the bytes of the headers."""
    return b"%s.%s.%s" % (message_id, timestamp, body)


def verifying_key(secret: str | bytes) -> VerifyingKey:
    """Return what a receiver's `whsec_` secret, `whpk_` public key or raw symmetric key (bytes) accepts.

    Raises `InvalidSecretError`, and `MissingExtraError` for `whpk_` without the extra `asymmetric`.
    """
    if isinstance(secret, str) and secret.startswith(PRIVATE_KEY_PREFIX):
        raise InvalidSecretError("a whsk_ key is the sender's own; a receiver needs the whpk_ key that belongs to it")
    if isinstance(secret, str) and secret.startswith(PUBLIC_KEY_PREFIX):
        return VerifyingKey("v1a", _public_check_of(secret))
    key = secret if isinstance(secret, bytes) else key_of(padded(secret))
    if not key:
        raise InvalidSecretError("the secret is empty")
    if isinstance(secret, str) and len(key) < MIN_SECRET_BYTES:
        raise InvalidSecretError(f"the secret has {len(key)} bytes, a whsec_ secret has 24 or more: was it cut off?")
    return VerifyingKey("v1", lambda signed: _equals(hmac.digest(key, signed, hashlib.sha256)))


def is_signed(header: str, keys: Iterable[VerifyingKey], signed: bytes) -> bool:
    """Whether one of the signatures in `webhook-signature` is right for one of the keys.

    Unknown versions and what is no signature at all are skipped.
    """
    checks = [(key.version, key.check_of(signed)) for key in keys]
    for token in header.split()[:MAX_SIGNATURES]:
        version, _, encoded = token.partition(",")
        given = _decode(encoded)
        if given and any(check(given) for known, check in checks if known == version):
            return True
    return False


def is_hex_signed(header: str, secrets_of_receiver: Iterable[str | bytes], body: bytes) -> bool:
    """Whether one of the signatures in the header, `sha256=<hex>` in any case, is right for one of the secrets."""
    expected = [hex_signature(secret, body).encode() for secret in secrets_of_receiver]
    tokens = [token.lower().encode() for token in header.replace(",", " ").split()[:MAX_SIGNATURES]]
    return any(hmac.compare_digest(one, token) for one in expected for token in tokens)


def _equals(expected: bytes) -> Check:
    return lambda given: hmac.compare_digest(expected, given)


def _text_key(secret: str | bytes) -> bytes:
    key = secret if isinstance(secret, bytes) else secret.encode()
    if not key:
        raise InvalidSecretError("the secret is empty")
    return key


def _decode(text: str) -> bytes | None:
    """Return what standard base64 holds, None where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _private(secret: str) -> "Ed25519PrivateKey":
    raw = _decode(secret.removeprefix(PRIVATE_KEY_PREFIX))
    if raw is None or len(raw) not in {SEED_BYTES, 2 * SEED_BYTES}:
        raise InvalidSecretError("expected whsk_ and standard base64 of 32 (seed) or 64 bytes (seed and public key)")
    key = _ed25519(raw[:SEED_BYTES])
    if raw[SEED_BYTES:] not in {b"", _raw_public_key(key)}:
        raise InvalidSecretError("the two halves of the whsk_ key do not belong together")
    return key


def _ed25519(seed: bytes) -> "Ed25519PrivateKey":
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - optional
    except ImportError as error:
        raise _missing() from error
    return Ed25519PrivateKey.from_private_bytes(seed)


def _raw_public_key(key: "Ed25519PrivateKey") -> bytes:
    return key.public_key().public_bytes_raw()


def _public_check_of(public_key: str) -> Callable[[bytes], Check]:
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - optional
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ImportError as error:
        raise _missing() from error
    raw = _decode(public_key.removeprefix(PUBLIC_KEY_PREFIX))
    if raw is None or len(raw) != SEED_BYTES:
        raise InvalidSecretError("expected whpk_ and standard base64 of 32 bytes")
    key = Ed25519PublicKey.from_public_bytes(raw)

    def check_of(signed: bytes) -> Check:
        def check(given: bytes) -> bool:
            try:
                key.verify(given, signed)
            except InvalidSignature:
                return False
            return True

        return check

    return check_of


def _missing() -> MissingExtraError:
    return MissingExtraError("v1a signatures need the package cryptography: pip install 'esimhooks[asymmetric]'")

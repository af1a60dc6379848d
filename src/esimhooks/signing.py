"""Signing and verifying webhooks by Standard Webhooks 1.0.

Secrets and raw bytes come in, header values go out. No clock and no I/O: the time of signing is an argument.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix is public
SECRET_BYTES = 32


class InvalidSecretError(ValueError):
    """A secret that is not `whsec_` and standard base64."""


def new_secret() -> str:
    """Return a new secret: `whsec_` and the standard base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the key inside a secret, with or without its prefix. Raises `InvalidSecretError`."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidSecretError("expected whsec_ and standard base64") from error
    if not key:
        raise InvalidSecretError("the secret is empty")
    return key


def signature(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return `v1,<base64 HMAC-SHA256 of "{id}.{timestamp}.{body}">`; `timestamp` is Unix seconds."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    digest = hmac.digest(key_of(secret), signed, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def signature_header(secrets_newest_first: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return `webhook-signature`: one signature per secret, newest first, exactly one space between.

    The public verifiers raise on two spaces, so nothing but signatures and single spaces may stand there.
    """
    return " ".join(
        signature(secret, message_id=message_id, timestamp=timestamp, body=body) for secret in secrets_newest_first
    )

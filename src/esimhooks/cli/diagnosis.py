"""Why a request does not verify: body, headers and secret come in, the part that is wrong goes out. Pure.

Where no signature matches, the mistakes that people make are tried one by one: the one that makes it match is the cause.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from esimhooks.signing import (
    PRIVATE_KEY_PREFIX,
    PUBLIC_KEY_PREFIX,
    SECRET_PREFIX,
    InvalidSecretError,
    is_signed,
    key_of,
    padded,
    verifying_key,
)

TOLERANCE_S = 300


class Part(StrEnum):
    """What is wrong with a request."""

    NOTHING = "nothing"
    SECRET = "secret"  # noqa: S105 - a word
    TIMESTAMP = "timestamp"
    BODY = "body"
    HEADER = "header"
    SECRET_OR_BODY = "secret or body"  # noqa: S105 - a word


class Diagnosis(Struct, frozen=True):
    """The part that is wrong, and how that is known."""

    part: Part
    why: str


def diagnose(body: bytes, headers: Mapping[str, str], *, secret: str, now: float) -> Diagnosis:
    """Return what is wrong; header names are in lower case, `now` is Unix seconds.

    Headers and secret may have the forms that `Webhook` takes: names of Svix, white space around, no padding.
    """
    prefix = "svix-" if headers.get("svix-signature") and not headers.get("webhook-signature") else "webhook-"
    for name in ("id", "timestamp", "signature"):
        if not headers.get(prefix + name):
            return Diagnosis(Part.HEADER, f"{prefix}{name} is missing")
    identity, stamp, header = (headers[prefix + name] for name in ("id", "timestamp", "signature"))
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 13):
        return Diagnosis(Part.TIMESTAMP, f"{prefix}timestamp is not whole Unix seconds")
    secret = secret.strip().removeprefix("\ufeff")
    asymmetric = secret.startswith((PUBLIC_KEY_PREFIX, PRIVATE_KEY_PREFIX))
    by_key = _by_public_key if asymmetric else _by_secret
    return by_key(body, header, secret, identity=identity, stamp=stamp, now=now)


def _by_secret(body: bytes, header: str, secret: str, *, identity: str, stamp: str, now: float) -> Diagnosis:
    try:
        key = key_of(padded(secret))
    except InvalidSecretError as error:
        return Diagnosis(Part.SECRET, str(error))
    codes = [code for version, _, code in (one.partition(",") for one in header.split()) if version == "v1" and code]
    if not codes:
        return Diagnosis(Part.HEADER, "the signature has no part that starts with v1 and a comma")
    if _matches(codes, key, f"{identity}.{stamp}.".encode() + body):
        return _in_time(now - int(stamp))
    return _cause(codes, key=key, secret=secret, identity=identity, stamp=stamp, body=body)


def _by_public_key(body: bytes, header: str, key: str, *, identity: str, stamp: str, now: float) -> Diagnosis:
    start = f"{identity}.{stamp}.".encode()
    try:
        keys = [verifying_key(key)]
    except InvalidSecretError as error:
        return Diagnosis(Part.SECRET, str(error))
    if not any(one.startswith("v1a,") for one in header.split()):
        return Diagnosis(Part.HEADER, "the signature has no part that starts with v1a and a comma")
    if is_signed(header, keys, start + body):
        return _in_time(now - int(stamp))
    for how, other in _other_bodies(body):
        if is_signed(header, keys, start + other):
            return Diagnosis(Part.BODY, f"a signature matches the body {how}: use the raw bytes")
    return Diagnosis(Part.SECRET_OR_BODY, "no signature matches: another endpoint's key, or a changed body or header")


def _in_time(late_s: float) -> Diagnosis:
    if abs(late_s) <= TOLERANCE_S:
        return Diagnosis(Part.NOTHING, "a signature matches and the timestamp is within 300 s")
    side = "ago" if late_s > 0 else "ahead of this clock"
    return Diagnosis(
        Part.TIMESTAMP, f"a signature matches, but its timestamp is {abs(late_s):.0f} s {side}; 300 s are allowed"
    )


def _cause(codes: list[str], *, key: bytes, secret: str, identity: str, stamp: str, body: bytes) -> Diagnosis:
    start = f"{identity}.{stamp}.".encode()
    for how, other in _other_bodies(body):
        if _matches(codes, key, start + other):
            return Diagnosis(Part.BODY, f"a signature matches the body {how}: use the raw bytes")
    for how, other in _other_keys(secret):
        if _matches(codes, other, start + body):
            return Diagnosis(Part.SECRET, f"a signature matches if {how}: the key is the decoded base64 after whsec_")
    for timestamp in (stamp[:-3], stamp + "000"):
        if _matches(codes, key, f"{identity}.{timestamp}.".encode() + body):
            return Diagnosis(Part.TIMESTAMP, "a signature matches the timestamp in another unit: use seconds")
    if hmac.digest(key, start + body, hashlib.sha256).hex() in codes:
        return Diagnosis(Part.HEADER, "the signature is right, but in hex: use standard base64")
    if _matches(codes, key, body):
        return Diagnosis(Part.HEADER, 'only the body was signed: it is "{id}.{timestamp}.{body}"')
    return Diagnosis(
        Part.SECRET_OR_BODY,
        "no signature matches, and no common mistake explains it: another endpoint's secret, or a changed body or header",
    )


def _matches(codes: list[str], key: bytes, signed: bytes) -> bool:
    right = base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    return any(hmac.compare_digest(right, code.encode()) for code in codes)


def _other_bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    yield "without the line break at its end", body.rstrip(b"\r\n")
    yield "with a line break at its end", body + b"\n"
    yield "with other line breaks", body.replace(b"\r\n", b"\n")
    yield "without a byte order mark", body.removeprefix(b"\xef\xbb\xbf")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    for ascii_only in (False, True):
        yield "serialised compactly", json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode()
        yield "serialised with spaces", json.dumps(value, ensure_ascii=ascii_only).encode()
        yield "serialised with indentation", json.dumps(value, indent=2, ensure_ascii=ascii_only).encode()


def _other_keys(secret: str) -> Iterator[tuple[str, bytes]]:
    bare = secret.removeprefix(SECRET_PREFIX)
    yield "the secret is used as text, prefix included", secret.encode()
    yield "the secret is used as text without its prefix", bare.encode()
    try:
        yield "the secret is read as hex", bytes.fromhex(bare)
    except (ValueError, binascii.Error):
        return

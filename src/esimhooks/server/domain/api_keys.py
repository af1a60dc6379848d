"""API keys as text: `esim_live_`, `esim_test_` or `esim_admin_`, 32 random bytes in base62, and a checksum.

The checksum lets a scanner of leaked secrets tell a key offline. A key is stored as its digest and found by the first
characters of its random part.
"""

import hashlib
import secrets
import zlib

from esimhooks.vocabulary.statuses import Mode

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHARACTERS = frozenset(ALPHABET)
RANDOM_BYTES = 32
RANDOM_CHARACTERS = 43
CHECKSUM_CHARACTERS = 6
LOOKUP_CHARACTERS = 12
ADMIN = "admin"


def new_key(kind: Mode | None) -> str:
    """Return a new key of an account's mode, or of an operator where `kind` is None."""
    prefix = f"esim_{kind.value if kind else ADMIN}_"
    random_part = _base62(int.from_bytes(secrets.token_bytes(RANDOM_BYTES)), RANDOM_CHARACTERS)
    return prefix + random_part + _checksum(prefix + random_part)


def well_formed(key: str) -> bool:
    """Return whether the text has the form of a key and its checksum fits."""
    head, _, rest = key.rpartition("_")
    if head not in ("esim_live", "esim_test", "esim_admin") or len(rest) != RANDOM_CHARACTERS + CHECKSUM_CHARACTERS:
        return False
    if not set(rest) <= CHARACTERS:
        return False
    return key[-CHECKSUM_CHARACTERS:] == _checksum(key[:-CHECKSUM_CHARACTERS])


def lookup_of(key: str) -> str:
    """Return the public part by which a key is found: its prefix and the first of its random characters."""
    head, _, rest = key.rpartition("_")
    return f"{head}_{rest[:LOOKUP_CHARACTERS]}"


def digest_of(key: str) -> bytes:
    """Return the SHA-256 of the key, which is all that is stored of its secret part."""
    return hashlib.sha256(key.encode()).digest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), CHECKSUM_CHARACTERS)


def _base62(number: int, width: int) -> str:
    digits = []
    while number:
        number, rest = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[rest])
    return "".join(reversed(digits)).rjust(width, ALPHABET[0])

"""Encryption: secrets and credentials as they lie in the database.

Clear bytes and the identity of their row come in, AES-256-GCM goes out. An encrypted value moved to another row cannot
be decrypted. Several keys, newest first, so that a key can be replaced while the server runs.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import asyncpg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from esimhooks.server.domain.errors import Broken, Undecryptable
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.observe.log import get_logger

Row = TypeVar("Row")

log = get_logger("store")

KEY_BYTES = 32
FORMAT = b"\x01"
KEY_ID_BYTES = 4
NONCE_BYTES = 12


def new_key() -> str:
    """Return a new key for `ESIMHOOKS_ENCRYPTION_KEY`: the standard base64 of 32 random bytes."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


class Cipher:
    """Encrypts with the first of its keys and decrypts with any. Raises `Broken` for a key that is not 32 bytes of base64."""

    def __init__(self, keys: Sequence[str]) -> None:
        ciphers = [(_key_id(key), AESGCM(key)) for key in map(_decode_key, keys)]
        if not ciphers:
            raise Broken("ESIMHOOKS_ENCRYPTION_KEY: expected at least one key")
        self._newest = ciphers[0]
        self._ciphers = dict(ciphers)

    @property
    def key_id(self) -> bytes:
        """The name of the newest key, which reveals nothing of it."""
        return self._newest[0]

    @property
    def head(self) -> bytes:
        """The first bytes of everything that the newest key has encrypted."""
        return FORMAT + self.key_id

    def encrypt(self, clear: bytes, *, row: str) -> bytes:
        """Return the encrypted bytes; `row` is table, column and id, and must be the same to decrypt."""
        _, cipher = self._newest
        nonce = os.urandom(NONCE_BYTES)
        return self.head + nonce + cipher.encrypt(nonce, clear, row.encode())

    def decrypt(self, encrypted: bytes, *, row: str) -> bytes:
        """Return the clear bytes. Raises `Undecryptable` where no key fits or the value belongs to another row."""
        head = len(FORMAT) + KEY_ID_BYTES
        if not encrypted.startswith(FORMAT) or len(encrypted) < head + NONCE_BYTES:
            raise Undecryptable(f"{row} cannot be decrypted: it is not what this program encrypts")
        cipher = self._ciphers.get(encrypted[len(FORMAT) : head])
        if cipher is None:
            raise Undecryptable(f"{row} is encrypted with a key that ESIMHOOKS_ENCRYPTION_KEY does not hold")
        nonce, body = encrypted[head : head + NONCE_BYTES], encrypted[head + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, body, row.encode())
        except InvalidTag:
            raise Undecryptable(f"{row} cannot be decrypted: it was changed, or moved here from another row") from None


def readable(
    rows: Iterable[asyncpg.Record],
    read: Callable[[asyncpg.Record], Row],
    instead: Callable[[asyncpg.Record], Unreadable],
) -> list[Row | Unreadable]:
    """Read the rows of a list; where one cannot be decrypted, that is logged, and `instead` stands in its place."""
    listed: list[Row | Unreadable] = []
    for row in rows:
        try:
            listed.append(read(row))
        except Undecryptable as error:
            unreadable = instead(row)
            log.error("row.unreadable", row=unreadable.name, reason=str(error))  # noqa: TRY400 - there is no more to say
            listed.append(unreadable)
    return listed


def _decode_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Broken("ESIMHOOKS_ENCRYPTION_KEY: expected standard base64 of 32 bytes for each key")
    return key


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"esimhooks key id" + key).digest()[:KEY_ID_BYTES]

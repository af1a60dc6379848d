"""Accounts with their quotas, their API keys, and the dashboard sessions that a key begins. Pure but for new keys.

A key is `esim_live_`, `esim_test_` or `esim_admin_`, 32 random bytes in base62, and a checksum by which a scanner of leaked
secrets recognises a key offline. It is stored as its digest and found by the first characters of its random part.
"""

import hashlib
import secrets
import zlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import FieldError, Refused
from esimhooks.server.domain.roles import Role
from esimhooks.vocabulary.statuses import Mode

CODE = "QUOTA_EXCEEDED"
MAX_QUOTA = 100_000
"""What no quota is above."""
BURST_S = 2
"""How many seconds' worth of what is limited by the second may be done at once."""


class Rate(StrEnum):
    """What is limited by the second, as the API names it."""

    TEST_EVENTS = "testEventsPerSecond"
    RESENDS = "resendsPerSecond"


class Quotas(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The quotas of one account. Only those that an operator has changed are stored.

    `endpoint_header_bytes` are those of the custom headers of all its endpoints, names and values.
    """

    endpoints: int = 50
    endpoint_header_bytes: int = 8_192
    recoveries: int = 4
    recoveries_per_endpoint: int = 1
    test_events_per_second: int = 10
    resends_per_second: int = 20

    def per_second(self, rate: Rate) -> int:
        """Return the quota of that rate."""
        return self.test_events_per_second if rate is Rate.TEST_EVENTS else self.resends_per_second


class Usage(Struct, frozen=True, kw_only=True):
    """What an account has now of what is limited by number."""

    endpoints: int
    endpoint_header_bytes: int
    recoveries: int


def header_bytes(headers: Mapping[str, str]) -> int:
    """Return how much custom headers count."""
    return sum(len(name) + len(value) for name, value in headers.items())


def too_many(name: str, limit: int, detail: str) -> Refused:
    """Return the refusal (409) of what would be more than the quota of that name."""
    error = FieldError(f"quota:{name}", f"expected at most {limit}")
    return Refused(f"{detail}, or ask the operator for more", status=409, code=CODE, errors=(error,))


def too_fast(rate: Rate, limit: int, *, retry_after_s: float) -> Refused:
    """Return the refusal (429) of what would be faster than the quota."""
    refused = Refused.too_many(
        f"the account's quota {rate.value} of {limit} is used up", code=CODE, retry_after_s=retry_after_s
    )
    refused.errors = (FieldError(f"quota:{rate.value}", f"expected at most {limit} a second"),)
    return refused


OPERATOR = Tenant(UUID(int=0), Mode.LIVE)
"""The operator's own account, there where operational events are wanted; its endpoint has the same id."""


class Account(Struct, frozen=True, kw_only=True):
    """A merchant. Times are aware UTC; `frozen_at` is since when it is being moved to another installation."""

    id: UUID
    name: str
    created_at: datetime
    updated_at: datetime
    quotas: Quotas = Quotas()
    frozen_at: datetime | None = None


class ApiKey(Struct, frozen=True, kw_only=True):
    """One key. `tenant` None is an operator's key; `digest` is the SHA-256 of the whole key."""

    id: UUID
    tenant: Tenant | None
    role: Role
    name: str
    lookup: str
    digest: bytes
    endpoint_id: UUID | None
    allowed_ips: tuple[str, ...] | None
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None


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


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of a key or token, which is all that is stored of its secret part."""
    return hashlib.sha256(secret.encode()).digest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), CHECKSUM_CHARACTERS)


def _base62(number: int, width: int) -> str:
    digits = []
    while number:
        number, rest = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[rest])
    return "".join(reversed(digits)).rjust(width, ALPHABET[0])


class DashboardSession(Struct, frozen=True):
    """Whose session it is: a key by its public part, or the first admin key by its digest."""

    lookup: str | None
    admin_digest: bytes | None

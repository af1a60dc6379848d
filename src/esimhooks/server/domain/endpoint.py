"""An endpoint: a merchant's URL and how it wants to be called."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from esimhooks.vocabulary.statuses import Mode


class DisabledReason(StrEnum):
    """Why an endpoint gets nothing at the moment."""

    GONE = "gone"
    FAILING = "failing"
    MANUAL = "manual"


class Ordering(StrEnum):
    """Whether an endpoint's deliveries wait for each other."""

    NONE = "none"
    ESIM = "esim"
    """At most one in flight per eSIM; the next only after the one before is finished for good."""


class SignatureProfile(StrEnum):
    """What an endpoint's requests carry beside the `v1` signature and the headers of Standard Webhooks."""

    STANDARD = "standard"
    ASYMMETRIC = "standard-asymmetric"
    """A `v1a` signature as well (Ed25519): who checks it cannot sign."""
    HEX = "hex"
    """`X-<Brand>-Signature: sha256=<hex HMAC-SHA256 of the body>`, with `-Event`, `-Event-Id` and `-Timestamp`."""


class Tenant(Struct, frozen=True):
    """Whose rows: an account and a mode. Every query on a tenant's rows takes one."""

    account_id: UUID
    mode: Mode


class Endpoint(Struct, frozen=True, kw_only=True):
    """One endpoint as it is stored. `event_types` None means all; `timeout_s` is seconds.

    `rate_limit` is requests a second, None for none; `headers` are its own, sent with every request; `ca_pem` are
    authorities (PEM) trusted beside the system's. `redact_credentials` leaves activation codes and QR addresses out.
    """

    id: UUID
    tenant: Tenant
    url: str
    name: str | None
    event_types: tuple[str, ...] | None
    retry_schedule: tuple[int, ...]
    timeout_s: float
    max_in_flight: int
    rate_limit: int | None = None
    ordering: Ordering = Ordering.NONE
    headers: tuple[tuple[str, str], ...] = ()
    ca_pem: str | None = None
    signature_profile: SignatureProfile = SignatureProfile.STANDARD
    redact_credentials: bool = False
    enabled: bool
    disabled_reason: DisabledReason | None
    created_at: datetime
    updated_at: datetime

"""Deliveries and attempts: the states they have and what one HTTP exchange came to.

A delivery that was claimed again and again without an outcome may be what ends the process. Claims are counted when a
delivery is claimed and cleared when it has an outcome, so what is left over are crashes. A suspect is begun only while no
other suspect is, and only then counted, so that a crash blames one delivery.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import EndpointConfig, Tenant
from esimhooks.server.domain.event import AnyEventType
from esimhooks.vocabulary.events import EventType

SUSPECT_AT = 2
POISON_AT = 5

POISON = (
    f"taken up {POISON_AT} times without an outcome, so it is no longer sent: it may be what made this server fail. "
    "Sending it again starts from the beginning"
)


class DeliveryStatus(StrEnum):
    """State of one event for one endpoint. All but `pending` are final until a person sends it again."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


class OutcomeClass(StrEnum):
    """What one attempt came to, in one word."""

    OK = "2xx"
    REDIRECT = "3xx"
    CLIENT_ERROR = "4xx"
    GONE = "410"
    TOO_MANY = "429"
    SERVER_ERROR = "5xx"
    TIMEOUT = "timeout"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    BLOCKED = "blocked"
    INTERNAL = "internal"
    """A fault in this server; it does not use up an attempt."""


class Outcome(Struct, frozen=True, kw_only=True):
    """One HTTP exchange, or the lack of one. Never carries internal addresses in `error`."""

    outcome: OutcomeClass
    started_at: datetime
    duration_ms: int
    status_code: int | None = None
    error: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of the answer, cut."""
    body: bytes = b""
    """First 16 KiB of the answer's body, as it came."""
    dialled: str | None = None
    """The address and port that was dialled."""
    retry_after_s: float | None = None
    """Seconds that a 429 or 503 asked to wait, not negative."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What follows from an outcome. `delay_s` is given exactly where the delivery stays pending."""

    status: DeliveryStatus
    delay_s: float | None = None
    counts: bool = True
    """Whether the attempt counts against the schedule."""
    endpoint_gone: bool = False


class EndpointTarget(EndpointConfig, frozen=True, kw_only=True):
    """What sending to an endpoint needs: its configuration, and the secrets that sign, newest first."""

    id: UUID
    secrets: tuple["SigningSecret", ...]
    version: int


class SigningSecret(Struct, frozen=True, kw_only=True):
    """A secret as `whsec_...` or a private key as `whsk_...`, valid for signing until `expires_at` (None = for good)."""

    secret: str
    expires_at: datetime | None = None


class Claimed(Struct, frozen=True, kw_only=True):
    """A delivery that the leaseholder of a lane has claimed.

    `attempts` counts all attempts so far, `attempts_this_round` those since it was last sent again: the position in the
    schedule. `claims` counts how often it was claimed before and had no outcome, on top of `attempts`. `ordered` means
    that others of its eSIM wait for it. `faults` counts the faults in this server since the last attempt that counts. `position`
    is that in the queue, another one each time it is sent again.
    """

    delivery_id: UUID
    account_id: UUID
    endpoint_id: UUID
    endpoint_version: int
    event_id: UUID
    event_type: str
    attempts: int
    attempts_this_round: int
    claims: int
    ordered: bool
    lease_token: int
    position: int
    faults: int = 0


def is_suspect(claimed: Claimed) -> bool:
    """Return whether it was claimed without an outcome before, so that it must be tried alone."""
    return claimed.claims - claimed.attempts >= SUSPECT_AT


def is_poison(claimed: Claimed) -> bool:
    """Return whether it must not be tried any more."""
    return claimed.claims - claimed.attempts >= POISON_AT


class Delivery(Struct, frozen=True, kw_only=True):
    """One event for one endpoint; times are aware UTC.

    `next_attempt_at` is given while it is pending and does not wait behind another of its eSIM. `ordered` tells a new
    delivery to wait until those of the same eSIM before it are finished. `outcome` and `status_code` are those of the
    last attempt.
    """

    id: UUID
    tenant: Tenant
    event_id: UUID
    event_type: AnyEventType
    esim_id: UUID | None
    endpoint_id: UUID
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    next_attempt_at: datetime | None = None
    finished_at: datetime | None = None
    ordered: bool = False
    outcome: OutcomeClass | None = None
    status_code: int | None = None

    @property
    def retrying(self) -> bool:
        """Whether its last attempt failed and the next one is to come."""
        return self.status is DeliveryStatus.PENDING and self.outcome not in (None, OutcomeClass.OK)


class Attempt(Struct, frozen=True, kw_only=True):
    """One HTTP exchange of a delivery. `unreadable` where the receiver's answer cannot be decrypted, and is left out."""

    id: UUID
    number: int
    started_at: datetime
    duration_ms: int
    outcome: OutcomeClass
    status_code: int | None
    error: str | None
    response_headers: list[tuple[str, str]]
    response_body: bytes
    dialled: str | None
    unreadable: bool = False


class DeliveryFilter(Struct, frozen=True, kw_only=True):
    """What a list of deliveries may be narrowed to; None means any. `first_id` and `last_id` bound the time."""

    endpoint_id: UUID | None = None
    event_id: UUID | None = None
    event_type: EventType | None = None
    esim_id: UUID | None = None
    status: DeliveryStatus | None = None
    status_code: int | None = None
    outcome: OutcomeClass | None = None
    failed: bool | None = None
    """Whether any attempt has failed, whatever came of it later."""
    first_id: UUID | None = None
    last_id: UUID | None = None

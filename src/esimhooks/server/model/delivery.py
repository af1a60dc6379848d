"""Deliveries and attempts: the states they have and what one HTTP exchange came to."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct


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
    """A fault of ours; it does not use up an attempt."""


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


class EndpointTarget(Struct, frozen=True, kw_only=True):
    """What sending to an endpoint needs: where to, how signed, how patiently. Secrets are newest first."""

    id: UUID
    url: str
    secrets: tuple["SigningSecret", ...]
    schedule: tuple[int, ...]
    timeout_s: float
    max_in_flight: int
    version: int


class SigningSecret(Struct, frozen=True, kw_only=True):
    """A secret as `whsec_...`, valid for signing until `expires_at` (None = for good)."""

    secret: str
    expires_at: datetime | None = None


class Claimed(Struct, frozen=True, kw_only=True):
    """A delivery that a dispatcher has taken up: its event's bytes and how often it was tried."""

    delivery_id: UUID
    endpoint_id: UUID
    event_id: UUID
    event_type: str
    body: bytes
    attempts: int
    """Attempts that counted so far."""
    lease_token: int

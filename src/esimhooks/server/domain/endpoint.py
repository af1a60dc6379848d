"""An endpoint: a merchant's URL and how it wants to be called."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, field, structs

from esimhooks.server.domain.expression import MAX_CHARACTERS
from esimhooks.server.domain.schedule import MAX_ATTEMPTS
from esimhooks.server.domain.validation import PRINTABLE, Name, Text, Url
from esimhooks.vocabulary.statuses import Mode

MAX_DELAY_S = 604_800
MAX_RATE = 10_000
"""Requests a second that a rate limit may allow at most."""
MAX_PEM = 16_384


FilterText = Annotated[str, Meta(min_length=1, max_length=MAX_CHARACTERS, pattern=PRINTABLE)]


class DisabledReason(StrEnum):
    """Why an endpoint gets nothing now."""

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
    SVIX = "svix"
    """`svix-id`, `svix-timestamp` and `svix-signature` as well, for receivers that were written for Svix."""
    CONVOY = "convoy"
    """`X-Convoy-Signature: <hex HMAC-SHA256 of the body>` as well, for receivers of Convoy's simple signatures."""
    CONVOY_ADVANCED = "convoy-advanced"
    """`X-Convoy-Signature: t=<time>,v1=<hex>` as well, for receivers of Convoy's advanced signatures."""


class Tenant(Struct, frozen=True):
    """Whose rows: an account and a mode. Every query on a tenant's rows takes one."""

    account_id: UUID
    mode: Mode

    def __iter__(self) -> Iterator[UUID | Mode]:
        """Yield both, as `*tenant` for the parameters of a statement."""
        yield self.account_id
        yield self.mode


class EndpointConfig(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """The configuration of an endpoint.

    `eventTypes` null means all eSIM events, and `filter` (JMESPath) must also match. `retrySchedule` is the seconds before each
    attempt, `timeout` the seconds to answer. `maxInFlight` limits concurrent requests, `rateLimit` requests per second over all
    nodes. With `ordering` "esim", events of one eSIM are delivered in order. `headers` are sent with every request.
    `signatureProfile` adds signatures to the standard one. `redactCredentials` leaves out activation codes and QR URLs.
    `caCertificate` has up to five CA certificates (PEM) to trust in addition to the system's.
    """

    url: Url
    name: Name | None = None
    event_types: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=20)] | None = None
    filter: FilterText | None = None
    retry_schedule: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=MAX_DELAY_S)], ...], Meta(min_length=1, max_length=MAX_ATTEMPTS)
    ]
    timeout_s: Annotated[float, Meta(ge=1, le=30)] = field(name="timeout")
    max_in_flight: Annotated[int, Meta(ge=1, le=200)]
    rate_limit: Annotated[int, Meta(ge=1, le=MAX_RATE)] | None = None
    ordering: Ordering = Ordering.NONE
    headers: dict[str, str] = {}
    signature_profile: SignatureProfile = SignatureProfile.STANDARD
    redact_credentials: bool = False
    ca_pem: Annotated[str, Meta(min_length=1, max_length=MAX_PEM)] | None = field(default=None, name="caCertificate")


CONFIG = structs.fields(EndpointConfig)
"""The members of a configuration: names of attributes, of columns, and as they are encoded."""


class Endpoint(EndpointConfig, frozen=True, kw_only=True):
    """One endpoint as it is stored."""

    id: UUID
    tenant: Tenant
    enabled: bool
    disabled_reason: DisabledReason | None
    paused: bool = False
    """Nothing is sent, while new events are queued for it."""
    switched_at: datetime | None = None
    """When it was last enabled, disabled, paused or resumed."""
    created_at: datetime
    updated_at: datetime


def configuration(endpoint: EndpointConfig) -> dict[str, object]:
    """Return what an endpoint is configured with, by the names of attributes."""
    return {one.name: getattr(endpoint, one.name) for one in CONFIG}


REDACTED = "\u2026"
"""Stands for the value of a header that is not shown."""


def without_header_values(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint as it is shown to who may see no secrets: a header of its own may be a password."""
    return structs.replace(endpoint, headers=dict.fromkeys(endpoint.headers, REDACTED))

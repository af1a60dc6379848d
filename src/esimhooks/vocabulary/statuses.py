"""The statuses that an eSIM and its profile can have, the mode of a row and the reasons of an event.

Pure words: nothing comes in, nothing is decided here. The rules that use them are in `server/domain`.
"""

from enum import StrEnum


class EsimStatus(StrEnum):
    """Business status of an eSIM, `esimStatus` on the wire (events guide, "eSIM Status Values")."""

    PENDING = "PENDING"
    CREATED = "CREATED"
    ACTIVATED = "ACTIVATED"
    IN_USE = "IN_USE"
    SUSPENDED = "SUSPENDED"
    CANCEL = "CANCEL"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    USED_UP = "USED_UP"
    USED_EXPIRED = "USED_EXPIRED"
    UNUSED_EXPIRED = "UNUSED_EXPIRED"
    FAILED = "FAILED"


ESIM_STATUSES: dict[EsimStatus, str] = {
    EsimStatus.PENDING: "ordered, not yet provided",
    EsimStatus.CREATED: "provided, ready to be installed",
    EsimStatus.ACTIVATED: "activated on a device",
    EsimStatus.IN_USE: "in use; same meaning as `ACTIVATED`",
    EsimStatus.SUSPENDED: "suspended for now",
    EsimStatus.CANCEL: "order cancelled or refunded",
    EsimStatus.REVOKED: "profile revoked",
    EsimStatus.EXPIRED: "validity ended",
    EsimStatus.USED_UP: "data used up; a top-up makes it usable again",
    EsimStatus.USED_EXPIRED: "data used up and validity ended",
    EsimStatus.UNUSED_EXPIRED: "validity ended with data left",
    EsimStatus.FAILED: "order failed",
}
"""What each status means (events guide, "eSIM Status Values")."""


class SmdpStatus(StrEnum):
    """Status of the profile at the SM-DP+ and on the device, `smdpStatus` on the wire (events guide)."""

    RELEASED = "RELEASED"
    DOWNLOADED = "DOWNLOADED"
    INSTALLED = "INSTALLED"
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DELETED = "DELETED"


SMDP_STATUSES: dict[SmdpStatus, str] = {
    SmdpStatus.RELEASED: "ready to be downloaded",
    SmdpStatus.DOWNLOADED: "downloaded to a device",
    SmdpStatus.INSTALLED: "installed",
    SmdpStatus.ENABLED: "enabled",
    SmdpStatus.DISABLED: "disabled",
    SmdpStatus.DELETED: "deleted from the device",
}
"""What each status means (events guide, "SMDP Status Values")."""


class PlanState(StrEnum):
    """State of one plan of an eSIM, `plans[].state` on the wire."""

    QUEUED = "queued"
    ACTIVE = "active"
    DEPLETED = "depleted"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Mode(StrEnum):
    """Whether a row is real business or a test. The two never meet."""

    LIVE = "live"
    TEST = "test"


class Reason(StrEnum):
    """Why an eSIM was suspended or expired, unless the operator gave a text of its own."""

    SUSPENDED = "suspended"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    REFUNDED = "refunded"
    REPLACED = "replaced"
    VALIDITY_ENDED = "validity_ended"
    DATA_USED_UP = "data_used_up"
    DATA_USED_AND_VALIDITY_ENDED = "data_used_and_validity_ended"
    UNUSED_DATA_EXPIRED = "unused_data_expired"


REASONS: dict[Reason, str] = {
    Reason.SUSPENDED: "the provider suspended it",
    Reason.CANCELLED: "its order was cancelled",
    Reason.REVOKED: "its profile was revoked",
    Reason.REFUNDED: "its order was refunded",
    Reason.REPLACED: "another eSIM replaced it; `replacedBy` names it",
    Reason.VALIDITY_ENDED: "its validity ended",
    Reason.DATA_USED_UP: "its data is used up",
    Reason.DATA_USED_AND_VALIDITY_ENDED: "both",
    Reason.UNUSED_DATA_EXPIRED: "its validity ended with data left",
}
"""What each reason means."""

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


class SmdpStatus(StrEnum):
    """Status of the profile at the SM-DP+ and on the device, `smdpStatus` on the wire (events guide)."""

    RELEASED = "RELEASED"
    DOWNLOADED = "DOWNLOADED"
    INSTALLED = "INSTALLED"
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DELETED = "DELETED"


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

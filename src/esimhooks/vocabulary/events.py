"""The eight events and what each of them means (events guide, "Quick Reference")."""

from enum import StrEnum


class EventType(StrEnum):
    """What a merchant can be notified of about an eSIM; `event` of the envelope."""

    CREATED = "esim.created"
    ACTIVATED = "esim.activated"
    DATA_UPDATED = "esim.data_updated"
    USAGE_UPDATED = "esim.usage_updated"
    SUSPENDED = "esim.suspended"
    EXPIRED = "esim.expired"
    STATUS_CHANGED = "esim.status_changed"
    REQUERIED = "esim.requeried"


MEANINGS: dict[EventType, str] = {
    EventType.CREATED: "The purchase is complete and the eSIM's data is ready; 5-30 seconds after the purchase.",
    EventType.ACTIVATED: "The eSIM was activated on a device.",
    EventType.DATA_UPDATED: "Data usage changed, or crossed one of the thresholds.",
    EventType.USAGE_UPDATED: "Usage and validity were refreshed, by a poll, a validity notice or a requery.",
    EventType.SUSPENDED: "The eSIM was suspended, its order cancelled or its profile revoked.",
    EventType.EXPIRED: "The validity is over, or the data is used up.",
    EventType.STATUS_CHANGED: "Any other change of status, of the profile's status included.",
    EventType.REQUERIED: "The eSIM was read again from its provider on demand.",
}

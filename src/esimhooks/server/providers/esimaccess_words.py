"""The words of eSIM Access for statuses, and what each means in ours.

Tables only. A word that is not in its table is a doubt to whoever looks it up, never mapped to something else.
"""

from enum import Enum, StrEnum

from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus

ESIM_STATUS: dict[str, EsimStatus] = {
    "CREATE": EsimStatus.PENDING,
    "PAYING": EsimStatus.PENDING,
    "PAID": EsimStatus.PENDING,
    "GETTING_RESOURCE": EsimStatus.PENDING,
    "GOT_RESOURCE": EsimStatus.CREATED,
    "IN_USE": EsimStatus.IN_USE,
    "USED_UP": EsimStatus.USED_UP,
    "USED_EXPIRED": EsimStatus.USED_EXPIRED,
    "UNUSED_EXPIRED": EsimStatus.UNUSED_EXPIRED,
    "CANCEL": EsimStatus.CANCEL,
    "SUSPENDED": EsimStatus.SUSPENDED,
    "REVOKE": EsimStatus.REVOKED,
    "REVOKED": EsimStatus.REVOKED,
}

SMDP_STATUS: dict[str, SmdpStatus] = {
    "RELEASED": SmdpStatus.RELEASED,
    "DOWNLOAD": SmdpStatus.DOWNLOADED,
    "INSTALLATION": SmdpStatus.INSTALLED,
    "ENABLED": SmdpStatus.ENABLED,
    "DISABLED": SmdpStatus.DISABLED,
    "DELETED": SmdpStatus.DELETED,
}


DATA_TYPES: dict[str, bool] = {"1": False, "2": False, "3": False, "4": True}
"""`dataType` of an eSIM, and whether its volume has no limit: in total, a day with reduced speed behind it, a day with an
end behind it, and a day without limit."""


class OrderState(Enum):
    """What an `orderStatus` says of a whole order."""

    ON_ITS_WAY = "on its way"
    READY = "ready"
    """Its eSIMs can be fetched."""
    FAILED = "failed"
    """It will never be filled."""
    REFUNDED = "refunded"


ORDER_STATES: dict[str, OrderState] = {
    "CREATE": OrderState.ON_ITS_WAY,
    "PAYING": OrderState.ON_ITS_WAY,
    "PAID": OrderState.ON_ITS_WAY,
    "GETTING_RESOURCE": OrderState.ON_ITS_WAY,
    "GOT_RESOURCE": OrderState.READY,
    **dict.fromkeys(("FAIL", "FAILED", "CANCEL", "CANCELED", "CANCELLED"), OrderState.FAILED),
    **dict.fromkeys(("REFUND", "REFUNDED"), OrderState.REFUNDED),
}
"""`orderStatus`; the documentation names none of those that fail, consumers met these."""

FAILED_ON_DEVICE = frozenset({"Failed", "Expired"})
"""`notifyStatus` of an SMDP_EVENT whose `smdpStatus` was not reached; the words are those of SGP.22, 5.3.5."""


class NotifyType(StrEnum):
    """The discriminator of a notification."""

    ORDER_STATUS = "ORDER_STATUS"
    ESIM_STATUS = "ESIM_STATUS"
    SMDP_EVENT = "SMDP_EVENT"
    DATA_USAGE = "DATA_USAGE"
    VALIDITY_USAGE = "VALIDITY_USAGE"
    CHECK_HEALTH = "CHECK_HEALTH"


NOTIFY_TYPES: dict[str, NotifyType] = {kind.value: kind for kind in NotifyType}

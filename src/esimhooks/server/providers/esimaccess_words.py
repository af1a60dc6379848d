"""The words of eSIM Access for statuses, and what each means in ours.

Tables only. A word that is not in its table is refused by whoever looks it up, never mapped to something else.
"""

from enum import StrEnum

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

ORDER_READY: dict[str, bool] = {
    "CREATE": False,
    "PAYING": False,
    "PAID": False,
    "GETTING_RESOURCE": False,
    "GOT_RESOURCE": True,
}
"""Whether an order with this `orderStatus` can be fetched."""

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

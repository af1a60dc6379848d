"""What eSIM Go calls back becomes a `Notification`.

A verified request comes in, told apart by `alertType` or `event`. Nothing is asked or stored; what cannot be understood
is `Unparsable`, an ICCID that came as a number included: a double has rounded it already.
"""

from datetime import datetime
from enum import Enum
from typing import assert_never

from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.providers.bodies import read_json
from esimhooks.server.providers.fields import Fields, quantity
from esimhooks.server.providers.identifiers import doubts
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus

MAX_EID_DIGITS = 40


class Topic(Enum):
    """What a callback is about."""

    USAGE = "usage"
    FIRST_USE = "first use"
    PROFILE = "profile"
    DELETED = "deleted"
    NO_CONSEQUENCE = "no consequence"
    """Balance, top-ups, text messages, places, and what is only announced: no fact about an eSIM follows."""


TOPICS = {
    "Utilisation": Topic.USAGE,
    "usage": Topic.USAGE,
    "FirstUse": Topic.FIRST_USE,
    "ProfileStatusChange": Topic.PROFILE,
    "esim.deleted": Topic.DELETED,
    "esim.deletion_scheduled": Topic.NO_CONSEQUENCE,
    "LowBalance": Topic.NO_CONSEQUENCE,
    "InsufficientBalance": Topic.NO_CONSEQUENCE,
    "Topup": Topic.NO_CONSEQUENCE,
    "AutoTopup": Topic.NO_CONSEQUENCE,
    "eSIMGoTopup": Topic.NO_CONSEQUENCE,
    "SMSFailed": Topic.NO_CONSEQUENCE,
    "FirstAttachment": Topic.NO_CONSEQUENCE,
    "CountryChange": Topic.NO_CONSEQUENCE,
    "MSISDNDisabled": Topic.NO_CONSEQUENCE,
}
"""`alertType` or `event` of every documented callback (eSIM Go, "Webhooks & Callbacks")."""

PROFILE_STATUS = {
    "Downloaded": SmdpStatus.DOWNLOADED,
    "Installed": SmdpStatus.INSTALLED,
    "Released": SmdpStatus.DELETED,
}
"""`profileStatus`. "Released" is not the SM-DP+'s word: the profile was deleted from the device."""

UNITS = {"BYTES": True, "SMSmessages": False, "minutes": False}
"""`unit` of a bundle's quantities, and whether it is a volume of data."""


def parse(request: InboundRequest) -> Notification:
    """Turn a request into facts. Raises `Unparsable` with what was expected and what came."""
    body = Fields(read_json(request.body))
    discriminator = "alertType" if body.scalar("alertType") is not None else "event"
    topic = body.word(discriminator, TOPICS)
    if topic is None:
        raise body.missing("alertType or event")
    told_at = body.moment("timestamp") or body.moment("date")
    iccid = body.iccid("iccid")
    update = None if topic is Topic.NO_CONSEQUENCE else _update(topic, body, iccid, told_at)
    return Notification(
        kind=body.text(discriminator) or "",
        occurred_at=told_at,
        updates=(update,) if update else (),
        warnings=doubts(iccid=iccid, eid=update.eid if update else None),
    )


def _update(topic: Topic, body: Fields, iccid: str | None, told_at: datetime | None) -> Update | None:
    if iccid is None:
        raise body.missing("iccid")
    whose = Identity(esim_tran_no=iccid, iccid=iccid)
    match topic:
        case Topic.USAGE | Topic.FIRST_USE:
            return _usage(topic, whose, body.section("bundle"), told_at)
        case Topic.PROFILE:
            return _profile(whose, body, told_at)
        case Topic.DELETED:
            return Update(identity=whose, occurred_at=told_at, smdp_status=SmdpStatus.DELETED)
        case Topic.NO_CONSEQUENCE:
            return None
        case _:
            assert_never(topic)


def _usage(topic: Topic, whose: Identity, bundle: Fields, told_at: datetime | None) -> Update | None:
    figures = _figures(bundle)
    if topic is Topic.FIRST_USE:
        total, used = figures or (None, None)
        return Update(
            identity=whose,
            occurred_at=told_at,
            esim_status=EsimStatus.IN_USE,
            total_bytes=total,
            used_bytes=used,
            usage_at=told_at,
            activate_at=bundle.moment("startTime"),
            expire_at=bundle.moment("endTime"),
        )
    if figures is None:
        return None
    total, used = figures
    return Update(identity=whose, occurred_at=told_at, total_bytes=total, used_bytes=used, usage_at=told_at)


def _figures(bundle: Fields) -> tuple[int, int] | None:
    """Return total and used bytes; None for an unlimited bundle, and for one of minutes or messages."""
    if bundle.word("unit", UNITS) is False or bundle.scalar("unlimited") is True:
        return None
    total = quantity(bundle, "initialQuantity")
    left = quantity(bundle, "remainingQuantity")
    if total is None or left is None:
        raise bundle.missing("initialQuantity and remainingQuantity")
    if left > total:
        raise bundle.wrong("remainingQuantity", f"at most initialQuantity {total}", left)
    return total, total - left


def _profile(whose: Identity, body: Fields, told_at: datetime | None) -> Update:
    status = body.word("profileStatus", PROFILE_STATUS)
    if status is None:
        raise body.missing("profileStatus")
    device = body.section_if_told("device")
    return Update(
        identity=whose,
        occurred_at=told_at,
        smdp_status=status,
        eid=device.digits("eid", limit=MAX_EID_DIGITS) if device else None,
    )

"""What eSIM Go calls back becomes a `Notification`.

A verified request comes in, told apart by `alertType` or `event`. Nothing is asked or stored; a member that is not
understood is a doubt. An ICCID that came as a number is `Unparsable`: a double has rounded it already.
"""

from datetime import datetime
from enum import Enum
from typing import assert_never

from msgspec.structs import replace

from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Doubt, Identity, Update
from esimhooks.server.providers.bodies import read_json
from esimhooks.server.providers.esimgo_bundles import UNITS, UsageUnit, plan_of_callback
from esimhooks.server.providers.fields import (
    Fields,
    digits_of,
    iccid_of,
    moment_of,
    scalar_of,
    unusable,
)
from esimhooks.server.providers.identifiers import doubts as numbers_in_doubt
from esimhooks.vocabulary.statuses import EsimStatus, PlanState, SmdpStatus

MAX_EID_DIGITS = 40


class Topic(Enum):
    """What a callback is about."""

    USAGE = "usage"
    FIRST_USE = "first use"
    PROFILE = "profile"
    DELETED = "deleted"
    DELETION_SCHEDULED = "deletion scheduled"
    LOW_BALANCE = "low balance"
    NO_CONSEQUENCE = "no consequence"
    """Top-ups of the balance, text messages, places: no fact about an eSIM follows."""


TOPICS = {
    "Utilisation": Topic.USAGE,
    "usage": Topic.USAGE,
    "FirstUse": Topic.FIRST_USE,
    "ProfileStatusChange": Topic.PROFILE,
    "esim.deleted": Topic.DELETED,
    "esim.deletion_scheduled": Topic.DELETION_SCHEDULED,
    "LowBalance": Topic.LOW_BALANCE,
    "InsufficientBalance": Topic.LOW_BALANCE,
    "Topup": Topic.NO_CONSEQUENCE,
    "AutoTopup": Topic.NO_CONSEQUENCE,
    "eSIMGoTopup": Topic.NO_CONSEQUENCE,
    "SMSFailed": Topic.NO_CONSEQUENCE,
    "FirstAttachment": Topic.NO_CONSEQUENCE,
    "CountryChange": Topic.NO_CONSEQUENCE,
    "MSISDNDisabled": Topic.NO_CONSEQUENCE,
}
"""`alertType` or `event` of every documented callback (eSIM Go, "Webhooks & Callbacks")."""

OF_NO_ESIM = frozenset({Topic.NO_CONSEQUENCE, Topic.LOW_BALANCE})

PROFILE_STATUS = {
    "Downloaded": SmdpStatus.DOWNLOADED,
    "Installed": SmdpStatus.INSTALLED,
    "Released": SmdpStatus.DELETED,
}
"""`profileStatus`. "Released" is not the SM-DP+'s word: the profile was deleted from the device."""


DELETION_SCHEDULED = "deletion_scheduled"
"""The reason of the event: without another bundle the eSIM is deleted for good seven days later."""


def parse(request: InboundRequest, *, unit: UsageUnit = UsageUnit.AUTO) -> Notification:
    """Turn a request into facts; `unit` is what quantities are counted in. Raises `Unparsable` with what was expected and what came."""
    doubts: list[Doubt] = []
    members = Fields(read_json(request.body))
    body = members.lenient(doubts)
    discriminator = "alertType" if scalar_of(body, "alertType") is not None else "event"
    topic = members.word(discriminator, TOPICS)
    if topic is None:
        raise members.missing("alertType or event")
    told_at = moment_of(body, "timestamp") or moment_of(body, "date")
    iccid = iccid_of(members, "iccid")
    update = None if topic in OF_NO_ESIM else _update(topic, body, iccid, told_at, unit)
    if update is not None and update.says_nothing:
        raise unusable(members.missing("a fact about the eSIM"), doubts)
    doubts += numbers_in_doubt(iccid=iccid, eid=update.eid if update else None)
    return Notification(
        kind=members.text(discriminator) or "",
        occurred_at=told_at,
        updates=(update,) if update else (),
        low_balance=members.text(discriminator) if topic is Topic.LOW_BALANCE else None,
        doubts=tuple(doubts),
    )


def _update(topic: Topic, body: Fields, iccid: str | None, told_at: datetime | None, unit: UsageUnit) -> Update | None:
    if iccid is None:
        raise body.missing("iccid")
    whose = Identity(esim_tran_no=iccid, iccid=iccid)
    match topic:
        case Topic.USAGE | Topic.FIRST_USE:
            return _usage(topic, whose, body, told_at, unit)
        case Topic.PROFILE:
            return _profile(whose, body, told_at)
        case Topic.DELETED:
            return _deleted(whose, body, told_at)
        case Topic.DELETION_SCHEDULED:
            return Update(identity=whose, occurred_at=told_at, announcement=DELETION_SCHEDULED)
        case Topic.NO_CONSEQUENCE | Topic.LOW_BALANCE:
            return None
        case _:
            assert_never(topic)


def _deleted(whose: Identity, body: Fields, told_at: datetime | None) -> Update:
    """Deleted for good; revoked where its bundles were revoked with it."""
    bundle = body.section_if_told("bundle")
    revoked = bundle is not None and (bundle.text("state") or "").lower() == "revoked"
    return Update(
        identity=whose,
        occurred_at=told_at,
        esim_status=EsimStatus.REVOKED if revoked else None,
        smdp_status=SmdpStatus.DELETED,
    )


def _usage(topic: Topic, whose: Identity, body: Fields, told_at: datetime | None, unit: UsageUnit) -> Update | None:
    """Return what is said of a bundle; None for one of minutes or messages, of which nothing is used yet."""
    body.lacks("bundle")
    bundle = body.section_if_told("bundle")
    is_data = bundle is None or not bundle.has("unit") or bundle.word("unit", UNITS)
    plan = plan_of_callback(bundle, unit) if bundle is not None and is_data else None
    if topic is Topic.FIRST_USE:
        return Update(
            identity=whose,
            occurred_at=told_at,
            usage_at=told_at,
            esim_status=EsimStatus.IN_USE,
            activate_at=moment_of(bundle, "startTime") if bundle else None,
            plans=(replace(plan, state=PlanState.ACTIVE),) if plan else (),
        )
    if is_data is False:
        return None
    return Update(identity=whose, occurred_at=told_at, usage_at=told_at, plans=(plan,) if plan else ())


def _profile(whose: Identity, body: Fields, told_at: datetime | None) -> Update:
    body.lacks("profileStatus")
    device = body.section_if_told("device")
    return Update(
        identity=whose,
        occurred_at=told_at,
        smdp_status=body.word("profileStatus", PROFILE_STATUS),
        eid=digits_of(device, "eid", limit=MAX_EID_DIGITS) if device else None,
    )

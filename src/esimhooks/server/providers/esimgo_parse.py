"""What eSIM Go calls back becomes a `Notification`.

A verified request comes in, told apart by `alertType` or `event`. Nothing is asked or stored; a member that is not
understood is a doubt. An ICCID that came as a number is `Unparsable`: a double has rounded it already.
"""

from datetime import datetime
from enum import Enum
from typing import assert_never

from msgspec.structs import replace

from esimhooks.server.domain.doubt import Doubt
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.plans import Plan
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.providers.bodies import read_json
from esimhooks.server.providers.fields import (
    Fields,
    digits_of,
    flag_of,
    iccid_of,
    moment_of,
    quantity,
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
    doubts: list[Doubt] = []
    members = Fields(read_json(request.body))
    body = members.lenient(doubts)
    discriminator = "alertType" if scalar_of(body, "alertType") is not None else "event"
    topic = members.word(discriminator, TOPICS)
    if topic is None:
        raise members.missing("alertType or event")
    told_at = moment_of(body, "timestamp") or moment_of(body, "date")
    iccid = iccid_of(members, "iccid")
    update = None if topic is Topic.NO_CONSEQUENCE else _update(topic, body, iccid, told_at)
    if update is not None and update.says_nothing:
        raise unusable(members.missing("a fact about the eSIM"), doubts)
    doubts += numbers_in_doubt(iccid=iccid, eid=update.eid if update else None)
    return Notification(
        kind=members.text(discriminator) or "",
        occurred_at=told_at,
        updates=(update,) if update else (),
        doubts=tuple(doubts),
    )


def _update(topic: Topic, body: Fields, iccid: str | None, told_at: datetime | None) -> Update | None:
    if iccid is None:
        raise body.missing("iccid")
    whose = Identity(esim_tran_no=iccid, iccid=iccid)
    match topic:
        case Topic.USAGE | Topic.FIRST_USE:
            return _usage(topic, whose, body, told_at)
        case Topic.PROFILE:
            return _profile(whose, body, told_at)
        case Topic.DELETED:
            return _deleted(whose, body, told_at)
        case Topic.NO_CONSEQUENCE:
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


def _usage(topic: Topic, whose: Identity, body: Fields, told_at: datetime | None) -> Update | None:
    """Return what is said of a bundle; None for one of minutes or messages, of which nothing is used yet."""
    body.lacks("bundle")
    bundle = body.section_if_told("bundle")
    is_data = bundle is None or not bundle.has("unit") or bundle.word("unit", UNITS)
    plan = _plan(bundle) if bundle is not None and is_data else None
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


def _plan(bundle: Fields) -> Plan | None:
    """Return the bundle as a plan; None where it cannot be told which one it is, or nothing is said of it."""
    own_id = _plan_id(bundle)
    unlimited = flag_of(bundle, "unlimited") is True
    total = None if unlimited else quantity(bundle, "initialQuantity")
    left = None if unlimited else quantity(bundle, "remainingQuantity")
    if not unlimited:
        bundle.lacks("initialQuantity")
        bundle.lacks("remainingQuantity")
    if total is not None and left is not None and left > total:
        bundle.doubt(bundle.wrong("remainingQuantity", f"at most initialQuantity {total}", left), "remainingQuantity")
        left = None
    start, end = moment_of(bundle, "startTime"), moment_of(bundle, "endTime")
    if own_id is None or (total is None and left is None and end is None and not unlimited):
        return None
    return Plan(
        id=own_id,
        name=bundle.text("description") or bundle.text("name"),
        state=_state(left, unlimited=unlimited),
        total_bytes=total,
        used_bytes=None if total is None or left is None else total - left,
        unlimited=True if unlimited else None,
        activate_at=start,
        expire_at=end,
    )


def _plan_id(bundle: Fields) -> str | None:
    """Return what a bundle is known by. One of the same name that was assigned anew begins at another time.

    None where that is not understood: another id would be a second plan, whose figures were added to the first one's.
    """
    for own in ("id", "reference"):
        if bundle.has(own):
            return bundle.text(own)
    name, start = bundle.text("name"), moment_of(bundle, "startTime")
    if (bundle.has("name") and name is None) or (bundle.has("startTime") and start is None):
        return None
    return f"{name or 'bundle'}@{start.isoformat() if start else ''}"


def _state(left: int | None, *, unlimited: bool) -> PlanState | None:
    if left is None and not unlimited:
        return None
    return PlanState.DEPLETED if left == 0 else PlanState.ACTIVE


def _profile(whose: Identity, body: Fields, told_at: datetime | None) -> Update:
    body.lacks("profileStatus")
    device = body.section_if_told("device")
    return Update(
        identity=whose,
        occurred_at=told_at,
        smdp_status=body.word("profileStatus", PROFILE_STATUS),
        eid=digits_of(device, "eid", limit=MAX_EID_DIGITS) if device else None,
    )

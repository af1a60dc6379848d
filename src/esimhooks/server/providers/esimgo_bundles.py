"""Bundles of eSIM Go become plans: those of a callback, and those that its API lists with their states.

One bundle comes in, a plan goes out, with the status of the eSIM that follows from all of them. A member that is not
understood is a doubt.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from enum import StrEnum

from msgspec.structs import replace

from esimhooks.server.domain.plans import Plan
from esimhooks.server.providers.fields import EXACT_UP_TO, MAX_VOLUME_BYTES, Fields, flag_of, scalar_of, time_of
from esimhooks.vocabulary.statuses import EsimStatus, PlanState

UNITS = {"BYTES": True, "SMSmessages": False, "minutes": False}
"""`unit` of a callback's quantities, and whether it is a volume of data."""

CALL_TYPES = {"data": True, "voice": False, "sms": False}
"""`callTypeGroup` of an assignment, and whether it is one of data."""

STATES = {
    "processing": PlanState.QUEUED,
    "queued": PlanState.QUEUED,
    "active": PlanState.ACTIVE,
    "depleted": PlanState.DEPLETED,
    "expired": PlanState.EXPIRED,
    "lapsed": PlanState.EXPIRED,
    "revoked": PlanState.REVOKED,
}
"""`bundleState` (eSIM Go, "eSIM & Bundle Status"); `lapsed` has expired without having been used."""

BYTES_PER_MEGABYTE = 1_000_000
"""eSIM Go counts 1 GB as 1 000 000 000 bytes."""
_SIZE = re.compile(r"(?<![0-9.])([0-9]{1,4}(?:\.[0-9]+)?) ?(GB|MB)(?![A-Za-z])", re.ASCII | re.IGNORECASE)
"""The volume in a bundle's name, as in `esim_1GB_7D_GB_V2`."""


class UsageUnit(StrEnum):
    """The setting `usageUnit`: what the quantities of callbacks are counted in."""

    AUTO = "auto"
    """Megabytes where the bundle's name and the figure say so, as in callbacks of version 2; else bytes."""
    BYTES = "bytes"
    MEGABYTES = "megabytes"


def plan_of_callback(bundle: Fields, unit: UsageUnit) -> Plan | None:
    """Return the bundle as a plan; None where it is not known which one it is, or nothing is said of it."""
    own_id = _own_id(bundle) or _id_by_start(bundle)
    unlimited = flag_of(bundle, "unlimited") is True
    total, left = _quantities(bundle, unlimited=unlimited, in_megabytes=_in_megabytes(bundle, unit))
    if not unlimited:
        bundle.lacks("initialQuantity")
        bundle.lacks("remainingQuantity")
    end = time_of(bundle, "endTime")
    if own_id is None or (total is None and left is None and end is None and not unlimited):
        return None
    state = None if left is None and not unlimited else PlanState.DEPLETED if left == 0 else PlanState.ACTIVE
    return Plan(
        id=own_id,
        name=bundle.text("description") or bundle.text("name"),
        state=state,
        total_bytes=total,
        used_bytes=_used(total, left),
        unlimited=True if unlimited else None,
        activate_at=time_of(bundle, "startTime"),
        expire_at=end,
    )


def plans_of(bundle: Fields) -> Sequence[Plan]:
    """Return the assignments of a bundle that the API lists as plans, by their ids; those of minutes and messages are none."""
    plans = []
    for assignment in bundle.sections("assignments"):
        if assignment.word("callTypeGroup", CALL_TYPES) is False:
            continue
        own_id = _own_id(assignment)
        if own_id is None:
            assignment.lacks("id")
        else:
            plans.append(_plan_of_assignment(bundle, assignment, own_id))
    return plans


def by_start(bundle: Fields, plans: Iterable[Plan]) -> Sequence[Plan]:
    """Return plans of a bundle as callbacks without ids know them, by name and start; one that has not begun is left out."""
    name = bundle.text("name")
    if name is None:
        return ()
    return [
        replace(plan, id=f"{name}@{plan.activate_at.isoformat()}") for plan in plans if plan.activate_at is not None
    ]


def status_of(plans: Collection[Plan]) -> EsimStatus | None:
    """Return the status of the eSIM that follows from all of its plans, None where it has none."""
    states = {plan.state for plan in plans}
    if not plans or None in states:
        return None
    if PlanState.ACTIVE in states:
        return EsimStatus.IN_USE
    if PlanState.QUEUED in states:
        return EsimStatus.IN_USE if states & {PlanState.DEPLETED} else EsimStatus.CREATED
    if PlanState.DEPLETED in states:
        return EsimStatus.USED_UP
    if states == {PlanState.REVOKED}:
        return EsimStatus.REVOKED
    return _expired([plan for plan in plans if plan.state is PlanState.EXPIRED])


def _expired(plans: Sequence[Plan]) -> EsimStatus:
    if any(plan.total_bytes is None or plan.used_bytes is None for plan in plans):
        return EsimStatus.EXPIRED
    left = sum((plan.total_bytes or 0) - (plan.used_bytes or 0) for plan in plans)
    return EsimStatus.UNUSED_EXPIRED if left > 0 else EsimStatus.USED_EXPIRED


def _plan_of_assignment(bundle: Fields, assignment: Fields, own_id: str) -> Plan:
    unlimited = flag_of(assignment, "unlimited") is True
    total, left = _quantities(assignment, unlimited=unlimited, in_megabytes=False)
    return Plan(
        id=own_id,
        name=bundle.text("description") or bundle.text("name"),
        state=assignment.word("bundleState", STATES),
        total_bytes=total,
        used_bytes=_used(total, left),
        unlimited=True if unlimited else None,
        activate_at=time_of(assignment, "startTime"),
        expire_at=time_of(assignment, "endTime"),
    )


def _own_id(bundle: Fields) -> str | None:
    for name in ("id", "reference", "assignmentReference"):
        if bundle.has(name):
            return bundle.text(name)
    return None


def _id_by_start(bundle: Fields) -> str | None:
    """Return what a bundle without an id is known by. One of the same name that was assigned again begins later.

    None where that is not understood: another id would be a second plan, whose figures were added to the first one's.
    """
    if any(bundle.has(own) for own in ("id", "reference")):
        return None
    name, start = bundle.text("name"), time_of(bundle, "startTime")
    if (bundle.has("name") and name is None) or (bundle.has("startTime") and start is None):
        return None
    return f"{name or 'bundle'}@{start.isoformat() if start else ''}"


def _quantities(bundle: Fields, *, unlimited: bool, in_megabytes: bool) -> tuple[int | None, int | None]:
    """Return the volume and what is left of it in bytes; neither where there is no limit."""
    if unlimited:
        return None, None
    factor = BYTES_PER_MEGABYTE if in_megabytes else 1
    total, left = (_quantity(bundle, name, factor) for name in ("initialQuantity", "remainingQuantity"))
    if total is not None and left is not None and left > total:
        bundle.doubt(bundle.wrong("remainingQuantity", f"at most initialQuantity {total}", left), "remainingQuantity")
        left = None
    return total, left


def _quantity(bundle: Fields, name: str, factor: int) -> int | None:
    value = scalar_of(bundle, name)
    if isinstance(value, float) and factor > 1 and 0 <= value <= MAX_VOLUME_BYTES / factor:
        return int(Decimal(str(value)) * factor)
    if isinstance(value, float) and value.is_integer() and 0 <= value <= EXACT_UP_TO:
        return int(value)
    whole = None if value is None else bundle.whole(name, maximum=MAX_VOLUME_BYTES // factor)
    return None if whole is None else whole * factor


def _in_megabytes(bundle: Fields, unit: UsageUnit) -> bool:
    if unit is not UsageUnit.AUTO:
        return unit is UsageUnit.MEGABYTES
    found, total = _SIZE.search(bundle.text("name") or ""), scalar_of(bundle, "initialQuantity")
    if bundle.has("unit") or found is None or not isinstance(total, (int, float)):
        return False
    size = Decimal(found[1])
    sizes = {size} if found[2].upper() == "MB" else {size * 1000, size * 1024}
    return Decimal(str(total)) in sizes


def _used(total: int | None, left: int | None) -> int | None:
    return None if total is None or left is None else total - left

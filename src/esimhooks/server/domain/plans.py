"""The plans of an eSIM: bundles that are queued, active, or over. Pure.

A provider reports one plan or all of them; each is ordered by its own time. The figures of the eSIM are the sums over
its active plans and its validity ends with the last of them (eSIM object, "Further members").
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from esimhooks.vocabulary.statuses import PlanState

MAX_PLANS = 50
MAX_PLANS_BYTES = 32_768
"""As many plans of one eSIM are kept, and so much of them as JSON: an event has them up to three times, in 256 KiB."""
PLAN_BYTES = 280
"""A plan on the wire without its id and name, at most."""

MAX_BYTES = 2**63 - 1
"""No sum is more: the database holds no larger number."""

OVER = frozenset({PlanState.DEPLETED, PlanState.EXPIRED, PlanState.REVOKED})


class Plan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One plan. Volumes are bytes, times aware UTC; `reported_at` has, by name, when each member was reported."""

    id: str
    name: str | None = None
    state: PlanState | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    unlimited: bool | None = None
    activate_at: datetime | None = None
    expire_at: datetime | None = None
    reported_at: Mapping[str, datetime] = {}


REPORTED = ("name", "state", "total_bytes", "used_bytes", "unlimited", "activate_at", "expire_at")


class Totals(Struct, frozen=True):
    """What the plans of an eSIM come to together; None is unknown, or without limit for the volume."""

    total_bytes: int | None
    used_bytes: int | None
    unlimited: bool
    expire_at: datetime | None


TimeOf: TypeAlias = Callable[[datetime | None], datetime | None]
"""Returns the time under which a report counts beside the last one (None: the first), None where it is older; aware UTC."""


def merge(known: Sequence[Plan], reported: Iterable[Plan], *, time_of: TimeOf) -> tuple[Plan, ...]:
    """Return the plans with what was reported; an older report fills only what is unknown.

    Where they are too many, the oldest that are over make room, then those that are new, then the oldest.
    """
    plans = {plan.id: plan for plan in known}
    for plan in reported:
        plans[plan.id] = _with(plans.get(plan.id, Plan(id=plan.id)), plan, time_of)
    old = {plan.id for plan in known}
    number, size = len(plans), wire_bytes(plans.values())
    for plan in sorted(plans.values(), key=lambda plan: _eviction_key(plan, is_old=plan.id in old)):
        if number <= MAX_PLANS and size <= MAX_PLANS_BYTES:
            break
        number, size = number - 1, size - wire_bytes([plan])
        del plans[plan.id]
    return tuple(sorted(plans.values(), key=lambda plan: plan.id))


def wire_bytes(plans: Iterable[Plan]) -> int:
    """Return how much plans are on the wire at most, in bytes of JSON."""
    return sum(PLAN_BYTES + len(msgspec.json.encode((plan.id, plan.name))) for plan in plans)


def _eviction_key(plan: Plan, *, is_old: bool) -> tuple[int, datetime, str]:
    """The order in which plans make room for others."""
    last = max(plan.reported_at.values(), default=datetime.max.replace(tzinfo=UTC))
    return (0 if plan.state in OVER else 2 if is_old else 1, last, plan.id)


def _with(known: Plan, reported: Plan, time_of: TimeOf) -> Plan:
    if reported.total_bytes is not None and reported.unlimited is None:
        reported = replace(reported, unlimited=False)
    values: dict[str, object] = {}
    times: dict[str, datetime] = {}
    for name in REPORTED:
        value = getattr(reported, name)
        if value is not None and (at := time_of(known.reported_at.get(name))) is not None:
            values[name], times[name] = value, at
    return replace(known, **values, reported_at={**known.reported_at, **times})


def part_of(volume_bytes: int, percent: Decimal) -> int:
    """Return a percentage of a volume, rounded up: a threshold that the provider says is crossed counts as crossed."""
    return int((volume_bytes * percent / 100).to_integral_value(ROUND_CEILING))


def totals(plans: Sequence[Plan]) -> Totals:
    """Return the sums over the active plans; where none is active, over those that are not over, else over all."""
    counted = [plan for plan in plans if plan.state is PlanState.ACTIVE]
    counted = counted or [plan for plan in plans if plan.state not in OVER] or list(plans)
    unlimited = any(plan.unlimited is True for plan in counted)
    volumes = [plan.total_bytes for plan in counted if plan.total_bytes is not None]
    used = [plan.used_bytes for plan in counted if plan.used_bytes is not None]
    ends = [plan.expire_at for plan in counted if plan.expire_at is not None]
    return Totals(
        total_bytes=None if unlimited or not volumes else min(MAX_BYTES, sum(volumes)),
        used_bytes=min(MAX_BYTES, sum(used)) if used else None,
        unlimited=unlimited,
        expire_at=max(ends, default=None),
    )

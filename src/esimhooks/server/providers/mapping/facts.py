"""What `set` says of one eSIM becomes an update.

A view of a notification or an answer comes in, an `Update` with its doubts goes out. Which rule fits, and what was queried,
is decided elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.notification import OrderRef
from esimhooks.server.domain.plans import Plan, part_of
from esimhooks.server.domain.update import Cause, Doubt, Identity, Update
from esimhooks.server.providers.fields import check_digit_doubts, is_contradiction
from esimhooks.server.providers.mapping.sources import Source, View
from esimhooks.server.providers.mapping.values import Reader
from esimhooks.vocabulary.esim import Allowance, Device, Location
from esimhooks.vocabulary.timestamps import timestamp_or_none

IDENTITY = {"key": "esim_tran_no", "orderNo": "order_no", "transactionId": "transaction_id", "iccid": "iccid"}
DIRECT = {
    "time": "occurred_at",
    "status": "esim_status",
    "reason": "reason",
    "smdp": "smdp_status",
    "sequence": "smdp_sequence",
    "eid": "eid",
    "imsi": "imsi",
    "msisdn": "msisdn",
    "ac": "ac",
    "qrCodeUrl": "qr_code_url",
    "shortUrl": "short_url",
    "apn": "apn",
    "packageCode": "package_code",
    "packageName": "package_name",
    "usageTime": "usage_at",
    "validityDays": "validity_days",
    "totalDays": "total_days",
    "activateTime": "activate_at",
    "expireTime": "expire_at",
    "unlimited": "unlimited",
    "throttled": "throttled",
    "replaces": "replaces",
    "topUp.transactionId": "top_up_transaction_id",
    "topUp.packageCode": "top_up_package_code",
}
VALIDITY = frozenset({"validityDays", "totalDays", "expireTime"})
"""What makes a notification a reminder of the days that are left, where it says nothing else."""
ORDER_MEMBERS = ("orderReady", "orderFailed", "orderRefunded")
"""What is said of a whole order."""
BESIDE = frozenset({*IDENTITY, "time", "packageCode", "packageName", "reason"})
"""What says nothing new of an eSIM by itself."""

Values = Mapping[str, object]
Kind = TypeVar("Kind")


class Reading(Struct, frozen=True, kw_only=True):
    """What was read of one eSIM, or of a whole order. `silent`: a word that is known and says nothing."""

    update: Update
    doubts: tuple[Doubt, ...]
    order_ready: bool = False
    order_failed: bool = False
    order_refunded: bool = False
    silent: bool = False

    @property
    def is_about_order(self) -> bool:
        """Whether something was said of a whole order."""
        return self.order_ready or self.order_failed or self.order_refunded

    @property
    def order(self) -> OrderRef:
        """The order that it names."""
        return OrderRef(order_no=self.update.identity.order_no, transaction_id=self.update.identity.transaction_id)


class Facts:
    """A `set`, compiled. `plans` is where the plans of one eSIM stand; without it the eSIM's object is one itself."""

    def __init__(self, readers: Iterable[Reader], plans: Source | None) -> None:
        everything = tuple(readers)
        self.readers = everything
        self.plans = plans
        self._of_esim = tuple(reader for reader in everything if not reader.name.startswith("plan."))
        self._of_plan = tuple(reader for reader in everything if reader.name.startswith("plan."))
        reported = {reader.name for reader in everything} - BESIDE
        self.cause = Cause.VALIDITY if reported and reported <= VALIDITY else Cause.PUSH
        self.about_order = not reported.isdisjoint(ORDER_MEMBERS)

    def read(self, view: View, *, cause: Cause) -> Reading:
        """Return what is said."""
        doubts: list[Doubt] = []
        values = _values(self._of_esim, view, doubts)
        total, used, remaining, percent = _volumes(values, "", doubts)
        identity = Identity(**{member: values.get(name) for name, member in IDENTITY.items()})  # type: ignore[arg-type]
        update = Update(
            identity=identity,
            cause=cause,
            total_bytes=total,
            used_bytes=used,
            remaining_bytes=remaining,
            used_percent=percent,
            plans=tuple(self._plans(view, doubts)),
            voice=_part(Allowance, values, "voice", ("total", "used")),
            sms=_part(Allowance, values, "sms", ("total", "used")),
            location=_location(values),
            device=_part(Device, values, "device", ("make", "model")),
            **{member: values.get(name) for name, member in DIRECT.items()},  # type: ignore[arg-type]
        )
        doubts += check_digit_doubts(iccid=identity.iccid, eid=update.eid)
        return Reading(
            update=update,
            doubts=tuple(doubts),
            order_ready=values.get("orderReady") is True,
            order_failed=values.get("orderFailed") is True,
            order_refunded=values.get("orderRefunded") is True,
            silent=view.says_nothing_known or any(name in values for name in ORDER_MEMBERS),
        )

    def _plans(self, view: View, doubts: list[Doubt]) -> Iterable[Plan]:
        if not self._of_plan:
            return
        for element in [view] if self.plans is None else view.elements(self.plans):
            plan = _plan(_values(self._of_plan, element, doubts), doubts)
            if plan is not None:
                yield plan


def merged(updates: Sequence[Update]) -> tuple[Update, ...]:
    """Return the updates, those that report several plans of one eSIM and of nothing different besides as one."""
    found: list[Update] = []
    for update in updates:
        last = found[-1] if found else None
        if last is not None and last.plans and update.plans and _without_plans(last) == _without_plans(update):
            found[-1] = replace(last, plans=last.plans + update.plans, doubts=last.doubts + update.doubts)
        else:
            found.append(update)
    return tuple(found)


def filled(first: Update, second: Update) -> Update:
    """Return the first update with what only the second one says of the same eSIM."""
    fields = {
        name: getattr(second, name)
        for name in Update.__struct_fields__
        if name != "identity" and getattr(first, name) in (None, ()) and getattr(second, name) not in (None, ())
    }
    mine, other = first.identity, second.identity
    identity = {name: getattr(mine, name) or getattr(other, name) for name in Identity.__struct_fields__}
    return replace(first, identity=Identity(**identity), **fields)


def _without_plans(update: Update) -> Update:
    return replace(update, plans=(), doubts=())


def _values(readers: Iterable[Reader], view: View, doubts: list[Doubt]) -> Values:
    values: dict[str, object] = {}
    for reader in readers:
        value = reader.read(view, doubts)
        if value is not None:
            values[reader.name] = value
        elif reader.required:
            doubts.append(Doubt(reader.name, f"{reader.name}: expected it, got none"))
    return values


def _volumes(
    values: Values, below: str, doubts: list[Doubt]
) -> tuple[int | None, int | None, int | None, Decimal | None]:
    """Return volume, usage, and what remains or is used in percent where nothing else says it.

    A percentage is rounded up, so that a threshold that the provider says was crossed is crossed.
    """
    if values.get(f"{below}unlimited") is True:
        values = {name: value for name, value in values.items() if name not in (f"{below}total", f"{below}remaining")}
    total, used, remaining = (_bytes(values, f"{below}{name}") for name in ("total", "used", "remaining"))
    percent = _percent(values, below)
    if total is not None and remaining is not None:
        if is_contradiction(total, max(0, total - remaining) if used is None else used, remaining):
            detail = f"{below}remaining contradicts {below}total" + ("" if used is None else f" and {below}used")
            doubts.append(Doubt(f"{below}remaining", detail))
        elif used is None:
            used = max(0, total - remaining)
        remaining = None
    if total is not None and used is None and percent is not None:
        used = part_of(total, percent)
    alone = used is None
    return total, used, remaining if alone else None, percent if alone and remaining is None else None


def _bytes(values: Values, name: str) -> int | None:
    volume = values.get(name)
    return volume if isinstance(volume, int) else None


def _percent(values: Values, below: str) -> Decimal | None:
    used, remaining = values.get(f"{below}usedPercent"), values.get(f"{below}remainingPercent")
    if isinstance(used, Decimal):
        return used
    return 100 - remaining if isinstance(remaining, Decimal) else None


def _plan(values: Values, doubts: list[Doubt]) -> Plan | None:
    """Return one plan; None where it is not known which one it is: another id would be a second plan."""
    own_id = values.get("plan.id")
    if not isinstance(own_id, str):
        if values:
            doubts.append(Doubt("plan.id", "plan.id: expected it, got none"))
        return None
    total, used, remaining, percent = _volumes(values, "plan.", doubts)
    if total is None and (remaining is not None or percent is not None):
        doubts.append(Doubt("plan.total", "plan.total: expected it beside what remains or is used in percent"))
    members = {"name": "name", "state": "state", "unlimited": "unlimited"}
    members |= {"activateTime": "activate_at", "expireTime": "expire_at"}
    read = {member: values.get(f"plan.{name}") for name, member in members.items()}
    return Plan(id=own_id, total_bytes=total, used_bytes=used, **read)  # type: ignore[arg-type]


def _part(kind: Callable[..., Kind], values: Values, below: str, names: Sequence[str]) -> Kind | None:
    reported = {name: values[f"{below}.{name}"] for name in names if f"{below}.{name}" in values}
    return kind(**reported) if reported else None


def _location(values: Values) -> Location | None:
    country, network, at = (values.get(f"location.{name}") for name in ("country", "network", "time"))
    if country is None and network is None:
        return None
    return Location(
        country=country if isinstance(country, str) else None,
        network=network if isinstance(network, str) else None,
        at=timestamp_or_none(at if isinstance(at, datetime) else None),
    )

"""What an update reports, member by member: the newest report of each counts, whatever order they come in. Pure.

An eSIM and an update go in; reports are offered one after the other, with the time of each; out comes the eSIM with
those that were not older than what it has.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from esimhooks.server.domain.esim import Esim, Further
from esimhooks.server.domain.update import Cause, Doubt, Update

MAX_CLOCK_SKEW = timedelta(minutes=5)
"""How far a provider's clock may be ahead; a later time is a doubt."""
AXES = frozenset({"total_bytes", "used_bytes", "activate_at", "expire_at", "validity_days_noticed"})
ARRIVAL = "arrival"
"""Among the times of members: when the newest report arrived, by the database's clock."""
ORDERED_BY = {
    "eid": "smdp_at",
    "total_bytes": "usage_at",
    "used_bytes": "usage_at",
    "expire_at": "validity_at",
    "validity_days_noticed": "validity_at",
}
"""Rows of earlier releases have no times of members, but one for all that is reported together."""

BOOKKEEPING: Mapping[str, object] = dict.fromkeys(
    ("status_at", "smdp_at", "smdp_sequence", "usage_at", "validity_at")
) | {"smdp_unnumbered": False, "reported_at": {}, "last_digests": {}}


class Reports:
    """One update on its way into one eSIM. `taken` says whether a status, usage or validity was; `stale` that one was late.

    `doubts` are about what contradicts the eSIM and is left out.
    """

    def __init__(self, esim: Esim, update: Update, *, received_at: datetime, now: datetime) -> None:
        self.esim = esim
        self.update = update
        self.taken = False
        self.stale = False
        self.doubts: list[Doubt] = []
        self._received_at = received_at
        self._now = now
        self._before = esim
        self._reported_at = dict(esim.reported_at) or _times_of_earlier_releases(esim)
        last_arrival = self._reported_at.get(ARRIVAL)
        self._in_order = received_at >= now or (last_arrival is not None and received_at >= last_arrival)

    def at(self, as_of: datetime | None, last: datetime | None) -> datetime:
        """Return the time of a report: the provider's, else its arrival, which is later than all that is known."""
        if as_of is not None:
            return as_of
        return max(self._received_at, last) if self._in_order and last is not None else self._received_at

    def is_older(self, at: datetime, last: datetime | None) -> bool:
        """Whether a report is older than the last one.

        What a provider pushed is compared by its own clock, which may be ahead. For what we queried at a time of ours,
        a last time that has yet to come is no time; nor is one for anybody that no clock may have.
        """
        pushed = self.update.cause in (Cause.PUSH, Cause.VALIDITY)
        return last is not None and at < last <= (self._now + MAX_CLOCK_SKEW if pushed else self._now)

    def accepted_at(self, as_of: datetime | None, last: datetime | None) -> datetime | None:
        """Return the time under which a report counts beside the last one, None where it is older."""
        at = self.at(as_of, last)
        return None if self.is_older(at, last) else at

    def set(self, **values: object) -> None:
        """Set members that are not ordered by themselves."""
        self.esim = replace(self.esim, **values)

    def set_further(self, **values: object) -> None:
        """Set members that only some eSIMs have."""
        self.set(further=replace(self.esim.further, **values))

    def last(self, name: str) -> datetime | None:
        """Return when the member was last reported, or None."""
        return self._reported_at.get(name)

    def accepts(self, name: str, as_of: datetime | None) -> bool:
        """Whether a report of the member is not older than the last one; if so, the next is compared with it."""
        at = self.accepted_at(as_of, self.last(name))
        if at is None:
            self.stale = True
            return False
        self.taken |= name in AXES
        self._reported_at[name] = at
        return True

    def report(self, name: str, value: object, as_of: datetime | None, *, clears: bool = False) -> bool:
        """Offer a member's new value, None where there is none; return whether it was accepted.

        With `clears` None is a value: it makes the member unknown.
        """
        if (value is None and not clears) or not self.accepts(name, as_of):
            return False
        if name in Further.__struct_fields__:
            self.set_further(**{name: value})
        else:
            self.set(**{name: value})
        return True

    def result(self) -> Esim:
        """Return the eSIM with all that was accepted."""
        after = replace(self.esim, reported_at=self._reported_at)
        if after == self._before:
            return after
        arrival = max(self._received_at, self._reported_at.get(ARRIVAL, self._received_at))
        return replace(after, reported_at={**self._reported_at, ARRIVAL: arrival})


def _times_of_earlier_releases(esim: Esim) -> dict[str, datetime]:
    known = {name: getattr(esim, of) for name, of in ORDERED_BY.items() if getattr(esim, name) is not None}
    return {name: at for name, at in known.items() if at is not None}


def is_same(one: Esim, other: Esim) -> bool:
    """Whether two states of an eSIM differ in nothing that is emitted."""
    return replace(one, **BOOKKEEPING, reported=other.reported) == replace(other, **BOOKKEEPING)

"""Hand-over: deliveries go straight to the dispatcher of the process that made them, where it has leased their lanes.

They are claimed in the transaction that makes them, under the token of the lease, and their bytes are kept: nothing needs to
look for them or read them back. Whether they are handed over changes nothing of what is stored or promised.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.delivery import Claimed
from esimhooks.server.store.batch_writes import LeasedLane, Writes, Written


class DirectDelivery(Struct, frozen=True):
    """A delivery that is claimed, with the bytes of its event and the span in which that was raised."""

    claimed: Claimed
    body: bytes
    traceparent: str | None


class LaneCapacity(Struct, frozen=True):
    """A leased lane, and how many new deliveries may be handed over to it."""

    lane: LeasedLane
    capacity: int


class Lanes(Protocol):
    """The lanes that deliveries can be handed over to."""

    def with_capacity(self, wanted: Mapping[UUID, int]) -> dict[UUID, LeasedLane]:
        """Return the lanes, by endpoint, that take the `wanted` number of deliveries more."""

    def hand_over(self, deliveries: Sequence[DirectDelivery]) -> None:
        """Send these; their transaction is committed."""

    def invalidate_leases(self) -> None:
        """It is not known whether a transaction was committed that has claimed deliveries."""


def offer(writes: Writes, lanes: Lanes) -> None:
    """Have the deliveries of leased lanes claimed as they are made; those that keep an order wait for their turn."""
    writes.leased = lanes.with_capacity(Counter(one.endpoint_id for one in writes.deliveries if not one.ordered))


def direct_deliveries(writes: Writes, written: Written) -> list[DirectDelivery]:
    """Return what was claimed by the statement that wrote it."""
    events = {event.id: event for event in writes.events}
    return [
        DirectDelivery(
            Claimed(
                delivery_id=one.id,
                account_id=one.tenant.account_id,
                endpoint_id=one.endpoint_id,
                endpoint_version=writes.leased[one.endpoint_id].version,
                event_id=one.event_id,
                event_type=one.event_type,
                attempts=0,
                attempts_this_round=0,
                claims=0,
                ordered=False,
                lease_token=writes.leased[one.endpoint_id].token,
                position=written.claimed[one.id],
            ),
            events[one.event_id].body,
            events[one.event_id].traceparent,
        )
        for one in writes.deliveries
        if one.id in written.claimed
    ]

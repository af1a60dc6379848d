"""The lanes of all processes of a node: a delivery that one process makes goes straight to the one that has leased its lane.

Each process listens on a socket in a folder that they share. Whoever connects gets offers of the lanes that have capacity, and sends
deliveries that it has claimed under their leases, with their bytes. Nothing is promised here: where a connection ends, lanes
are leased again, and what was lost on the way is found under the next lease.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from struct import Struct as Layout
from time import monotonic
from typing import Protocol, Self
from uuid import UUID

import msgspec
from msgspec import Struct

from esimhooks.server.ingest.hand_over import DirectDelivery, LaneCapacity, Lanes
from esimhooks.server.observe.log import get_logger
from esimhooks.server.runtime.health import ProcessSlot
from esimhooks.server.runtime.loop import Loop, Wake
from esimhooks.server.store.batch_writes import LeasedLane

OFFER_EVERY_S, MAX_OFFER_INTERVAL_S = 0.02, 0.5
"""How often siblings get an offer; what is handed over meanwhile is counted against the offer before."""
SHARE_OF_TIME = 50
"""An offer of many lanes takes milliseconds, here and at each sibling: at most one in this many may go into offers."""
CONNECT_EVERY_S = 0.2
IDLE_S = 60.0
MAX_UNSENT_BYTES = 1 << 20
"""A sibling that leaves so much unread gets nothing more."""

log = get_logger("dispatcher")


class Leaseholder(Lanes, Protocol):
    """The lanes that this process has leased; `changed` is called whenever their capacities may have changed."""

    changed: Callable[[], None]

    def capacities(self) -> dict[UUID, LaneCapacity]:
        """Return the lanes that take new deliveries, with their capacity."""


class Offer(Struct, frozen=True, tag="offer"):
    """All lanes that the sender has leased, by endpoint, with the capacity they have."""

    lanes: dict[UUID, LaneCapacity]


class Deliveries(Struct, frozen=True, tag="deliveries"):
    """Deliveries claimed under leases of the receiver of this message; their transaction is committed."""

    deliveries: Sequence[DirectDelivery]


class LeasesInvalidated(Struct, frozen=True, tag="leases_invalidated"):
    """It is not known whether a transaction was committed that has claimed deliveries of the receiver of this message."""


Message = Offer | Deliveries | LeasesInvalidated

_LENGTH = Layout("!I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class _Owner(Protocol):
    """Gets notified of what happens on a link."""

    def began(self, link: "_Link") -> None: ...
    def on_message(self, link: "_Link", message: Message) -> None: ...
    def on_end(self, link: "_Link") -> None: ...


class _Link(asyncio.Protocol):
    """A connection to a sibling: each message is preceded by its length."""

    def __init__(self, owner: _Owner) -> None:
        self._owner = owner
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream's, always
        self._transport = transport
        self._owner.began(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + int(_LENGTH.unpack_from(self._buffer)[0])
            if len(self._buffer) < end:
                return
            message = _decode(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
            self._owner.on_message(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.on_end(self)

    def send(self, message: Message) -> None:
        """Send a message; it is lost where the connection ends."""
        encoded = _encode(message)
        if self._transport is not None:
            self._transport.write(_LENGTH.pack(len(encoded)) + encoded)

    @property
    def is_clear(self) -> bool:
        """Whether the other side reads what it is sent."""
        return self._transport is not None and self._transport.get_write_buffer_size() < MAX_UNSENT_BYTES

    def close(self) -> None:
        """Close once everything is sent."""
        if self._transport is not None:
            self._transport.close()


class _Subscribers:
    """Siblings that get offers of the lanes of this process, and may hand over to it."""

    def __init__(self, own: Leaseholder) -> None:
        self.links: set[_Link] = set()
        self._own = own
        self._offered: dict[UUID, LaneCapacity] | None = None
        self._next: asyncio.TimerHandle | None = None
        self._pause_s = OFFER_EVERY_S
        own.changed = self._offer_soon

    def began(self, link: _Link) -> None:
        self.links.add(link)
        self._offered = None
        self._offer_soon()

    def on_message(self, link: _Link, message: Message) -> None:
        match message:
            case Deliveries(deliveries):
                self._offered = None  # the sender counts what it handed over until the next offer
                self._own.hand_over(deliveries)
            case LeasesInvalidated():
                self._own.invalidate_leases()
            case Offer():
                pass

    def on_end(self, link: _Link) -> None:
        self.links.discard(link)
        self._own.invalidate_leases()

    def _offer_soon(self) -> None:
        if self.links and self._next is None:
            self._next = asyncio.get_running_loop().call_later(self._pause_s, self._offer)

    def _offer(self) -> None:
        self._next, began = None, monotonic()
        capacities = self._own.capacities()
        if capacities != self._offered:
            self._offered = capacities
            for link in self.links:
                link.send(Offer(capacities))
        self._pause_s = min(max(OFFER_EVERY_S, SHARE_OF_TIME * (monotonic() - began)), MAX_OFFER_INTERVAL_S)


class _Sibling:
    """A sibling as far as this process hands over to it."""

    def __init__(self, lost: Wake) -> None:
        self._lost = lost
        self._link: _Link | None = None
        self._lanes: dict[UUID, LeasedLane] = {}
        self._capacity: dict[UUID, int] = {}

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    def began(self, link: _Link) -> None:
        self._link = link

    def on_message(self, link: _Link, message: Message) -> None:
        if isinstance(message, Offer):
            self._lanes = {endpoint_id: one.lane for endpoint_id, one in message.lanes.items()}
            self._capacity = {endpoint_id: one.capacity for endpoint_id, one in message.lanes.items()}

    def on_end(self, link: _Link) -> None:
        self._link = None
        self._lanes, self._capacity = {}, {}
        self._lost.notify()

    def with_capacity(self, wanted: Mapping[UUID, int]) -> dict[UUID, LeasedLane]:
        if self._link is None or not self._link.is_clear:
            return {}
        return {one: self._lanes[one] for one, count in wanted.items() if self._capacity.get(one, 0) >= count}

    def has(self, delivery: DirectDelivery) -> bool:
        lane = self._lanes.get(delivery.claimed.endpoint_id)
        return lane is not None and lane.token == delivery.claimed.lease_token

    def hand_over(self, deliveries: Sequence[DirectDelivery]) -> None:
        for one in deliveries:
            self._capacity[one.claimed.endpoint_id] -= 1
        self.send(Deliveries(deliveries))

    def send(self, message: Message) -> None:
        if self._link is not None:
            self._link.send(message)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()


class NodeLanes:
    """The lanes of this process and of its siblings, as ingest sees them."""

    def __init__(self, own: Leaseholder, slot: ProcessSlot) -> None:
        self._own = own
        self._slot = slot
        self._subscribers = _Subscribers(own)
        self._wake = Wake()
        self._siblings = {number: _Sibling(self._wake) for number in range(slot.processes) if number != slot.number}
        self._server: asyncio.Server | None = None

    def loop(self) -> Loop:
        """Return the loop that connects to siblings, and again to those that were restarted."""
        return Loop("siblings", self._connect, wake=self._wake)

    async def __aenter__(self) -> Self:
        """Let siblings connect. Where the system refuses the socket, nothing is handed over between processes."""
        path = self._slot.socket_of(self._slot.number)
        try:
            self._server = await asyncio.get_running_loop().create_unix_server(partial(_Link, self._subscribers), path)
        except OSError as error:
            log.warning("siblings.unreachable", error=error)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for link in list(self._subscribers.links):
            link.close()
        for sibling in self._siblings.values():
            sibling.close()

    def with_capacity(self, wanted: Mapping[UUID, int]) -> dict[UUID, LeasedLane]:
        """Return the lanes, leased by this process or a sibling, that take the `wanted` number of new deliveries."""
        found = self._own.with_capacity(wanted)
        for sibling in self._siblings.values():
            if len(found) == len(wanted):
                break
            found |= sibling.with_capacity({one: count for one, count in wanted.items() if one not in found})
        return found

    def hand_over(self, deliveries: Sequence[DirectDelivery]) -> None:
        """Start deliveries, or have the sibling start them whose lanes they are claimed for.

        Where that one has gone, or has given its lane up, the next leaseholder finds them.
        """
        left = list(deliveries)
        for sibling in self._siblings.values():
            if theirs := [one for one in left if sibling.has(one)]:
                left = [one for one in left if not sibling.has(one)]
                sibling.hand_over(theirs)
        if left:
            self._own.hand_over(left)

    def invalidate_leases(self) -> None:
        """Have all lanes leased again: unknown deliveries may be claimed under their leases."""
        self._own.invalidate_leases()
        for sibling in self._siblings.values():
            sibling.send(LeasesInvalidated())

    async def _connect(self) -> float:
        loop = asyncio.get_running_loop()
        for number, sibling in self._siblings.items():
            if not sibling.is_connected:
                with suppress(OSError):  # it is being started
                    await loop.create_unix_connection(partial(_Link, sibling), self._slot.socket_of(number))
        return IDLE_S if all(one.is_connected for one in self._siblings.values()) else CONNECT_EVERY_S

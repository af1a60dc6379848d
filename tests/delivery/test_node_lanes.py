"""Processes of one node notify each other of their lanes, and deliveries go to the one that has leased theirs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from api import eventually
from esimhooks.server.delivery.node_lanes import NodeLanes
from esimhooks.server.domain.delivery import Claimed
from esimhooks.server.domain.ids import new_id
from esimhooks.server.ingest.hand_over import DirectDelivery, LaneCapacity
from esimhooks.server.runtime.health import ProcessSlot
from esimhooks.server.store.batch_writes import LeasedLane

ROOM = 3


class Leaseholder:
    """Has leased lanes with capacity, and notes what it is given."""

    def __init__(self, *endpoint_ids: UUID) -> None:
        self.lanes = {endpoint_id: LaneCapacity(LeasedLane(7, 1), ROOM) for endpoint_id in endpoint_ids}
        self.got: list[DirectDelivery] = []
        self.doubts = 0
        self.changed: Callable[[], None] = lambda: None

    def capacities(self) -> dict[UUID, LaneCapacity]:
        return dict(self.lanes)

    def with_capacity(self, wanted: Mapping[UUID, int]) -> dict[UUID, LeasedLane]:
        return {one: self.lanes[one].lane for one, count in wanted.items() if one in self.lanes and count <= ROOM}

    def hand_over(self, handed: Sequence[DirectDelivery]) -> None:
        self.got += handed
        self.changed()

    def invalidate_leases(self) -> None:
        self.doubts += 1


@asynccontextmanager
async def a_process(folder: Path, number: int, own: Leaseholder) -> AsyncIterator[NodeLanes]:
    """Run the lanes of one of two processes."""
    async with NodeLanes(own, ProcessSlot(folder, number, 2)) as lanes, asyncio.TaskGroup() as group:
        loop = lanes.loop()
        group.create_task(loop.run())
        yield lanes
        loop.stop()


async def connected(lanes: NodeLanes, endpoint_id: UUID) -> None:
    """Wait until a process knows that a sibling has leased the lane."""
    await until(lambda: endpoint_id in lanes.with_capacity({endpoint_id: 1}))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition is met."""

    async def met() -> bool:
        return condition()

    await eventually(met)


def handed(endpoint_id: UUID, body: bytes = b"{}") -> DirectDelivery:
    """Return a delivery that was claimed under the lease of a lane."""
    claimed = Claimed(
        delivery_id=new_id(),
        account_id=new_id(),
        endpoint_id=endpoint_id,
        endpoint_version=1,
        event_id=new_id(),
        event_type="esim.activated",
        attempts=0,
        attempts_this_round=0,
        claims=0,
        ordered=False,
        lease_token=7,
        position=1,
    )
    return DirectDelivery(claimed, body, None)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Leaseholder, NodeLanes, Leaseholder, AsyncExitStack]]:
    """Lend a process that has leased nothing, and its sibling, which has leased one lane and can be ended."""
    here, there = Leaseholder(), Leaseholder(new_id())
    async with AsyncExitStack() as sibling, a_process(tmp_path, 0, here) as lanes:
        await sibling.enter_async_context(a_process(tmp_path, 1, there))
        await connected(lanes, next(iter(there.lanes)))
        yield here, lanes, there, sibling


Two = tuple[Leaseholder, NodeLanes, Leaseholder, AsyncExitStack]


async def test_a_delivery_goes_to_the_sibling_that_has_leased_its_lane_with_its_bytes(two: Two) -> None:
    here, lanes, there, _ = two
    one = handed(next(iter(there.lanes)), b"x" * 300_000)

    lanes.hand_over([one])

    await until(lambda: there.got == [one])
    assert here.got == []


async def test_a_lane_is_given_no_more_than_it_has_room_for_until_its_holder_says_that_it_has_room_again(
    two: Two,
) -> None:
    _, lanes, there, _ = two
    endpoint_id = next(iter(there.lanes))
    assert lanes.with_capacity({endpoint_id: ROOM + 1}) == {}

    lanes.hand_over([handed(endpoint_id) for _ in range(ROOM)])

    assert lanes.with_capacity({endpoint_id: 1}) == {}
    await until(lambda: endpoint_id in lanes.with_capacity({endpoint_id: ROOM}))


async def test_a_lane_that_its_holder_gives_up_is_handed_nothing_more(two: Two) -> None:
    _, lanes, there, _ = two
    [endpoint_id] = there.lanes
    there.lanes.clear()
    there.changed()

    await until(lambda: lanes.with_capacity({endpoint_id: 1}) == {})


async def test_where_a_sibling_has_ended_lanes_are_leased_again_as_deliveries_may_have_been_lost_on_the_way(
    two: Two,
) -> None:
    here, lanes, there, sibling = two
    [endpoint_id] = there.lanes

    await sibling.aclose()

    await until(lambda: lanes.with_capacity({endpoint_id: 1}) == {})
    await until(lambda: there.doubts > 0)
    lanes.hand_over([handed(endpoint_id)])
    assert len(here.got) == 1  # which does not hold the lane, and only sees to it that it is looked for


async def test_a_sibling_that_was_started_again_is_handed_deliveries_again(two: Two, tmp_path: Path) -> None:
    _, lanes, there, sibling = two
    [endpoint_id] = there.lanes
    await sibling.aclose()
    await until(lambda: lanes.with_capacity({endpoint_id: 1}) == {})

    async with a_process(tmp_path, 1, there):
        await connected(lanes, endpoint_id)


async def test_who_does_not_know_whether_it_has_committed_has_the_lanes_of_all_leased_again(two: Two) -> None:
    here, lanes, there, _ = two

    lanes.invalidate_leases()

    assert here.doubts == 1
    await until(lambda: there.doubts == 1)

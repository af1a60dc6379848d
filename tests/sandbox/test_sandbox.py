"""The sandbox over real HTTP: what it sends, in which order, and how often."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random

import pytest
from aiohttp import ClientSession, web

from esimhooks.server.domain.notification import InboundRequest, Notification, OrderRef, OrderUpdate
from esimhooks.server.providers.esimaccess_parse import parse
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending
from esimhooks.server.providers.sandbox.sandbox import Sandbox, SandboxConfig
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus

AT_ONCE = SandboxConfig(allocation_s=(0, 0))
FAST = SandboxConfig(allocation_s=(0, 0), speed=1e9)


class Receiver:
    """Keeps the bodies that it takes; hangs up on the first `breaks`, then refuses `refusals` with HTTP 503."""

    def __init__(self) -> None:
        self.breaks = 0
        self.refusals = 0
        self.bodies: list[bytes] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.breaks and request.transport is not None:
            self.breaks -= 1
            request.transport.abort()
            return web.Response()
        if self.refusals:
            self.refusals -= 1
            return web.Response(status=503)
        self.bodies.append(body)
        return web.Response(status=204)

    @property
    def ids(self) -> list[str]:
        return [json.loads(body)["notifyId"] for body in self.bodies]

    def notifications(self) -> list[Notification]:
        return [
            parse(InboundRequest(method="POST", path="", query="", headers={}, body=body, peer="127.0.0.1"))
            for body in self.bodies
        ]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/inbound", receiver.take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/inbound"
    yield receiver
    await runner.cleanup()


@asynccontextmanager
async def running(url: str, config: SandboxConfig, *, seed: int = 1) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(url, config=config, rng=Random(seed))
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()


def purchase(ending: Ending = Ending.USED, *, quantity: int = 1, order_no: str = "B1") -> Purchase:
    return Purchase(order_no=order_no, transaction_id="T1", total_bytes=1000, quantity=quantity, ending=ending)


async def test_a_whole_life_is_sent_in_order_with_the_facts_of_each_step(receiver: Receiver) -> None:
    async with running(receiver.url, FAST) as sandbox:
        (key,) = await sandbox.order(purchase())
        await sandbox.all_drained()
        await sandbox.run_life("B1")

    ordered, *notifications = receiver.notifications()
    updates = [notification.updates[0] for notification in notifications]
    assert ordered.order == OrderUpdate(ref=OrderRef(order_no="B1", transaction_id="T1"))
    assert [notification.kind for notification in notifications] == [
        *("SMDP_EVENT", "SMDP_EVENT", "SMDP_EVENT", "ESIM_STATUS"),
        *("DATA_USAGE", "DATA_USAGE", "DATA_USAGE", "DATA_USAGE", "ESIM_STATUS", "ESIM_STATUS"),
        *("DATA_USAGE", "DATA_USAGE", "DATA_USAGE", "DATA_USAGE", "ESIM_STATUS", "VALIDITY_USAGE", "ESIM_STATUS"),
    ]
    assert [update.smdp_status for update in updates[:3]] == [
        SmdpStatus.DOWNLOADED,
        SmdpStatus.INSTALLED,
        SmdpStatus.ENABLED,
    ]
    assert [update.esim_status for update in updates if update.esim_status] == [
        *(EsimStatus.CREATED, EsimStatus.CREATED, EsimStatus.CREATED, EsimStatus.IN_USE),
        *(EsimStatus.SUSPENDED, EsimStatus.IN_USE, EsimStatus.USED_UP, EsimStatus.USED_EXPIRED),
    ]
    assert [(update.used_bytes, update.total_bytes) for update in updates if update.used_bytes is not None] == [
        *((100, 1000), (250, 1000), (300, 1000), (500, 1000), (750, 1000), (900, 1000), (900, 2000), (2000, 2000)),
    ]
    assert {update.identity.esim_tran_no for update in updates} == {key}
    assert [doubt for notification in notifications for doubt in notification.doubts] == []


async def test_times_and_sequence_numbers_of_one_esim_only_grow(receiver: Receiver) -> None:
    async with running(receiver.url, FAST) as sandbox:
        await sandbox.order(purchase())
        await sandbox.run_life("B1")

    updates = [update for notification in receiver.notifications() for update in notification.updates]
    times = [update.occurred_at for update in updates if update.occurred_at]
    sequences = [update.smdp_sequence for update in updates if update.smdp_sequence is not None]
    assert len(times) == 17
    assert all(earlier < later for earlier, later in pairwise(times))
    assert sequences == list(range(sequences[0], sequences[0] + 3))
    assert len({update.eid for update in updates if update.eid}) == 1


async def test_what_is_left_of_the_validity_is_a_day_when_the_last_day_is_announced(receiver: Receiver) -> None:
    async with running(receiver.url, FAST) as sandbox:
        await sandbox.order(purchase())
        await sandbox.run_life("B1")

    (update,) = [found.updates[0] for found in receiver.notifications() if found.kind == "VALIDITY_USAGE"]
    assert update.occurred_at is not None
    assert update.expire_at is not None
    assert (update.validity_days, update.total_days) == (1, 30)
    assert (update.expire_at - update.occurred_at).total_seconds() == 86_400


@pytest.mark.parametrize(
    ("ending", "status", "count"),
    [
        (Ending.UNUSED, EsimStatus.UNUSED_EXPIRED, 2),
        (Ending.CANCELLED, EsimStatus.CANCEL, 2),
        (Ending.REVOKED, EsimStatus.REVOKED, 7),
    ],
)
async def test_other_endings_are_sent_too(receiver: Receiver, ending: Ending, status: EsimStatus, count: int) -> None:
    async with running(receiver.url, FAST) as sandbox:
        await sandbox.order(purchase(ending))
        await sandbox.all_drained()
        await sandbox.run_life("B1")

    assert len(receiver.bodies) == count
    assert receiver.notifications()[-1].updates[0].esim_status is status


async def test_steps_are_taken_one_by_one_until_life_is_over(receiver: Receiver) -> None:
    async with running(receiver.url, AT_ONCE) as sandbox:
        (key,) = await sandbox.order(purchase(Ending.CANCELLED))
        await sandbox.all_drained()

        step = await sandbox.step(key)
        assert step is not None
        assert (step.name, len(receiver.bodies)) == ("cancelled", 2)
        assert await sandbox.step(key) is None


async def test_an_order_number_is_used_once(receiver: Receiver) -> None:
    async with running(receiver.url, AT_ONCE) as sandbox:
        await sandbox.order(purchase())
        with pytest.raises(ValueError, match="the order B1 exists"):
            await sandbox.order(purchase())


async def test_allocation_takes_its_time_divided_by_the_speed(receiver: Receiver) -> None:
    async with running(receiver.url, SandboxConfig(allocation_s=(3600, 7200), speed=3600 * 1000)) as sandbox:
        (key,) = await sandbox.order(purchase())
        assert sandbox.sent == []
        await sandbox.step(key)
        await sandbox.all_drained()

    assert {notification.kind for notification in receiver.notifications()} == {"ORDER_STATUS", "SMDP_EVENT"}


async def test_a_refused_notification_is_sent_again_before_the_next_one(receiver: Receiver) -> None:
    receiver.refusals = 2
    async with running(receiver.url, FAST) as sandbox:
        await sandbox.order(purchase(Ending.REVOKED))
        await sandbox.all_drained()
        await sandbox.run_life("B1")
        sent = sandbox.sent

    assert [attempt.status for attempt in sent] == [503, 503, *[204] * 7]
    assert len({attempt.notify_id for attempt in sent[:3]}) == 1
    assert receiver.ids == [attempt.notify_id for attempt in sent[2:]]


async def test_notifications_wait_until_there_is_an_address(receiver: Receiver) -> None:
    async with running("", AT_ONCE) as sandbox, ClientSession() as session:
        await sandbox.order(purchase())
        async with session.get(sandbox.base_url):
            assert sandbox.notify_url == ""
        sandbox.notify_url = receiver.url
        await sandbox.all_drained()

    assert [(attempt.notify_type, attempt.status) for attempt in sandbox.sent] == [("ORDER_STATUS", 204)]


async def test_a_notification_whose_connection_breaks_is_sent_again(receiver: Receiver) -> None:
    receiver.breaks = 1
    async with running(receiver.url, AT_ONCE) as sandbox:
        await sandbox.order(purchase())
        await sandbox.all_drained()

    assert [attempt.status for attempt in sandbox.sent] == [0, 204]


async def test_duplicates_repeat_every_notification_with_the_same_id(receiver: Receiver) -> None:
    async with running(receiver.url, SandboxConfig(allocation_s=(0, 0), speed=1e9, duplicates=1)) as sandbox:
        await sandbox.order(purchase())
        await sandbox.run_life("B1")
        await sandbox.all_drained()

    assert set(Counter(receiver.ids).values()) == {2}
    assert len(receiver.bodies) == 36


async def test_disorder_swaps_neighbours_and_loses_none(receiver: Receiver) -> None:
    async with running(receiver.url, SandboxConfig(allocation_s=(0, 0), speed=1e9, disorder=1)) as sandbox:
        await sandbox.order(purchase(Ending.REVOKED))
        await sandbox.all_drained()
        await sandbox.run_life("B1")
        await sandbox.all_drained()

    times = [found.updates[0].occurred_at for found in receiver.notifications()[1:]]
    assert [sorted(time for time in times if time).index(time) for time in times if time] == [
        1,
        0,
        3,
        2,
        5,
        4,
    ]


async def test_what_is_delayed_for_disorder_comes_when_all_is_drained(receiver: Receiver) -> None:
    async with running(receiver.url, SandboxConfig(allocation_s=(0, 0), disorder=1)) as sandbox:
        (key,) = await sandbox.order(purchase())
        await sandbox.all_drained()
        await sandbox.step(key)
        assert len(receiver.bodies) == 1
        await sandbox.all_drained()

    assert len(receiver.bodies) == 2


async def test_the_last_notification_of_a_life_is_never_delayed(receiver: Receiver) -> None:
    async with running(receiver.url, SandboxConfig(allocation_s=(0, 0), disorder=1)) as sandbox:
        (key,) = await sandbox.order(purchase(Ending.CANCELLED))
        await sandbox.all_drained()
        await sandbox.step(key)

        assert len(receiver.bodies) == 2


async def test_the_same_seed_brings_the_same_lives(receiver: Receiver) -> None:
    config = SandboxConfig(allocation_s=(0, 0), speed=1e9, duplicates=0.3, disorder=0.3)
    runs = []
    for _ in range(2):
        async with running(receiver.url, config, seed=5) as sandbox:
            keys = await sandbox.order(Purchase(order_no="B1", transaction_id="T1", quantity=5))
            await sandbox.run_life("B1")
            await sandbox.all_drained()
            runs.append((keys, sorted((sent.esim_tran_no or "", sent.notify_id) for sent in sandbox.sent)))

    assert runs[0] == runs[1]


async def test_stopping_ends_every_task_and_closes_the_door(receiver: Receiver) -> None:
    async with running("http://127.0.0.1:1/", SandboxConfig(allocation_s=(3600, 3600))) as sandbox:
        await sandbox.order(purchase())
        base_url = sandbox.base_url

    left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("sandbox")]
    assert left == []
    async with ClientSession() as session:
        with pytest.raises(OSError, match="Cannot connect"):
            await session.post(f"{base_url}/api/v1/open/esim/query")

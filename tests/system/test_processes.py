"""A node of several processes: seen from outside it is one node, and whichever of its processes dies, it goes on."""

import asyncio
import multiprocessing
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil
import pytest

from api import Api, a_merchant, eventually
from esimhooks.server.app import processes
from esimhooks.server.app.prepare import prepare
from esimhooks.server.app.settings import Settings
from esimhooks.server.runtime.health import ProcessSlot
from esimhooks.server.store.database import Database
from receiver import Receiver
from system.counted_rows import counted_rows
from system.node_process import NodeProcess, settings_of
from system.sent_webhooks import an_endpoint
from system.stored_lanes import all_delivered

pytestmark = [
    pytest.mark.slow(reason="starts a node with two processes, on a machine that may be busy"),
    pytest.mark.timeout(180),
]

PROCESSES = 2
MOST_CLAIMS = 5


@pytest.fixture
async def node(settings: Settings, tmp_path: Path) -> AsyncIterator[NodeProcess]:
    process = NodeProcess(settings_of(settings, processes=str(PROCESSES)), tmp_path / "node.log")
    await process.start()
    children = _children(process)
    yield process
    process.clear_up()
    psutil.wait_procs(children, timeout=30)


@pytest.fixture
async def operator_of_node(node: NodeProcess, settings: Settings) -> AsyncIterator[Api]:
    assert settings.admin_key is not None
    async with Api(node.url, settings.admin_key.get_secret_value()) as api:
        yield api


def _children(node: NodeProcess) -> list[psutil.Process]:
    """Return the processes that do the work: those that were forked, and not what forks them."""
    found = []
    for one in psutil.Process(node.running.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it may end while it is looked at
            if one.ppid() != node.running.pid:
                found.append(one)
    return found


async def test_what_is_accepted_by_any_process_arrives_once_and_is_counted_once(
    node: NodeProcess, operator_of_node: Api, receiver: Receiver, database: Database
) -> None:
    merchant = await a_merchant(operator_of_node)
    async with operator_of_node.as_key(merchant.key) as api:
        await an_endpoint(api, receiver.url())
    for number in range(20):  # each over a connection of its own
        async with Api(node.url, operator_of_node.key) as one:
            await _raise_event(one, merchant.account, number)
    await receiver.wait_for(20, timeout=60)
    await eventually(lambda: all_delivered(database), within_s=60)

    arrived = Counter(request.headers["webhook-id"] for request in receiver.received)
    assert set(arrived.values()) == {1}
    metrics = await operator_of_node.raw("GET", "/metrics", b"")
    assert 'esimhooks_delivery_attempts_total{outcome="2xx"} 20.0' in metrics.body


async def test_a_process_that_dies_is_replaced_and_its_deliveries_go_on(
    node: NodeProcess, operator_of_node: Api, receiver: Receiver, database: Database
) -> None:
    merchant = await a_merchant(operator_of_node)
    async with operator_of_node.as_key(merchant.key) as api:
        for number in range(6):
            await an_endpoint(api, receiver.url(f"/{number}"))
    await _raise_event(operator_of_node, merchant.account, 0)
    await receiver.wait_for(6, timeout=60)
    victim, *others = _children(node)

    victim.kill()

    async def is_whole_again() -> bool:
        return len(set(_children(node)) - {victim}) == PROCESSES

    await eventually(is_whole_again, within_s=60)
    assert set(others) <= set(_children(node))
    async with Api(node.url, operator_of_node.key) as api:
        await _raise_event(api, merchant.account, 1)
    await receiver.wait_for(12, timeout=60)
    await eventually(lambda: all_delivered(database), within_s=60)


async def test_processes_whose_parent_was_killed_end_and_give_their_lanes_back(
    node: NodeProcess, operator_of_node: Api, receiver: Receiver, database: Database
) -> None:
    merchant = await a_merchant(operator_of_node)
    async with operator_of_node.as_key(merchant.key) as api:
        await an_endpoint(api, receiver.url())
    await _raise_event(operator_of_node, merchant.account, 0)
    await receiver.wait_for(1, timeout=60)
    children = _children(node)

    node.kill()

    gone, alive = psutil.wait_procs(children, timeout=30)
    assert (len(gone), alive) == (PROCESSES, [])
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM lanes WHERE leased_until > now()") == 0


async def test_a_process_whose_parent_dies_while_it_starts_ends_in_order(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        prepared, _ = await prepare(settings, stack)
    parent, pipe = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=processes.work, args=(settings, prepared, ProcessSlot(tmp_path, 0, 1), None, pipe))
    child.start()
    parent.close()
    pipe.close()

    await asyncio.to_thread(child.join, 60)

    assert child.exitcode == 0


@pytest.mark.parametrize("begun", [False, True])
async def test_a_stop_that_comes_while_it_starts_ends_it(settings: Settings, *, begun: bool) -> None:
    stop, urls = asyncio.Event(), list[str]()
    several = settings.model_copy(update={"processes": PROCESSES})

    async def has_begun() -> bool:
        return not begun or bool(multiprocessing.active_children())

    serving = asyncio.create_task(processes.serve(several, stop, on_started=lambda node: urls.append(node.url)))
    await eventually(has_begun)
    stop.set()
    await asyncio.wait_for(serving, 30)

    assert urls == []


async def test_a_stop_ends_all_processes(node: NodeProcess, tmp_path: Path) -> None:
    children = _children(node)

    node.terminate()

    assert await node.exit_code() == 0
    assert not any(one.is_running() for one in children)
    assert re.search(r"Traceback|process\.ended", (tmp_path / "node.log").read_text()) is None


async def _raise_event(api: Api, account: str, number: int) -> None:
    update = {
        "esimTranNo": f"{account}-{number}",
        "transactionId": f"t{number}",
        "esimStatus": "IN_USE",
        "totalVolume": 1000,
        "dataUsage": number + 1,
    }
    await api.post("/v1/updates", {"account": account, "mode": "test", "updates": [update]}, status=200)


async def test_what_one_process_takes_in_for_a_lane_of_another_is_not_looked_for_in_the_queue(
    node: NodeProcess, operator_of_node: Api, receiver: Receiver, database: Database, migrated: str
) -> None:
    merchant = await a_merchant(operator_of_node)
    async with operator_of_node.as_key(merchant.key) as api:
        await an_endpoint(api, receiver.url())
    await _raise_event(operator_of_node, merchant.account, 0)
    await receiver.wait_for(1, timeout=60)
    claimed = "NEW.claim_token > 0"
    async with counted_rows(migrated, database, written="UPDATE OF claim_token ON queue", when=claimed) as claims:
        for number in range(1, 41):  # each over a connection of its own, so that both processes take in some
            async with Api(node.url, operator_of_node.key) as one:
                await _raise_event(one, merchant.account, number)
            await receiver.wait_for(number + 1, timeout=60)

    assert claims.count <= MOST_CLAIMS, "half of what comes is for a lane of the other process"

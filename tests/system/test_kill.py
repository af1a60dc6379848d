"""A node that is killed again and again under load loses nothing and creates nothing twice (product, promises 1 to 4).

Seen from outside: what the producer was acknowledged, what the receiver got, and what the API shows.
"""

import asyncio
import shutil
import tempfile
import time
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest

from api import Api, a_merchant, eventually
from receiver import Received, Receiver
from system.gated_answers import answered_after
from system.node_process import NodeProcess, postgres_processes
from system.producer import EVENTS, Producer, Target
from system.sent_webhooks import verified

ADMIN_KEY = "an-operator-key-of-forty-characters-00001"
KILLS = 10
IN_FLIGHT = 20
"""Attempts that a lane has in flight at most, unless its endpoint says otherwise."""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not tmp_path: as root PostgreSQL runs as another user, who cannot pass that folder.
    folder = Path(tempfile.mkdtemp(prefix="esimhooks-kill-"))
    yield folder
    for process in postgres_processes(folder):  # of a test that failed
        process.kill()
    shutil.rmtree(folder)


@pytest.fixture
async def node(data_dir: Path, tmp_path: Path) -> AsyncIterator[NodeProcess]:
    settings = {
        "data_dir": str(data_dir),
        "port": "0",
        "admin_key": ADMIN_KEY,
        "allow_networks": "127.0.0.0/8",
        "usage_interval": "0",
        "log_level": "warning",
    }
    process = NodeProcess(settings, tmp_path / "node.log")
    await process.start()
    yield process
    process.clear_up()


@pytest.mark.slow(reason="kills a server ten times, and each start of one takes seconds")
@pytest.mark.timeout(240)
async def test_a_node_killed_ten_times_under_load_loses_nothing_and_creates_nothing_twice(
    node: NodeProcess, receiver: Receiver, data_dir: Path, tmp_path: Path
) -> None:
    rng = Random()
    receiver.answer(script=[answered_after(0.05)])
    async with Api(node.url, ADMIN_KEY) as operator:
        merchant = await a_merchant(operator, webhook_url=receiver.url())
        inbound = await operator.put("/v1/providers/sim", {"kind": "esimaccess"})
    producer = Producer(
        Target(
            account=merchant.account,
            provider="sim",
            inbound_path=urlsplit(inbound["inboundUrl"]).path,
            key=ADMIN_KEY,
        ),
        tmp_path / "acknowledged",
        seed=1,
    )
    producer.url = node.url

    restarts: list[float] = []
    async with asyncio.TaskGroup() as group:
        producing = group.create_task(producer.run(at_once=6))
        for number in range(KILLS):
            await receiver.wait_for(len(receiver.received) + rng.randint(5, 120), timeout=60)
            node.kill()
            # The last time nothing is moved: how long it takes until the next node serves the lane is shown.
            leased_s = await _leases_end_in_s(data_dir, at_once=number < KILLS - 1)
            restarts.append(time.time())
            await node.start()
            producer.url = node.url
        waited_s = await _until_the_next_webhook(receiver, restarts[-1])
        producer.stop()
        await producing
    async with _database(data_dir) as database:
        await eventually(lambda: _nothing_is_queued(database), within_s=60)
        events = await database.fetchval("SELECT count(*) FROM events")
        deliveries = await database.fetch("SELECT status, count(*) AS n FROM deliveries GROUP BY status")
        pairs = await database.fetchval("SELECT count(DISTINCT (event_id, endpoint_id)) FROM deliveries")
    node.terminate()
    exit_code = await node.exit_code()

    expected = len(producer.begun) * len(EVENTS)
    copies = _copies(receiver.received, str(merchant.secret))
    again = sum(len(arrived) - 1 for arrived in copies.values())
    print(
        f"\n{KILLS} kills, {len(producer.begun)} eSIMs, {producer.requests} requests, {expected} events, "
        f"{len(receiver.received)} webhooks, {again} of them again, "
        f"first webhook {waited_s:.1f} s after the last restart, with {leased_s:.1f} s of lease left"
    )
    assert producer.surprises == []
    assert len(producer.acknowledged()) == expected
    assert events == expected
    assert {row["status"]: row["n"] for row in deliveries} == {"delivered": expected}
    assert pairs == expected
    assert len(copies) == expected
    _assert_each_life_was_emitted_once_and_without_gaps(receiver.received, producer.begun)
    unexplained = [
        identifier
        for identifier, arrived in copies.items()
        for earlier, later in pairwise(arrived)
        if bisect(restarts, earlier) == bisect(restarts, later)
    ]
    assert unexplained == []
    assert again <= KILLS * 3 * IN_FLIGHT
    assert exit_code == 0
    assert postgres_processes(data_dir) == []


def _copies(received: list[Received], secret: str) -> dict[str, list[float]]:
    """Return when each event arrived; every request is verified."""
    copies: dict[str, list[float]] = defaultdict(list)
    bodies: dict[str, bytes] = {}
    for request in received:
        identifier = request.headers["webhook-id"]
        assert verified(request, secret)["id"] == identifier  # the public package allows for five minutes
        assert bodies.setdefault(identifier, request.body) == request.body
        copies[identifier].append(request.at)
    return copies


def _assert_each_life_was_emitted_once_and_without_gaps(received: list[Received], esims: list[str]) -> None:
    by_esim: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)
    for request in received:
        body = msgspec.json.decode(request.body)
        by_esim[body["data"]["esimTranNo"]][body["id"]] = (body["sequence"], body["event"])
    assert sorted(by_esim) == sorted(esims)
    wanted = list(enumerate(EVENTS, 1))
    wrong = {esim: sorted(events.values()) for esim, events in by_esim.items() if sorted(events.values()) != wanted}
    assert wrong == {}
    assert Counter(len(events) for events in by_esim.values()) == {len(EVENTS): len(esims)}


async def _until_the_next_webhook(receiver: Receiver, after: float) -> float:
    """Return the seconds from then to the first webhook of the next life."""
    await receiver.wait_for(sum(one.at <= after for one in receiver.received) + 1, timeout=60)
    return min(one.at for one in receiver.received if one.at > after) - after


@asynccontextmanager
async def _database(data_dir: Path) -> AsyncIterator[asyncpg.Connection]:
    socket_dir = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[4]
    database = await asyncpg.connect(user="esimhooks", database="esimhooks", host=socket_dir, port=5432)
    try:
        yield database
    finally:
        await database.close()


async def _leases_end_in_s(data_dir: Path, *, at_once: bool) -> float:
    """Return how long the dead node's leases last; where they end at once, that time is let pass."""
    async with _database(data_dir) as database:
        left = await database.fetchval("SELECT coalesce(extract(epoch FROM max(leased_until) - now()), 0) FROM lanes")
        if at_once:
            await database.execute("UPDATE lanes SET leased_until = now() WHERE leased_until > now()")
    return float(left)


async def _nothing_is_queued(database: asyncpg.Connection) -> bool:
    return int(await database.fetchval("SELECT count(*) FROM queue")) == 0

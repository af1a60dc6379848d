"""The faults: each does its harm to the stand, mends it, and writes down when it began and ended.

Chance comes in; lines in the campaign's journal come out. Whether esimhooks bears it is for others to find out.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from random import Random

import msgspec

from reliability.journal import Journal
from reliability.lines import Fault, Kind
from reliability.nodes import Node
from reliability.patroni import Cluster, Member
from reliability.processes import GaveUp
from reliability.stand import Stand

LEASE_S = 30.0
MAX_STOP_S = 15.0
DAY_S = 86_400
SERVED_AGAIN_S = 4.0
SERVER_ONLY = 0.7
"""How many primaries are killed alone: their Patroni hands over at once, where a dead machine is waited for."""


class FaultLog:
    """The campaign's own journal."""

    def __init__(self, journal: Journal, first: int) -> None:
        self._journal = journal
        self._next = first

    def began(
        self, kind: Kind, target: str, *, node: Node | None = None, detail: str = "", at: float | None = None
    ) -> Fault:
        """Write down the beginning of a fault, now unless `at` is given; with a node, only that one's attempts suffer."""
        # The name of a node that sends nothing stands for its address: no attempt comes from there.
        address = "" if node is None else node.address if node.dispatches else node.name
        fault = Fault(number=self._next, kind=kind, target=target, began=at or time.time(), node=address, detail=detail)
        self._next += 1
        self._journal.keep_now(fault)
        return fault

    def ended(self, fault: Fault, *, detail: str | None = None) -> None:
        """Write down its end, now."""
        text = fault.detail if detail is None else detail
        self._journal.keep_now(msgspec.structs.replace(fault, ended=time.time(), detail=text))


class Harm:
    """Does the faults, one at a time."""

    def __init__(self, stand: Stand, log: FaultLog, stop_codes: list[str]) -> None:
        self._stand = stand
        self._log = log
        self._stop_codes = stop_codes

    async def do(self, kind: Kind, rng: Random) -> None:
        """Do one fault of the kind. Raises `GaveUp` where the stand cannot be mended."""
        acts: dict[Kind, Callable[[Random], Awaitable[None]]] = {
            Kind.KILL: self._kill,
            Kind.CHILD_KILL: self._kill_child,
            Kind.PARENT_KILL: self._kill_parent,
            Kind.POWER: self._power,
            Kind.DATABASE_KILL: self._kill_database,
            Kind.BACKEND_KILL: self._kill_backend,
            Kind.DATABASE_RESTART: self._restart_database,
            Kind.PAUSE: self._pause,
            Kind.NETWORK: self._cut,
            Kind.DISK: self._fill,
            Kind.CLOCK: self._step,
            Kind.ROLLING: self._roll,
            Kind.FAILOVER: self._fail_over,
            Kind.ISOLATION: self._isolate,
            Kind.SWITCHOVER: self._switch_over,
        }
        await acts[kind](rng)

    async def _kill(self, rng: Random) -> None:
        nodes = self._stand.nodes
        [node] = rng.choices(nodes, weights=[2 if one.roles != "scheduler" else 1 for one in nodes])
        state = "serving" if node.ready else "starting"
        fault = self._log.began(Kind.KILL, node.name, node=node, detail=state)
        node.kill()
        self._log.ended(fault)
        node.start()

    async def _kill_child(self, rng: Random) -> None:
        """End one process of a node of several; its parent starts another."""
        found = [(node, child) for node in self._stand.families for child in node.children()]
        if not found:
            return  # the node that has children is being started
        node, child = rng.choice(found)
        fault = self._log.began(Kind.CHILD_KILL, node.name, node=node, detail="serving" if node.ready else "starting")
        child.kill()
        self._log.ended(fault)

    async def _kill_parent(self, rng: Random) -> None:
        """End the parent alone: its children finish what is in flight and end, while its successor starts."""
        node = rng.choice(self._stand.families)
        fault = self._log.began(Kind.PARENT_KILL, node.name, node=node, detail="serving" if node.ready else "starting")
        node.kill_parent()
        self._log.ended(fault)
        node.start()

    async def _power(self, rng: Random) -> None:
        fault = self._log.began(Kind.POWER, "everything")
        for node in self._stand.nodes:
            node.kill()
        await self._stand.postgres.kill()
        if not self._stand.postgres.revived_by_node:
            await self._stand.postgres.start()
        for node in self._stand.nodes:
            node.start()
        await self._stand.postgres.start()
        self._log.ended(fault)

    async def _kill_database(self, rng: Random) -> None:
        fault = self._log.began(Kind.DATABASE_KILL, "database")
        await self._stand.postgres.kill()
        await self._stand.postgres.start()
        self._log.ended(fault)

    async def _kill_backend(self, rng: Random) -> None:
        fault = self._log.began(Kind.BACKEND_KILL, "database")
        if await self._stand.postgres.kill_backend(rng):
            await asyncio.sleep(0.2)  # the server notices and begins to restart
        await self._stand.postgres.start()
        self._log.ended(fault)

    async def _restart_database(self, rng: Random) -> None:
        mode = rng.choice((signal.SIGINT, signal.SIGQUIT))
        detail = "fast" if mode is signal.SIGINT else "immediate"
        fault = self._log.began(Kind.DATABASE_RESTART, "database", detail=detail)
        await self._stand.postgres.stop(mode)
        await self._stand.postgres.start()
        self._log.ended(fault)

    async def _pause(self, rng: Random) -> None:
        node = rng.choice(self._stand.dispatchers)
        seconds = LEASE_S + rng.uniform(1, 8)
        fault = self._log.began(Kind.PAUSE, node.name, node=node, detail=f"{seconds:.0f} s")
        node.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        node.signal(signal.SIGCONT)
        self._log.ended(fault)

    async def _cut(self, rng: Random) -> None:
        network = self._stand.network
        if network is None:
            raise GaveUp("there is no network to cut")
        node = rng.choice(self._stand.nodes)
        seconds = rng.uniform(1, 20)
        fault = self._log.began(Kind.NETWORK, node.name, node=node, detail=f"{seconds:.0f} s")
        network.cut(node.name)
        await asyncio.sleep(seconds)
        network.mend(node.name)
        self._log.ended(fault)

    async def _fill(self, rng: Random) -> None:
        disk = self._stand.disk
        if disk is None:
            raise GaveUp("there is no disk to fill")
        seconds = rng.uniform(4, 12)
        fault = self._log.began(Kind.DISK, "database", detail=f"{seconds:.0f} s")
        await asyncio.to_thread(disk.fill)
        await asyncio.sleep(seconds)
        stood = "stood" if self._stand.postgres.ready else "fell"
        disk.free()
        await self._stand.postgres.start()
        self._log.ended(fault, detail=f"{seconds:.0f} s, PostgreSQL {stood}")

    async def _step(self, rng: Random) -> None:
        name = rng.choice(sorted(self._stand.clocks))
        step = rng.choice((600, -600, DAY_S, -DAY_S))
        seconds = rng.uniform(5, 15)
        [node] = [one for one in self._stand.nodes if one.name == name]
        fault = self._log.began(Kind.CLOCK, name, node=node, detail=f"{step:+d} s for {seconds:.0f} s, then back")
        self._stand.clocks[name].set(step)
        await asyncio.sleep(seconds)
        self._stand.clocks[name].set(0)
        self._log.ended(fault)

    async def _fail_over(self, rng: Random) -> None:
        cluster, old = self._cluster()
        server_only = rng.random() < SERVER_ONLY
        what = f"the server of {old.name} killed" if server_only else f"{old.name} killed with its Patroni"
        fault = self._log.began(Kind.FAILOVER, "database", detail=what)
        old.kill(server_only=server_only)
        new = await cluster.promoted(but_not=old)
        self._log.ended(fault, detail=f"{what}, {new.name} promoted")
        await self._served_again()
        if not server_only:
            cluster.restart(old)
        await cluster.whole()

    async def _isolate(self, rng: Random) -> None:
        cluster, old = self._cluster()
        fault = self._log.began(Kind.ISOLATION, "database", detail=f"{old.name} cut off")
        cluster.cut(old)
        new = await cluster.promoted(but_not=old)
        self._log.ended(fault, detail=f"{old.name} cut off, {new.name} promoted")
        await self._served_again()
        cluster.mend(old)
        await cluster.whole()

    async def _switch_over(self, rng: Random) -> None:
        cluster, old = self._cluster()
        [new] = [one for one in cluster.members if one is not old]
        fault = self._log.began(Kind.SWITCHOVER, "database", detail=f"from {old.name} to {new.name}")
        promotion = asyncio.create_task(cluster.promoted(but_not=old))
        while not promotion.done():  # Patroni refuses while it is about to name the synchronous standby
            await asyncio.to_thread(cluster.switch_over, old, new)
            await asyncio.wait([promotion], timeout=1)
        await promotion
        self._log.ended(fault)
        await self._served_again()
        await cluster.whole()

    def _cluster(self) -> tuple[Cluster, Member]:
        cluster = self._stand.cluster
        primary = cluster.primary() if cluster is not None else None
        if cluster is None or primary is None:
            raise GaveUp("there is no cluster with a primary")
        return cluster, primary

    async def _served_again(self) -> None:
        """Give the nodes time to be seen going on, before the old primary comes back."""
        await asyncio.sleep(SERVED_AGAIN_S)

    async def _roll(self, rng: Random) -> None:
        fault = self._log.began(Kind.ROLLING, "all nodes, one after the other")
        for node in self._stand.nodes:
            began = time.monotonic()
            code = await node.stop()
            took_s = time.monotonic() - began
            if code != 0 or took_s > MAX_STOP_S:
                self._stop_codes.append(f"{node.name} ended with {code} after {took_s:.1f} s")
            node.start()
            await node.started()
        self._log.ended(fault)

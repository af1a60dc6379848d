"""The campaign: load and faults until the plan is done, then everything comes to rest and is compared.

In comes the state, new or of a campaign that was killed; out go journals on disk, the state after each fault, and the
evidence at the end. It decides when the next fault comes, and nothing about what counts as a failure.
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
from msgspec import Struct

from reliability import state as states
from reliability.faults import FaultLog, Harm
from reliability.journal import Journal, read
from reliability.lines import Fault, Kind
from reliability.nodes import Node
from reliability.operations import ENDED_OTHERWISE, Operations
from reliability.plan import plan
from reliability.processes import GaveUp, ended, launched, until
from reliability.producer import Plan
from reliability.pulse import Pulse
from reliability.stand import Stand
from reliability.state import State

ACCOUNTS = ("a0", "a1")
SETTLE_LIMIT_S = 60.0
REST_LIMIT_S = 180.0
PRODUCER_END_S = 120.0
QUIET_S = 3.0
PROMOTIONS = frozenset({Kind.FAILOVER, Kind.ISOLATION, Kind.SWITCHOVER})
ALWAYS_SETTLED = frozenset({Kind.PAUSE, Kind.NETWORK, Kind.DISK, Kind.CLOCK, Kind.ROLLING}) | PROMOTIONS
"""Faults around which no other comes: they begin and end with everything going on."""


class Rest(Struct, kw_only=True):
    """How it was when all had come to rest."""

    stopped_at: float
    """When the producer was signalled to end."""
    listed: dict[str, set[str]]
    """The ids of the events that the API shows, by account."""
    unfinished: dict[str, int]
    """How many deliveries are in another status than delivered, as far as 100 of each."""


class Paths:
    """Where things lie in the folder of the campaign's work."""

    def __init__(self, work: str) -> None:
        folder = Path(work)
        self.sent = folder / "sent.jsonl"
        self.received = folder / "received.jsonl"
        self.faults = folder / "faults.jsonl"
        self.lanes = folder / "lanes.json"
        self.plan = folder / "plan.json"
        self.processes = folder / "processes.log"


class Campaign:
    """One run of the plan, from its beginning or from where it stopped. `results` is the folder of state and report."""

    def __init__(self, state: State, results: Path) -> None:
        self._state = state
        self._results = results
        self._paths = Paths(state.work)
        self._stand = Stand(state)
        seen = [fault.number for fault in read(self._paths.faults, Fault)]
        self._log = FaultLog(Journal(self._paths.faults), max(seen, default=0) + 1)
        self._harm = Harm(self._stand, self._log, state.stop_codes)
        self._operations = Operations(self._stand.url, state.admin_key)
        # That the campaign itself was killed is a fault too, which began when it was last seen alive.
        again = state.starts > 0
        self._interrupted = self._log.began(Kind.INTERRUPTED, "everything", at=state.alive_at) if again else None

    async def run(self) -> Rest:
        """Run it to its end and return how it was at rest. Raises `GaveUp` where the stand could not be kept going."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._stand.watch(self._note_exit), name="watch")
            async with self._standing(), self._receiving(), self._producing() as producer:
                pulse = Pulse(self._paths.sent, self._paths.received, self._lanes())
                if not await pulse.felt_since(time.time(), within_s=SETTLE_LIMIT_S):
                    raise GaveUp("nothing arrives although no fault was made yet")
                if self._interrupted is not None:
                    self._log.ended(self._interrupted)
                await self._faults(pulse)
                stopped_at = time.time()
                producer.send_signal(signal.SIGTERM)
                await ended(producer, within_s=PRODUCER_END_S)
                rest = await self._rest(pulse, stopped_at)
            watching.cancel()
        return rest

    async def _faults(self, pulse: Pulse) -> None:
        options = self._state.options
        kinds = plan(options.kills, seed=options.seed, possible=self._stand.kinds(), only=options.only)
        for number, kind in enumerate(kinds, 1):
            if number <= self._state.done:
                continue
            if self._state.spent_s > options.minutes * 60:
                break
            began = time.monotonic()
            rng = Random(f"fault {options.seed} {number}")
            settle = kind in ALWAYS_SETTLED or rng.random() * options.settle_every < 1 or number == len(kinds)
            if kind in ALWAYS_SETTLED:
                await pulse.felt_since(time.time(), within_s=SETTLE_LIMIT_S)
            print(f"{time.strftime('%H:%M:%S')}  {number}/{len(kinds)}  {kind}", flush=True)
            await self._harm.do(kind, rng)
            if settle:
                await pulse.felt_since(time.time(), within_s=SETTLE_LIMIT_S)
                await asyncio.sleep(1)
            else:
                await asyncio.sleep(rng.uniform(1, 8))
            self._state.done = number
            self._state.spent_s += time.monotonic() - began
            self._save()

    async def _rest(self, pulse: Pulse, stopped_at: float) -> Rest:
        """Wait until nothing is pending, and count what there is."""
        unfinished: dict[str, int] = {}
        deadline = time.monotonic() + REST_LIMIT_S
        while time.monotonic() < deadline:
            unfinished = await self._unfinished(("pending",))
            if not unfinished and pulse.quiet_s() > QUIET_S:
                break
            await asyncio.sleep(1)
        return Rest(
            stopped_at=stopped_at,
            listed={name: await self._operations.event_ids(one) for name, one in self._state.accounts.items()},
            unfinished=await self._unfinished(ENDED_OTHERWISE),
        )

    async def _unfinished(self, statuses: tuple[str, ...]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for account in self._state.accounts.values():
            for status, count in (await self._operations.unfinished(account, statuses)).items():
                counts[status] = counts.get(status, 0) + count
        return counts

    @asynccontextmanager
    async def _standing(self) -> AsyncIterator[None]:
        try:
            await self._stand.start()
            if not self._state.accounts:
                receiver = f"http://{self._stand.host}:{self._state.receiver_port}"
                await self._operations.make_provider()
                made = {name: await self._operations.make_account(name, receiver) for name in ACCOUNTS}
                self._state.accounts = made
            self._state.starts += 1
            self._save()
            yield
        finally:
            await self._stand.stop()

    @asynccontextmanager
    async def _receiving(self) -> AsyncIterator[None]:
        lanes = {name: lane for account in self._state.accounts.values() for name, lane in account.lanes.items()}
        self._paths.lanes.write_bytes(msgspec.json.encode(lanes))
        where = ("--host", self._stand.host, "--port", str(self._state.receiver_port))
        files = ("--lanes", str(self._paths.lanes), "--journal", str(self._paths.received))
        receiver = launched((sys.executable, "-m", "reliability.receiver", *where, *files), self._paths.processes)
        try:
            await until(self._paths.received.exists, "the start of the receiver", within_s=30)
            yield
        finally:
            receiver.kill()
            receiver.wait()

    @asynccontextmanager
    async def _producing(self) -> AsyncIterator["subprocess.Popen[bytes]"]:
        options, state = self._state.options, self._state
        plan_of_it = Plan(
            url=self._stand.url,
            key=state.admin_key,
            accounts=tuple(state.accounts[name].id for name in ACCOUNTS),
            seed=f"{options.seed} {state.starts}",
            run=f"g{state.starts}",
            rate=options.rate,
            journal=str(self._paths.sent),
        )
        self._paths.plan.write_bytes(msgspec.json.encode(plan_of_it))
        command = (sys.executable, "-m", "reliability.producer", str(self._paths.plan))
        producer = launched(command, self._paths.processes)
        try:
            yield producer
        finally:
            producer.kill()
            producer.wait()

    def _lanes(self) -> list[str]:
        return [lane for account in self._state.accounts.values() for lane in account.lanes]

    def _note_exit(self, node: Node) -> None:
        detail = f"code {node.exit_code}: {node.last_words()}"
        self._log.ended(self._log.began(Kind.EXIT, node.name, node=node, detail=detail))
        if node.ready:
            self._state.own_exits.append(f"{node.name}, {detail}")

    def _save(self) -> None:
        self._state.alive_at = time.time()
        states.save(self._results, self._state)

"""The producer: a process of its own that tells the lives of eSIMs and never gives up on a step.

In comes a plan (address, key, accounts, rate), out goes a journal: a step counts as acknowledged once its line is on
disk. Some requests are sent twice at once, some again later. It imports nothing of esimhooks. SIGTERM lets it begin no
more lives; it ends once those begun are told.
"""

import asyncio
import signal
import sys
import time
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from msgspec import Struct

from reliability.journal import Journal
from reliability.life import LIFE, expected_events, update_of
from reliability.lines import Told

AT_ONCE = 16
"""Groups of eSIMs whose lives are told at the same time."""
LARGEST_GROUP = 4
AGAIN_S = 0.15
ANSWER_LIMIT_S = 10.0
TWICE_AT_ONCE = 0.2
ONCE_MORE_LATER = 0.15


class Plan(Struct, frozen=True, kw_only=True):
    """What to do. `run` tells the eSIMs of one start of the producer from those of another; `rate` is events a second."""

    url: str
    key: str
    accounts: tuple[str, ...]
    seed: str
    run: str
    rate: float
    journal: str


class Result(Struct):
    """The answer to one update."""

    outcome: str
    events: tuple[str, ...] = ()
    detail: str | None = None


class Results(Struct):
    """The answer to a request."""

    results: list[Result]


class Pace:
    """Lets through so many events a second; what was not used in an outage is not made up for."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def wait(self, events: int) -> None:
        """Return when so many more may be sent."""
        now = asyncio.get_running_loop().time()
        begin_at = max(now, self._free_at)
        self._free_at = begin_at + events / self._rate
        await asyncio.sleep(begin_at - now)


class Producer:
    """Tells lives until it is stopped."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._journal = Journal(Path(plan.journal))
        self._chance = Random(plan.seed)
        self._pace = Pace(plan.rate)
        self._numbers = count(1)
        self._stopping = False

    async def run(self) -> None:
        """Tell lives, several at a time."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        headers = {"authorization": f"Bearer {self._plan.key}"}
        async with ClientSession(headers=headers, timeout=ClientTimeout(total=ANSWER_LIMIT_S)) as session:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._lives(session))
            await self._journal.sync()

    def _stop(self) -> None:
        self._stopping = True

    async def _lives(self, session: ClientSession) -> None:
        while not self._stopping:
            account = self._chance.randrange(len(self._plan.accounts))
            size = self._chance.randint(1, LARGEST_GROUP)
            esims = [f"{self._plan.run}a{account}n{next(self._numbers):06}" for _ in range(size)]
            async with asyncio.TaskGroup() as later:
                for step, told in enumerate(LIFE):
                    await self._pace.wait(len(told.raises) * size)
                    copies = 2 if self._chance.random() < TWICE_AT_ONCE else 1
                    tell = [self._tell(session, self._plan.accounts[account], esims, step) for _ in range(copies)]
                    await asyncio.gather(*tell)
                    if self._chance.random() < ONCE_MORE_LATER:
                        delay_s = self._chance.uniform(0.1, 3)
                        later.create_task(self._tell(session, self._plan.accounts[account], esims, step, delay_s))

    async def _tell(
        self, session: ClientSession, account: str, esims: list[str], step: int, delay_s: float = 0.0
    ) -> None:
        """Send the step of these eSIMs in one request until it is acknowledged, as providers do."""
        await asyncio.sleep(delay_s)
        updates = [update_of(esim, step) for esim in esims]
        body = {"account": account, "mode": "test", "updates": updates}
        for esim in esims:
            self._journal.note(Told(esim=esim, step=step, at=time.time()))
        while True:
            try:
                async with session.post(f"{self._plan.url}/v1/updates", json=body) as answer:
                    said = await answer.read()
                    if answer.status < 500:
                        await self._write_down(esims, step, answer.status, said)
                        return
            except (ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(AGAIN_S)

    async def _write_down(self, esims: list[str], step: int, status: int, said: bytes) -> None:
        at = time.time()
        try:
            results = msgspec.json.decode(said, type=Results).results
        except msgspec.DecodeError:
            results = []
        if status != 200 or len(results) != len(esims):
            refused = f"{status} {said[:200].decode(errors='replace')}"
            await self._journal.keep(Told(esim=esims[0], step=step, at=at, refused=refused))
            return
        for esim, result in zip(esims, results, strict=True):
            self._journal.note(
                Told(
                    esim=esim,
                    step=step,
                    at=at,
                    outcome=result.outcome,
                    events=result.events,
                    refused=_wrong(result, step),
                )
            )
        await self._journal.sync()


def _wrong(result: Result, step: int) -> str | None:
    """Return what is wrong with the answer: the first time all events are told, every other time it is a duplicate."""
    if result.outcome == "duplicate" and not result.events:
        return None
    if result.outcome in ("applied", "unchanged") and len(result.events) == len(expected_events(step)):
        return None
    return f"{result.outcome} with {len(result.events)} events: {result.detail}"


def _plan(argument: str) -> Any:
    return msgspec.json.decode(Path(argument).read_bytes(), type=Plan)


if __name__ == "__main__":
    asyncio.run(Producer(_plan(sys.argv[1])).run())

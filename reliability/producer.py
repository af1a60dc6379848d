"""The producer: a process of its own that reports the lives of eSIMs and never gives up on a step.

In comes a plan (address, key, accounts, rate), out goes a journal: a step counts as acknowledged once its line is on
disk. Some eSIMs are bought by an order of several first. A request has one step or several; some are sent twice at once,
some again later. It imports nothing of esimhooks. SIGTERM lets it begin no more lives; it ends once those begun are complete.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from msgspec import Struct

from reliability.journal import Journal
from reliability.life import LIFE, expected_events, update_of
from reliability.lines import SentUpdate

AT_ONCE = 16
"""Groups of eSIMs whose lives are reported at the same time."""
MAX_GROUP = 4
AGAIN_S = 0.15
ANSWER_LIMIT_S = 10.0
TWICE_AT_ONCE = 0.2
ONCE_MORE_LATER = 0.15
MAX_STEPS = 3
ONE_MORE_STEP = 0.4
ORDERED = 0.4
"""How many groups are eSIMs of one order."""
PROVIDER = "upstream"


class Plan(Struct, frozen=True, kw_only=True):
    """What to do. `run` distinguishes the eSIMs of one start of the producer from those of another; `rate` is events a second."""

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


class Group(Struct, frozen=True):
    """eSIMs whose lives are reported together, and the order that they are of."""

    account: str
    esims: list[str]
    order: str | None = None


class Producer:
    """Tells lives until it is stopped."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._journal = Journal(Path(plan.journal))
        self._rng = Random(plan.seed)
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
            account = self._rng.randrange(len(self._plan.accounts))
            size = self._rng.randint(1, MAX_GROUP)
            esims = [f"{self._plan.run}a{account}n{next(self._numbers):06}" for _ in range(size)]
            group = Group(self._plan.accounts[account], esims)
            if self._rng.random() < ORDERED:
                group = await self._ordered(session, group)
            async with asyncio.TaskGroup() as later:
                for steps in self._requests():
                    await self._pace.wait(sum(len(LIFE[step].raises) for step in steps) * size)
                    copies = 2 if self._rng.random() < TWICE_AT_ONCE else 1
                    tell = [self._tell(session, group, steps) for _ in range(copies)]
                    certain = all(await asyncio.gather(*tell))
                    if all(LIFE[step].timed for step in steps):
                        if self._rng.random() < ONCE_MORE_LATER:
                            delay_s = self._rng.uniform(0.1, 3)
                            later.create_task(self._tell(session, group, steps, delay_s))
                    elif not certain:
                        break

    def _requests(self) -> Iterator[list[int]]:
        """Return the steps of a life as they are cut into requests.

        A step without a time is the last of its request: where that is sent again because its answer was lost, only the
        last of them is known again. For the same reason a life ends with one that may still be under way.
        """
        steps: list[int] = []
        for step, entry in enumerate(LIFE):
            steps.append(step)
            if entry.timed and len(steps) < MAX_STEPS and self._rng.random() < ONE_MORE_STEP:
                continue
            yield steps
            steps = []
        if steps:
            yield steps

    async def _ordered(self, session: ClientSession, group: "Group") -> "Group":
        """Order as many eSIMs as are in the group; each update takes a slot of the order."""
        order = group.esims[0]
        body = {
            "account": group.account,
            "mode": "test",
            "provider": PROVIDER,
            "transactionId": f"shop-{order}",
            "packageCode": "P",
            "quantity": len(group.esims),
        }
        while True:
            with suppress(ClientError, OSError, TimeoutError):
                async with session.post(f"{self._plan.url}/v1/orders", json=body) as answer:
                    content = await answer.read()
                    if answer.status < 300:
                        return Group(group.account, group.esims, order)
                    if answer.status < 500:
                        raise RuntimeError(f"the order was refused: {content[:200]!r}")
            await asyncio.sleep(AGAIN_S)

    async def _tell(self, session: ClientSession, group: "Group", steps: list[int], delay_s: float = 0.0) -> bool:
        """Send the steps of these eSIMs in one request until it is acknowledged, as providers do.

        Return whether none of the requests may still be under way.
        """
        await asyncio.sleep(delay_s)
        sent = [(esim, step) for step in steps for esim in group.esims]
        updates = [update_of(esim, step, order=group.order) for esim, step in sent]
        body = {"account": group.account, "mode": "test", "updates": updates}
        for esim, step in sent:
            self._journal.note(SentUpdate(esim=esim, step=step, at=time.time()))
        certain = True
        while True:
            try:
                async with session.post(f"{self._plan.url}/v1/updates", json=body) as answer:
                    content = await answer.read()
                    if answer.status < 500:
                        await self._write_down(sent, answer.status, content)
                        return certain
            except (ClientError, OSError, TimeoutError):
                certain = False
            await asyncio.sleep(AGAIN_S)

    async def _write_down(self, sent: list[tuple[str, int]], status: int, content: bytes) -> None:
        at = time.time()
        try:
            results = msgspec.json.decode(content, type=Results).results
        except msgspec.DecodeError:
            results = []
        if status != 200 or len(results) != len(sent):
            refused = f"{status} {content[:200].decode(errors='replace')}"
            esim, step = sent[0]
            await self._journal.keep(SentUpdate(esim=esim, step=step, at=at, refused=refused))
            return
        for (esim, step), result in zip(sent, results, strict=True):
            self._journal.note(
                SentUpdate(
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
    """Return what is wrong with the answer: the first time it has all events, every other time it is a duplicate."""
    if result.outcome == "duplicate" and not result.events:
        return None
    if result.outcome in ("applied", "unchanged") and len(result.events) == len(expected_events(step)):
        return None
    return f"{result.outcome} with {len(result.events)} events: {result.detail}"


def _plan(argument: str) -> Any:
    return msgspec.json.decode(Path(argument).read_bytes(), type=Plan)


if __name__ == "__main__":
    asyncio.run(Producer(_plan(sys.argv[1])).run())

"""A producer that never gives up: eSIM after eSIM, each with a life of eight steps that raise one event each.

Half of them are a provider's (orders, then notifications as eSIM Access writes them), half are the operator's own
updates. Each step is sent one to three times at once, each copy until it is acknowledged, and late copies arrive after
later steps. What was acknowledged is on disk before anything else happens.
"""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from aiohttp import ClientError, ClientSession, ClientTimeout
from msgspec import Struct

from api import Json

LIFE = (
    ("CREATED", 0, "esim.created"),
    ("IN_USE", 0, "esim.activated"),
    ("IN_USE", 25, "esim.data_updated"),
    ("IN_USE", 50, "esim.data_updated"),
    ("IN_USE", 75, "esim.data_updated"),
    ("IN_USE", 90, "esim.data_updated"),
    ("IN_USE", 100, "esim.data_updated"),
    ("USED_EXPIRED", 100, "esim.expired"),
)
"""Status, percent used, and the event that the step raises."""

PROVIDERS_WORD = {"CREATED": "GOT_RESOURCE"}
"""What eSIM Access calls a status, where it has a word of its own."""

EVENTS = [event for _, _, event in LIFE]
VOLUME = 1_048_576_000
AGAIN_S = 0.1


class Step(Struct, frozen=True):
    """One request: where it goes and what it says."""

    name: str
    path: str
    body: Json


class Target(Struct, frozen=True, kw_only=True):
    """Whose eSIMs they are, and the provider's inbound address without the node."""

    account: str
    provider: str
    inbound_path: str
    key: str


class Producer:
    """Sends until `stop`. `url` is that of the node, which may change; `begun` are the eSIMs, by their provider's key."""

    def __init__(self, target: Target, journal: Path, *, seed: int) -> None:
        self.url = ""
        self.begun: list[str] = []
        self.surprises: list[Json] = []
        self.requests = 0
        self._target = target
        self._journal = journal
        self._random = Random(seed)
        self._started_at = datetime.now(UTC) - timedelta(days=1)
        self._stopping = False

    async def run(self, *, at_once: int) -> None:
        """Send, so many eSIMs at a time, until `stop`; those begun are finished."""
        headers = {"authorization": f"Bearer {self._target.key}"}
        timeout = ClientTimeout(total=15)
        async with ClientSession(headers=headers, timeout=timeout) as session, asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._live(session))

    def stop(self) -> None:
        """Begin no more eSIMs."""
        self._stopping = True

    def acknowledged(self) -> set[str]:
        """Return the names of the steps that were acknowledged, from the disk."""
        return {json.loads(line)["step"] for line in self._journal.read_text().splitlines()}

    async def _live(self, session: ClientSession) -> None:
        while not self._stopping:
            number = len(self.begun)
            key = f"T{number:06}"
            self.begun.append(key)
            steps = self._notifications(key) if number % 2 else self._updates(key)
            late: set[asyncio.Task[None]] = set()
            for step in steps:
                copies = {asyncio.create_task(self._send(session, step)) for _ in range(self._random.choice((1, 2, 3)))}
                acknowledged, repeating = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.gather(*acknowledged)  # raises what has ended one
                late |= repeating
            await asyncio.gather(*late)

    async def _send(self, session: ClientSession, step: Step) -> None:
        """Send until it is acknowledged, as providers do."""
        while True:
            self.requests += 1
            try:
                async with session.post(self.url + step.path, json=step.body) as answer:
                    answered = await answer.json(content_type=None)
                    if answer.status < 300:
                        self._note(step, answered)
                        return
                    if answer.status < 500:
                        self.surprises.append({"step": step.name, "status": answer.status, "answer": answered})
                        return
            except (ClientError, OSError, TimeoutError, ValueError):
                pass
            pause = asyncio.Event()
            asyncio.get_running_loop().call_later(AGAIN_S, pause.set)
            await pause.wait()

    def _note(self, step: Step, answer: Json) -> None:
        [result] = answer.get("results", [answer])
        if "orders" not in step.path:
            if result["outcome"] not in ("applied", "duplicate"):
                self.surprises.append({"step": step.name, "answer": answer})
            with self._journal.open("a") as journal:
                journal.write(json.dumps({"step": step.name, "outcome": result["outcome"]}) + "\n")
                journal.flush()
                os.fsync(journal.fileno())

    def _updates(self, key: str) -> list[Step]:
        return [
            Step(
                f"{key}/{index}",
                "/v1/updates",
                {
                    "account": self._target.account,
                    "mode": "test",
                    "updates": [
                        {
                            "transactionId": f"shop-{key}",
                            "esimTranNo": key,
                            "occurredAt": self._at(index),
                            "esimStatus": status,
                            "totalVolume": VOLUME / 1_048_576,
                            "dataUsage": VOLUME * percent / 100 / 1_048_576,
                        }
                    ],
                },
            )
            for index, (status, percent, _) in enumerate(LIFE)
        ]

    def _notifications(self, key: str) -> list[Step]:
        order = {
            "account": self._target.account,
            "mode": "test",
            "provider": self._target.provider,
            "transactionId": f"shop-{key}",
            "packageCode": "XX_1",
        }
        notifications = [
            Step(f"{key}/{index}", self._target.inbound_path, self._notification(key, index))
            for index, _ in enumerate(LIFE)
        ]
        return [Step(f"{key}/order", "/v1/orders", order), *notifications]

    def _notification(self, key: str, index: int) -> Json:
        status, percent, event = LIFE[index]
        used = VOLUME * percent // 100
        content: Json = {"orderNo": f"B{key}", "esimTranNo": key, "transactionId": f"shop-{key}"}
        if event == "esim.data_updated":
            kind = "DATA_USAGE"
            content |= {"totalVolume": VOLUME, "orderUsage": used, "lastUpdateTime": self._at(index)}
        else:
            kind = "ESIM_STATUS"
            content |= {"esimStatus": PROVIDERS_WORD.get(status, status), "totalVolume": VOLUME, "orderUsage": used}
        return {
            "notifyType": kind,
            "notifyId": f"{key}-{index}",
            "eventGenerateTime": self._at(index),
            "content": content,
        }

    def _at(self, index: int) -> str:
        return f"{self._started_at + timedelta(minutes=index):%Y-%m-%dT%H:%M:%SZ}"

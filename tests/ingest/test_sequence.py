"""The law of intake: a batch is a sequence, however it is cut into requests and however requests share a commit.

Random lists of the operator's updates and of two providers' notifications are sent one by one, then cut into requests,
then at once, then stored first and applied later; each time to an account of its own. What comes of them must be the
same, or what some order of them gives.
More examples: `make sequence-law EXAMPLES=2000`.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from random import Random
from typing import Any

import pytest
from aiohttp import ClientSession

from api import Api, Json
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.jobs.stored_notifications import StoredNotifications
from esimhooks.server.providers import registry
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store.database import Database

EXAMPLES = int(os.environ.get("SEQUENCE_EXAMPLES", "100"))
Apply = Callable[[], Awaitable[None]]
AT_ONCE_EVERY = 4
"""One example in so many is also sent at once, and compared with every order of its requests."""
SHARDS = 4
AHEAD = 60
PROVIDERS = ("one", "two")
STATUSES = ("CREATED", "IN_USE", "SUSPENDED", "CANCEL", "USED_UP")
NOT_COMPARED = frozenset(
    "id transactionId orderNo esimTranNo iccid createdAt updatedAt activateTime lastUsageUpdate replaces replacedBy".split()  # noqa: SIM905
)

Step = dict[str, Any]


def a_step(rng: Random) -> Step:
    """An update or a notification about one of a few eSIMs, with or without key, ICCID, order, time and id."""
    profile = rng.randrange(4)
    keys: Json = {}
    if rng.random() < 0.8:
        keys["transactionId"] = rng.choice(["t1", "t2", "o1", "o2"])
    if rng.random() < 0.55:
        keys["esimTranNo"] = f"K{profile}"
    if rng.random() < 0.4:
        keys["iccid"] = f"{profile}"
    if rng.random() < 0.2:
        keys["orderNo"] = "B1"
    if not keys.keys() - {"iccid"}:  # an ICCID is the same in every world
        keys["esimTranNo"] = f"K{profile}"
    step: Step = {"keys": keys, "status": rng.choice(STATUSES), "time": None, "id": None, "usage": None}
    if rng.random() < 0.3:
        step["time"] = rng.choice([*range(1, 50), *[AHEAD] * 12])
    if rng.random() < 0.4:
        step["usage"] = rng.randrange(0, 100)
    if rng.random() < 0.35:
        step["source"] = rng.choice(PROVIDERS)
        step["id"] = rng.choice([None, f"n{rng.randrange(3)}"])
    else:
        step["source"] = "updates"
        step["provider"] = rng.choice([None, None, None, *PROVIDERS])
    return step


def requests_of(steps: Sequence[Step], rng: Random) -> list[list[Step]]:
    """Cut the steps into requests; a notification is one by itself."""
    requests: list[list[Step]] = []
    for step in steps:
        joins = requests and step["source"] == requests[-1][-1]["source"] == "updates"
        if joins and rng.random() < 0.6:
            requests[-1].append(step)
        else:
            requests.append([step])
    return requests


class World:
    """An account of its own with an order of two at each provider, where steps are sent; ids are unlike those of others."""

    def __init__(self, operator: Api, session: ClientSession, inbound: dict[str, str], name: str) -> None:
        self._operator = operator
        self._session = session
        self._inbound = inbound
        self._name = name
        self.account = ""
        self.began = datetime.now(UTC)

    async def begin(self) -> "World":
        """Make the account and its orders."""
        self.account = (await self._operator.post("/v1/accounts", {"name": self._name}))["id"]
        for provider, transaction in zip(PROVIDERS, ("o1", "o2"), strict=True):
            order = {
                "account": self.account,
                "mode": "test",
                "provider": provider,
                "transactionId": self._own(transaction),
                "orderNo": self._own("B1"),
                "packageCode": "P",
                "quantity": 2,
            }
            await self._operator.post("/v1/orders", order)
        return self

    def _own(self, text: str) -> str:
        return f"{text}-{self._name}"

    def _time_of(self, step: Step) -> str:
        """The provider's time: long ago, or by a clock that is a minute ahead."""
        if step["time"] != AHEAD:
            return f"2026-03-01T10:{step['time']:02d}:00Z"
        return (self.began + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _keys(self, step: Step) -> Json:
        own = {name: self._own(value) for name, value in step["keys"].items() if name != "iccid"}
        if "iccid" in step["keys"]:
            own["iccid"] = f"89000000000000000{int(step['keys']['iccid']):02d}"
        return own

    async def send(self, request: Sequence[Step]) -> list[Json]:
        """Send one request; return what became of each of its steps."""
        if request[0]["source"] != "updates":
            return [await self._notify(request[0])]
        updates = [self._update(step) for step in request]
        body = {"account": self.account, "mode": "test", "updates": updates}
        answer: list[Json] = (await self._operator.post("/v1/updates", body, status=200))["results"]
        return answer

    async def store(self, request: Sequence[Step]) -> list[str]:
        """Have a request stored first; return the journal's ids of its updates, none for a notification."""
        if request[0]["source"] != "updates":
            assert await self._notify(request[0]) == {"outcome": "waiting"}
            return []
        updates = [self._update(step) for step in request]
        body = json.dumps({"account": self.account, "mode": "test", "updates": updates}).encode()
        headers = {"content_type": "application/json", "prefer": "respond-async"}
        answer = await self._operator.raw("POST", "/v1/updates", body, **headers)
        assert answer.status == 202
        ids: list[str] = answer.body["notifications"]
        return ids

    async def updates_of(self, requests: Sequence[Sequence[Step]]) -> list[Json]:
        """Send each step by itself; return what became of the operator's updates, as the journal has it: no events."""
        steps = [step for request in requests for step in request]
        results = [(await self.send([step]))[0] for step in steps]
        pairs = zip(steps, results, strict=True)
        return [result | {"events": ()} for step, result in pairs if step["source"] == "updates"]

    async def journaled(self, notification_id: str) -> Json:
        """What became of an update."""
        return await self._operator.get(f"/v1/notifications/{notification_id}")

    def _update(self, step: Step) -> Json:
        update = self._keys(step) | {"esimStatus": step["status"]}
        if step["time"] is not None:
            update["occurredAt"] = self._time_of(step)
        if step["usage"] is not None:
            update |= {"dataUsage": step["usage"], "totalVolume": 100}
        if step["provider"] is not None:
            update["provider"] = step["provider"]
        return update

    async def _notify(self, step: Step) -> Json:
        words = {"CREATED": "GOT_RESOURCE"}
        content = self._keys(step) | {"esimStatus": words.get(step["status"], step["status"])}
        if step["usage"] is not None:
            content |= {"orderUsage": step["usage"] << 20, "totalVolume": 100 << 20}
        notification: Json = {"notifyType": "ESIM_STATUS", "content": content}
        if step["time"] is not None:
            notification["eventGenerateTime"] = self._time_of(step)
        if step["id"] is not None:
            notification["notifyId"] = self._own(step["id"])
        url = self._inbound[step["source"]]
        headers = {"content-type": "application/json"}
        async with self._session.post(url, data=json.dumps(notification), headers=headers) as answer:
            assert answer.status == 200
            result: Json = await answer.json()
            return result

    async def outcome(self, results: Sequence[Json]) -> Json:
        """What can be seen afterwards, in the order of creation, without what is this world's own."""
        where = f"account={self.account}&mode=test&limit=100"
        esims: list[Json] = (await self._operator.get(f"/v1/esims?{where}"))["data"][::-1]
        events: list[Json] = (await self._operator.get(f"/v1/events?{where}"))["data"][::-1]
        places = {esim["id"]: index for index, esim in enumerate(esims)}
        return {
            "results": [(one["outcome"], places.get(one.get("esim")), len(one.get("events", ()))) for one in results],
            "esims": [self._bare(esim) for esim in esims],
            "events": sorted(
                (places[event["data"]["id"]], event["sequence"], event["event"], str(event.get("newStatus")))
                for event in events
            ),
        }

    def _bare(self, esim: Json) -> Json:
        keys = {
            name: str(esim[name]).replace(self._name, "")
            for name in ("transactionId", "orderNo", "esimTranNo", "iccid")
        }
        return {name: value for name, value in esim.items() if name not in NOT_COMPARED} | keys


async def sent(world: World, requests: Sequence[Sequence[Step]]) -> Json:
    """Send the requests one after the other."""
    results: list[Json] = []
    for request in requests:
        results += await world.send(request)
    return await world.outcome(results)


async def sent_and_applied_later(world: World, requests: Sequence[Sequence[Step]], apply: Apply) -> Json:
    """Have all requests stored, then applied."""
    ids = [one for request in requests for one in await world.store(request)]
    await apply()
    return await world.outcome([await world.journaled(one) for one in ids])


async def sent_at_once(world: World, requests: Sequence[Sequence[Step]]) -> Json:
    answers = await asyncio.gather(*[world.send(request) for request in requests])
    return await world.outcome([result for answer in answers for result in answer])


def reordered(outcome: Json, requests: Sequence[Sequence[Step]], order: Sequence[int]) -> Json:
    """The outcome of requests that were sent in an order, with the results in the order in which they are written."""
    results = iter(outcome["results"])
    of_request = {index: [next(results) for _ in requests[index]] for index in order}
    return outcome | {"results": [one for index in range(len(requests)) for one in of_request[index]]}


@pytest.mark.slow(reason="sends some thousand requests")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shard", range(SHARDS))
async def test_updates_and_notifications_are_a_sequence_however_they_are_cut_and_sent(
    settings: Settings, shard: int
) -> None:
    # Without the scheduler, which applies what found no eSIM once it is known: some time after the commit.
    only_api = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with running(only_api) as node, Api(node.url, node.admin_key) as operator:
        await holds(operator, shard)


@pytest.mark.slow(reason="sends some hundred requests")
@pytest.mark.timeout(3600)
async def test_what_is_stored_first_and_applied_later_is_the_same_sequence(
    settings: Settings, database: Database
) -> None:
    only_api = settings.model_copy(update={"roles": frozenset({Role.API})})
    storing = only_api.model_copy(update={"store_first": 1})
    async with (
        running(only_api) as node,
        Api(node.url, node.admin_key) as operator,
        running(storing) as other,
        Api(other.url, other.admin_key) as storing_operator,
        ClientSession() as session,
    ):
        inbound = await connected(operator)
        stores = {name: url.replace(node.url, other.url) for name, url in inbound.items()}
        clients = ProviderClients(database, lambda config, pace: registry.build(config, session, pace))
        wakes = Wakes(due=Wake(), backlog=Wake(), fan_out=Wake(), doubts=Wake(), streams=Wake())
        policy = EmitPolicy(thresholds=settings.thresholds, usage_interval_s=settings.usage_interval_s)
        stored = StoredNotifications(database, clients, policy=policy, wakes=wakes)

        async def apply() -> None:
            while await stored.process_due() == 0.0:
                pass

        for seed in range(10_000, 10_000 + EXAMPLES // AT_ONCE_EVERY):
            rng = Random(seed)
            requests = requests_of([a_step(rng) for _ in range(rng.randrange(2, 8))], rng)
            one_by_one = await World(operator, session, inbound, f"{seed}x0").begin()
            expected = await one_by_one.outcome(await one_by_one.updates_of(requests))
            later = await World(storing_operator, session, stores, f"{seed}x1").begin()
            assert await sent_and_applied_later(later, requests, apply) == expected, f"seed {seed}: {requests}"


async def connected(operator: Api) -> dict[str, str]:
    """Connect the providers; return where each sends to."""
    return {
        name: (await operator.call("PUT", f"/v1/providers/{name}", {"kind": "esimaccess"})).body["inboundUrl"]
        for name in PROVIDERS
    }


async def holds(operator: Api, shard: int) -> None:
    """Check the law for the examples of a shard."""
    inbound = await connected(operator)
    async with ClientSession() as session:
        for seed in range(shard, EXAMPLES, SHARDS):
            rng = Random(seed)
            steps = [a_step(rng) for _ in range(rng.randrange(2, 8))]
            worlds = iter(range(1000))

            async def a_world(seed: int = seed, numbers: Any = worlds) -> World:
                return await World(operator, session, inbound, f"{seed}x{next(numbers)}").begin()

            one_by_one = await sent(await a_world(), [[step] for step in steps])
            requests = requests_of(steps, rng)
            cut = await sent(await a_world(), requests)
            assert cut == one_by_one, f"seed {seed}: {requests}"

            if seed % AT_ONCE_EVERY == 0:
                few = requests[:3]
                at_once = await sent_at_once(await a_world(), few)
                orders = list(permutations(range(len(few))))
                possible = [
                    reordered(await sent(await a_world(), [few[index] for index in order]), few, order)
                    for order in orders
                ]
                assert at_once in possible, f"seed {seed}, at once: {few}"

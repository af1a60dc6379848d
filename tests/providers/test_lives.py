"""Six providers, each through a whole life of an order: what is notified, queried or handed in, and the webhooks that follow.

A life is a file in `lives`. The provider's API is a real HTTP server, notifications are proven as it proves them, every
event that follows is known by name, and each webhook is verified with the public `standardwebhooks` package. Nothing is
written for one provider but how it proves itself.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from api import Api, a_merchant
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.jobs.scheduler import Scheduler
from esimhooks.server.providers import registry
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store.database import Database
from providers.life import KINDS, Life, has, read
from providers.mapping.fake_provider import FakeProvider
from receiver import Receiver
from system.sent_webhooks import verified
from upstream import Shop, Upstream, moved

STAGES = [
    "created",
    "activated",
    "thresholds",
    "second plan",
    "top-up",
    "used up",
    "expired",
    "failed order",
    "replacement",
]
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "providers.md"
NAMED = {"event", "newStatus", "reason", "thresholds", "planId", "topUp", "changes"}


class Rounds:
    """Time-driven jobs, a round at a time: orders and usage that are polled, validity that ends."""

    def __init__(self, database: Database, session: ClientSession) -> None:
        self.ahead = timedelta()
        self._database = database
        self._scheduler = Scheduler(
            database,
            ProviderClients(database, lambda config, pace: registry.build(config, session, pace)),
            policy=EmitPolicy(usage_interval_s=0),
            clock=lambda: datetime.now(UTC) + self.ahead,
            wakes=Wakes(due=Wake(), backlog=Wake(), fan_out=Wake(), doubts=Wake(), streams=Wake()),
        )

    async def poll(self) -> None:
        """Ask for every order that is pending and every eSIM that is polled."""
        await moved(self._database, "orders", "next_poll_at")
        await self._scheduler.poll_orders()
        await self._scheduler.poll_usage()  # schedules what was never polled
        await moved(self._database, "esims", "next_poll_at")
        await self._scheduler.poll_usage()

    async def end(self, esim_id: str) -> None:
        """Let the validity of an eSIM be over."""
        async with self._database.transaction() as db:
            own = parse_id(Prefix.ESIM, esim_id)
            await db.conn.execute("UPDATE esims SET expire_at = now() WHERE id = $1", own)
        await self._scheduler.expire()


@pytest.fixture
async def rounds(database: Database) -> AsyncIterator[Rounds]:
    async with ClientSession() as session:
        yield Rounds(database, session)


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[Api]:
    """The API of a node on which time brings nothing by itself."""
    own = settings.model_copy(update={"roles": frozenset({Role.API, Role.DISPATCHER})})
    async with running(own) as node, Api(node.url, node.admin_key) as api:
        yield api


@pytest.mark.parametrize("kind", KINDS)
async def test_every_event_of_a_life_is_emitted_and_verified(
    idle: Api, rounds: Rounds, fake: FakeProvider, receiver: Receiver, kind: str
) -> None:
    script = read(kind)
    merchant = await a_merchant(idle, webhook_url=receiver.url())
    assert merchant.secret is not None
    settings = {"requestsPerSecond": 1000}
    config = {"kind": kind, "baseUrl": fake.url, "credentials": script["credentials"], "settings": settings}
    made = await idle.put("/v1/providers/upstream", config)
    life = Life(script, Shop(idle, merchant.account), Upstream(idle, made["inboundUrl"]), fake)
    await life.buy()

    wrong = []
    for step in script["step"]:
        await take(step, life, rounds)
        wrong += [f"{step['stage']}: {one}" for one in differences(await life.events(), life.filled(step["events"]))]
    assert not wrong, "\n".join(wrong)

    events = [event for esim_id in life.names for event in await life.shop.events(esim_id)]
    await receiver.wait_for(len(events))
    webhooks = [verified(request, merchant.secret) for request in receiver.received]
    assert sorted(one["id"] for one in webhooks) == sorted(one["id"] for one in events)
    by_id = {one["id"]: one for one in events}
    assert all(has(by_id[one["id"]], one) for one in webhooks), "what is sent is what the API shows"
    for name in life.names.values():
        sequence = sorted(one["sequence"] for one in webhooks if life.names[one["data"]["id"]] == name)
        assert sequence == list(range(1, len(sequence) + 1)), name


async def test_a_provider_that_an_older_version_stored_is_polled_as_its_document_says(
    idle: Api, rounds: Rounds, fake: FakeProvider, database: Database
) -> None:
    credentials = {"apiKey": "key-1", "merchantId": "merchant-1"}
    await idle.put("/v1/providers/upstream", {"kind": "mobimatter", "baseUrl": fake.url, "credentials": credentials})
    async with database.session() as db:
        await db.conn.execute("UPDATE providers SET only_polled = false")
    shop = Shop(idle, (await a_merchant(idle)).account)
    own = {"transactionId": "shop-1", "esimTranNo": "MM-1", "provider": "upstream", "esimStatus": "CREATED"}
    await shop.update(own)

    await rounds.poll()

    assert fake.calls() == ["GET /mobimatter/api/v2/provider/info/MM-1"]


async def take(step: dict[str, Any], life: Life, rounds: Rounds) -> None:
    """Take one step of a life."""
    life.answers(step)
    await life.top_up(step)
    if "after" in step:
        rounds.ahead = timedelta(minutes=int(step["after"].removesuffix("m")))
    if "body" in step or "example" in step:
        await life.notify(step)
    if "updates" in step:
        await life.hand_in(step["updates"])
    if "requery" in step:
        assert (await life.shop.requery(life.id_of(step["requery"]))).status == 200
    if step["by"] in ("poll", "time") and "example" not in step:
        await rounds.poll()
    if "ends" in step:
        await rounds.end(life.id_of(step["ends"]))


def differences(got: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return what is not as the file says, one line for each event that is another, says something else, or is one too many."""
    found = []
    for name in sorted({*got, *wanted}):
        for event, expected in zip_longest(got.get(name, []), wanted.get(name, [])):
            if expected is None or not has(event, expected):
                shown = event and {
                    key: value for key, value in event.items() if key in NAMED or key in (expected or ())
                }
                found.append(f"{name}: expected {expected}, got {shown}")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_life_has_every_stage_or_says_that_it_is_not_reported(kind: str) -> None:
    script = read(kind)
    stages = {step["stage"] for step in script["step"]}
    assert stages >= set(STAGES) - set(script.get("not-reported", []))
    assert not stages & set(script.get("not-reported", []))


WORDS = {"push": "notified", "poll": "queried", "requery": "queried", "time": "at its end", "operator": "by you"}


def test_the_documentation_says_what_is_reported_of_each_stage() -> None:
    lives = {kind: read(kind) for kind in KINDS}
    rows = [["stage", *KINDS]]
    for stage in STAGES:
        by = [next((one["by"] for one in life["step"] if one["stage"] == stage), None) for life in lives.values()]
        rows.append([stage, *("no" if one is None else WORDS[one] for one in by)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    table = "\n".join([lines[0], "|---" * (len(KINDS) + 1) + "|", *lines[1:]])
    assert table in DOCUMENTATION.read_text(encoding="utf-8"), table

"""The stream: events as they are committed, resumed without a gap, bounded, and at an end with its key."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import pytest
from aiohttp import ClientResponse, ClientSession
from msgspec import Struct

from api import Api, Json, Merchant, a_merchant
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import new_id
from esimhooks.server.manage.streams import IDLE_S, MAX_OF_TENANT, MAX_STREAMS, Streams
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import Mode
from patience import patience_s
from web.routes import is_field, is_problem
from web.rows import an_esim

OLDEST = "evt_00000000000000000000000000"


class Told(Struct):
    """One server-sent event."""

    id: str
    event: str
    data: Json


class Listener:
    """Reads a stream."""

    def __init__(self, answer: ClientResponse) -> None:
        self.answer = answer

    async def hello(self) -> str:
        """Return the id with which the stream begins."""
        return (await self._block())["id"]

    async def next(self) -> Told:
        """Return the next event."""
        block = await self._block()
        return Told(block["id"], block["event"], json.loads(block["data"]))

    async def ends(self) -> bool:
        """Wait until the server ends the stream."""
        async with asyncio.timeout(patience_s()):
            while not self.answer.content.at_eof():
                await self.answer.content.readany()
        return True

    async def _block(self) -> dict[str, str]:
        async with asyncio.timeout(patience_s()):
            text = (await self.answer.content.readuntil(b"\n\n")).decode()
        return dict(line.split(": ", 1) for line in text.strip().split("\n"))


@asynccontextmanager
async def listening(url: str, merchant: Merchant, last: str | None = None) -> AsyncIterator[Listener]:
    headers = {"x-api-key": merchant.key} | ({"last-event-id": last} if last else {})
    async with ClientSession() as session, session.get(f"{url}/v1/stream", headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Listener(answer)


async def test_events_come_as_they_are_committed_in_the_bytes_of_webhooks(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with listening(operator.url, merchant) as listener:
        assert await listener.hello() == OLDEST
        made = await an_esim(operator, merchant.account, "test")
        event = await listener.next()

    assert (event.id, event.event) == (made["events"][0], "esim.activated")
    async with operator.as_key(merchant.key) as api:
        assert event.data == await api.get(f"/v1/events/{event.id}")


async def test_a_stream_is_resumed_behind_the_last_id_that_was_seen(operator: Api) -> None:
    merchant = await a_merchant(operator)
    first, second, third = [(await an_esim(operator, merchant.account, "test"))["events"][0] for _ in range(3)]

    async with listening(operator.url, merchant, first) as listener:
        assert await listener.hello() == first
        assert [(await listener.next()).id for _ in range(2)] == [second, third]
    async with listening(operator.url, merchant) as listener:
        assert await listener.hello() == third
    async with listening(operator.url, merchant, OLDEST) as listener:
        await listener.hello()
        assert [(await listener.next()).id for _ in range(3)] == [first, second, third]


async def test_only_the_own_events_are_sent(operator: Api) -> None:
    mine, other = await a_merchant(operator), await a_merchant(operator)
    async with listening(operator.url, mine) as listener:
        await listener.hello()
        await an_esim(operator, other.account, "test")
        await an_esim(operator, mine.account, "live")
        made = await an_esim(operator, mine.account, "test")
        assert (await listener.next()).id == made["events"][0]


async def test_events_committed_on_another_node_are_sent(operator: Api, settings: Settings) -> None:
    merchant = await a_merchant(operator)
    async with running(settings) as other, listening(other.url, merchant) as listener:
        await listener.hello()
        made = await an_esim(operator, merchant.account, "test")
        assert (await listener.next()).id == made["events"][0]


async def test_a_stream_ends_when_its_key_is_revoked(operator: Api) -> None:
    merchant = await a_merchant(operator)
    [key] = (await operator.get(f"/v1/accounts/{merchant.account}/keys"))["data"]
    async with listening(operator.url, merchant) as listener:
        await listener.hello()
        await operator.call("DELETE", f"/v1/accounts/{merchant.account}/keys/{key['id']}")

        assert await listener.ends()


async def test_a_stream_is_one_request_however_much_it_sends(settings: Settings) -> None:
    changed = settings.model_copy(update={"rate_limit_address": 1})
    async with running(changed) as node, Api(node.url, node.admin_key) as operator:
        merchant = await a_merchant(operator)
        async with listening(operator.url, merchant) as listener, operator.as_key(merchant.key) as api:
            await listener.hello()
            for _ in range(8):
                made = await an_esim(operator, merchant.account, "test")
                assert (await listener.next()).id == made["events"][0]

            assert (await api.call("GET", "/v1/esims")).status == 200


async def test_an_account_may_open_so_many_streams_and_no_more(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with AsyncExitStack() as stack, operator.as_key(merchant.key) as api:
        for _ in range(MAX_OF_TENANT):
            await (await stack.enter_async_context(listening(operator.url, merchant))).hello()

        answer = await api.call("GET", "/v1/stream")
        assert is_problem(answer, 429)["code"] == "TOO_MANY_STREAMS"
        assert int(answer.headers["retry-after"]) >= 1


async def test_who_was_refused_leaves_nothing_to_look_after_once_all_have_gone(database: Database) -> None:
    streams = Streams(database)
    with ExitStack() as stack:
        for _ in range(MAX_STREAMS):
            stack.enter_context(streams.listening(Tenant(new_id(), Mode.TEST)))
        with pytest.raises(Refused), streams.listening(Tenant(new_id(), Mode.TEST)):
            pass

    assert await streams.wake_readers() == IDLE_S


async def test_what_is_no_last_event_of_ones_own_is_refused(operator: Api) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    foreign = (await an_esim(operator, other.account, "test"))["events"][0]
    async with operator.as_key(merchant.key) as api:
        for last, expected in ((foreign, "still kept"), ("x", "evt_ and 26"), ("evt_x", "evt_ and 26")):
            is_field(await api.call("GET", "/v1/stream", last_event_id=last), "header:last-event-id", expected)
    async with operator.as_key("wrong") as stranger:
        is_problem(await stranger.call("GET", "/v1/stream"), 401)

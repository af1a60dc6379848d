"""What an unsigned provider says is confirmed by asking it, over real HTTP, through outages and restarts of the server.

The sandbox stands for the provider; a door before it makes it unreachable. Waiting times are moved in the database.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api import Api, Json
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.jobs.backlog import MAX_DUE
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from esimhooks.server.store.database import Database
from upstream import Door, Shop, Upstream, a_shop, allocate, an_upstream, esim_status, moved, order_ready

LAST_STEP = {"CANCEL": (Ending.CANCELLED, "cancelled"), "REVOKED": (Ending.REVOKED, "revoked")}


async def a_filled_order(shop: Shop, upstream: Upstream, sandbox: Sandbox, ending: Ending) -> tuple[str, str]:
    """Have an order of one eSIM filled; return the eSIM's id and its key at the provider."""
    [key] = await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", ending=ending))
    allocate(sandbox, "B1")
    order = await shop.order("t-1", orderNo="B1")
    await upstream.notify(order_ready("B1"))
    await upstream.journaled("applied")
    return order["esims"][0]["id"], key


async def live_until(sandbox: Sandbox, key: str, name: str) -> None:
    """Have the sandbox live an eSIM's life up to a step; its notifications go astray."""
    while (step := await sandbox.step(key)) is not None and step.name != name:
        pass
    assert step is not None


@pytest.mark.parametrize("status", LAST_STEP)
async def test_an_unsigned_terminal_status_is_applied_once_the_provider_confirms_it(
    operator: Api, sandbox: Sandbox, status: str
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    ending, last = LAST_STEP[status]
    esim_id, key = await a_filled_order(shop, upstream, sandbox, ending)
    await live_until(sandbox, key, last)

    answer = await upstream.notify(esim_status(key, status))

    assert (answer.status, answer.body) == (200, {"outcome": "waiting"})
    entry = await upstream.journaled("applied")
    assert entry["esim"] == esim_id
    assert (await shop.esim(esim_id))["esimStatus"] == status
    last_status = [event for event in await shop.events() if event["event"] == "esim.suspended"]
    assert [event["newStatus"] for event in last_status] == [status]


async def test_an_expiry_that_the_provider_confirms_is_emitted_as_one(operator: Api, sandbox: Sandbox) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    esim_id, key = await a_filled_order(shop, upstream, sandbox, Ending.USED)
    await live_until(sandbox, key, "used_expired")

    await upstream.notify(esim_status(key, "USED_EXPIRED"))

    await upstream.journaled("applied")
    assert (await shop.esim(esim_id))["esimStatus"] == "USED_EXPIRED"
    assert (await shop.raised())[:2] == ["created", "expired"]
    assert (await shop.events())[1]["reason"] == "data_used_and_validity_ended"


@pytest.mark.parametrize("status", ["CANCEL", "REVOKED", "USED_EXPIRED", "UNUSED_EXPIRED"])
async def test_of_a_forged_terminal_status_only_the_truth_is_applied(
    operator: Api, sandbox: Sandbox, status: str
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    esim_id, key = await a_filled_order(shop, upstream, sandbox, Ending.USED)
    await live_until(sandbox, key, "activated")

    await upstream.notify(esim_status(key, status))

    await upstream.journaled("applied")
    esim = await shop.esim(esim_id)
    assert (esim["esimStatus"], esim["smdpStatus"]) == ("IN_USE", "ENABLED")
    assert await shop.raised() == ["created", "activated"]


async def test_a_forged_status_of_an_esim_that_is_as_it_was_changes_nothing(operator: Api, sandbox: Sandbox) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    esim_id, key = await a_filled_order(shop, upstream, sandbox, Ending.USED)

    await upstream.notify(esim_status(key, "REVOKED"))

    await upstream.journaled("unchanged")
    assert (await shop.esim(esim_id))["esimStatus"] == "CREATED"
    assert await shop.raised() == ["created"]


async def test_a_status_of_an_esim_that_the_provider_does_not_know_is_not_believed(
    operator: Api, sandbox: Sandbox
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    esim_id, _ = await a_filled_order(shop, upstream, sandbox, Ending.USED)

    await upstream.notify(esim_status("no-such-key", "CANCEL", transactionId="t-1"))

    entry = await upstream.journaled("invalid")
    assert "not confirmed by the provider" in entry["detail"]
    assert (await shop.esim(esim_id))["esimStatus"] == "CREATED"


@pytest.mark.slow(reason="waits for two rounds of a loop")
@pytest.mark.timeout(30)
async def test_a_notification_waits_while_the_provider_is_down(
    operator: Api, sandbox: Sandbox, door: Door, database: Database
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, door.base_url)
    esim_id, key = await a_filled_order(shop, upstream, sandbox, Ending.CANCELLED)
    await live_until(sandbox, key, "cancelled")
    await door.close()

    answer = await upstream.notify(esim_status(key, "CANCEL"))

    assert (answer.status, answer.body) == (200, {"outcome": "waiting"})
    await upstream.put_off("cannot be reached")
    assert (await shop.esim(esim_id))["esimStatus"] == "CREATED"
    again = await upstream.notify(esim_status(key, "CANCEL"))
    assert again.body == {"outcome": "waiting"}, "nothing distinguishes it from a later fact"

    await door.open()
    await moved(database, "backlog", "due_at")

    await shop.raised_in_time("created", "suspended")
    outcomes = sorted([entry["outcome"] for entry in await upstream.journal()])
    assert outcomes[:2] == ["applied", "applied"]


@pytest.mark.slow(reason="starts two nodes one after the other")
@pytest.mark.timeout(30)
async def test_a_notification_outlives_the_node_that_took_it(
    settings: Settings, sandbox: Sandbox, door: Door, database: Database
) -> None:
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        shop, upstream = await a_shop(operator), await an_upstream(operator, door.base_url)
        esim_id, key = await a_filled_order(shop, upstream, sandbox, Ending.CANCELLED)
        await live_until(sandbox, key, "cancelled")
        await door.close()
        await upstream.notify(esim_status(key, "CANCEL"))
        await upstream.put_off("cannot be reached")

    await door.open()
    await moved(database, "backlog", "due_at")
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        shop = Shop(operator, shop.account)
        await shop.raised_in_time("created", "suspended")
        assert (await shop.esim(esim_id))["esimStatus"] == "CANCEL"


async def test_with_confirm_always_a_usual_status_is_confirmed_too(operator: Api, sandbox: Sandbox) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url, confirm="always")
    esim_id, key = await a_filled_order(shop, upstream, sandbox, Ending.USED)

    answer = await upstream.notify(esim_status(key, "IN_USE"))

    assert answer.body == {"outcome": "waiting"}
    await upstream.journaled("unchanged")
    assert (await shop.esim(esim_id))["esimStatus"] == "CREATED"


async def test_by_default_a_usual_status_is_believed_at_once(operator: Api, sandbox: Sandbox, door: Door) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, door.base_url)
    _, key = await a_filled_order(shop, upstream, sandbox, Ending.USED)
    await door.close()

    answer = await upstream.notify(esim_status(key, "SUSPENDED"))

    assert answer.body["outcome"] == "applied"
    assert await shop.raised() == ["created", "suspended"]


async def test_with_confirm_never_even_a_terminal_status_is_believed(
    operator: Api, sandbox: Sandbox, door: Door
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, door.base_url, confirm="never")
    esim_id, key = await a_filled_order(shop, upstream, sandbox, Ending.USED)
    await door.close()

    answer = await upstream.notify(esim_status(key, "CANCEL"))

    assert answer.body["outcome"] == "applied"
    assert (await shop.esim(esim_id))["esimStatus"] == "CANCEL"


async def test_a_replayed_notification_is_confirmed_again(operator: Api, sandbox: Sandbox) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    _, key = await a_filled_order(shop, upstream, sandbox, Ending.CANCELLED)
    await upstream.notify(esim_status(key, "CANCEL"))
    entry = await upstream.journaled("unchanged")
    await live_until(sandbox, key, "cancelled")

    await operator.call("POST", f"/v1/notifications/{entry['id']}/replay")

    await upstream.journaled("applied")
    assert await shop.raised() == ["created", "suspended"]


async def test_a_cancellation_outlives_credentials_that_do_not_hold(
    operator: Api, sandbox: Sandbox, database: Database
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    esim_id, key = await a_filled_order(shop, upstream, sandbox, Ending.CANCELLED)
    await live_until(sandbox, key, "cancelled")
    body: Json = {"kind": "esimaccess", "baseUrl": sandbox.base_url, "credentials": {"accessCode": "not-the-code"}}
    await operator.put("/v1/providers/upstream", body)

    await upstream.notify(esim_status(key, "CANCEL"))
    await upstream.put_off("101003")
    await operator.put("/v1/providers/upstream", body | {"credentials": {"accessCode": "sandbox"}})
    await moved(database, "backlog", "due_at")

    await upstream.journaled("applied")
    assert (await shop.esim(esim_id))["esimStatus"] == "CANCEL"


async def test_nothing_about_the_credentials_stands_in_the_journal(operator: Api, sandbox: Sandbox) -> None:
    upstream = await an_upstream(operator, sandbox.base_url)
    body: Json = {
        "kind": "esimaccess",
        "baseUrl": sandbox.base_url,
        "credentials": {"accessCode": "not-the-code"},
    }
    await operator.put("/v1/providers/upstream", body)
    await upstream.notify(esim_status("key", "CANCEL"))

    entry = await upstream.put_off("101003")
    assert "not-the-code" not in entry["detail"]


async def test_an_esim_that_becomes_known_is_found_in_what_the_provider_confirms_in_any_order(
    operator: Api, sandbox: Sandbox
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    first, second = await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", quantity=2))
    allocate(sandbox, "B1")
    await shop.update(
        {"transactionId": "t-1", "orderNo": "B1", "esimTranNo": first, "esimStatus": "CREATED", "provider": "upstream"}
    )
    for esim in sandbox._inventory.orders["B1"].esims:
        esim.esim_status = "CANCEL"
    await upstream.notify({"notifyType": "ESIM_STATUS", "content": {"orderNo": "B1", "esimStatus": "CANCEL"}})
    await upstream.journaled("applied")

    sandbox._inventory.orders["B1"].esims = sandbox._inventory.orders["B1"].esims[::-1]
    await shop.update({"transactionId": "t-2", "esimTranNo": second, "esimStatus": "CREATED", "provider": "upstream"})

    await shop.raised_in_time("created", "suspended", "data_updated", "created", "suspended", "data_updated")


async def test_a_provider_that_does_not_answer_holds_up_only_itself(operator: Api, sandbox: Sandbox) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    _, key = await a_filled_order(shop, upstream, sandbox, Ending.CANCELLED)
    await live_until(sandbox, key, "cancelled")
    async with a_silent_server() as base_url:
        body = {"kind": "esimaccess", "baseUrl": base_url, "credentials": {"accessCode": "silent"}}
        made = await operator.put("/v1/providers/silent", body)
        for number in range(2 * MAX_DUE):
            await Upstream(operator, made["inboundUrl"]).notify(esim_status(f"S{number}", "CANCEL"))

        await upstream.notify(esim_status(key, "CANCEL"))

        await upstream.journaled("applied")
        silent = (await operator.get("/v1/notifications?source=silent&limit=100"))["data"]
        assert {(one["outcome"], one["detail"]) for one in silent} == {("waiting", None)}  # none has timed out


@asynccontextmanager
async def a_silent_server() -> AsyncIterator[str]:
    """Lend the address of a server that takes connections and never answers."""
    transports: list[asyncio.BaseTransport] = []

    class Silent(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(transport)

    async with await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for transport in transports:
            transport.close()

"""Traces: from any id the same chain, nothing of others, nothing secret, never without bound."""

import json

import pytest

from api import Api, Json
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.store.database import Database
from receiver import Receiver
from web.routes import is_problem
from web.rows import Rows, an_esim, rows_of

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


async def a_chain(operator: Api, receiver: Receiver, *, mode: str = "test") -> tuple[Rows, dict[str, str]]:
    """Return a tenant's rows and the ids of one chain."""
    account = (await operator.post("/v1/accounts", {"name": "Acme"}))["id"]
    rows = await rows_of(operator, account, mode, receiver.url(f"/{account}"))
    delivery = await operator.get(f"/v1/deliveries/{rows.ids['delivery_id']}?{rows.query}")
    [notification] = (await operator.get(f"/v1/notifications?esim={rows.ids['esim_id']}"))["data"]
    return rows, {
        "notification": notification["id"],
        "esim": rows.ids["esim_id"],
        "event": rows.ids["event_id"],
        "delivery": delivery["id"],
        "attempt": delivery["attempts"][0]["id"],
        "endpoint": rows.ids["endpoint_id"],
    }


def links(chain: Json) -> Json:
    """Return the ids of all that a trace shows, each with the one before it."""
    return {
        "notifications": [row["id"] for row in chain["notifications"]],
        "esims": [row["id"] for row in chain["esims"]],
        "events": [(row["id"], row["notification"], row["esim"]) for row in chain["events"]],
        "deliveries": [(row["id"], row["event"], row["endpoint"]) for row in chain["deliveries"]],
        "attempts": [one["id"] for row in chain["deliveries"] for one in row["attempts"]],
    }


async def test_from_every_id_an_operator_gets_the_whole_chain(operator: Api, receiver: Receiver) -> None:
    rows, ids = await a_chain(operator, receiver)
    await a_chain(operator, receiver)

    for any_id in ids.values():
        chain = await operator.get(f"/v1/trace/{any_id}")
        assert (chain["id"], chain["account"], chain["mode"], chain["truncated"]) == (
            any_id,
            rows.account,
            "test",
            False,
        )
        assert links(chain) == {
            "notifications": [ids["notification"]],
            "esims": [ids["esim"]],
            "events": [(ids["event"], ids["notification"], ids["esim"])],
            "deliveries": [(ids["delivery"], ids["event"], ids["endpoint"])],
            "attempts": [ids["attempt"]],
        }
    assert (chain["events"][0]["previousStatus"], chain["events"][0]["newStatus"]) == (None, "IN_USE")
    assert (chain["deliveries"][0]["status"], chain["deliveries"][0]["attempts"][0]["outcome"]) == ("delivered", "2xx")


async def test_a_merchant_gets_its_own_chain_without_what_providers_sent(operator: Api, receiver: Receiver) -> None:
    rows, ids = await a_chain(operator, receiver)
    async with operator.as_key(rows.key) as merchant:
        is_problem(await merchant.call("GET", f"/v1/trace/{ids.pop('notification')}"), 404)
        for any_id in ids.values():
            assert links(await merchant.get(f"/v1/trace/{any_id}")) == {
                "notifications": [],
                "esims": [ids["esim"]],
                "events": [(ids["event"], None, ids["esim"])],
                "deliveries": [(ids["delivery"], ids["event"], ids["endpoint"])],
                "attempts": [ids["attempt"]],
            }


@pytest.mark.slow(reason="makes rows of three tenants")
@pytest.mark.timeout(30)
async def test_nobody_traces_what_is_anothers_or_of_the_other_mode(operator: Api, receiver: Receiver) -> None:
    mine, _ = await a_chain(operator, receiver)
    _, others = await a_chain(operator, receiver)
    live = await rows_of(operator, mine.account, "live", receiver.url("/live"))
    foreign = [*others.values(), *(live.ids[name] for name in ("esim_id", "event_id", "delivery_id", "endpoint_id"))]
    async with operator.as_key(mine.key) as merchant:
        for any_id in foreign:
            is_problem(await merchant.call("GET", f"/v1/trace/{any_id}"), 404)
            is_problem(await operator.call("GET", f"/v1/trace/{any_id}?{mine.query}"), 404)
        is_problem(await merchant.call("GET", f"/v1/trace/{others['event']}?account={live.account}&mode=live"), 404)


async def test_an_order_is_traced_to_its_esims(operator: Api, receiver: Receiver) -> None:
    rows, _ = await a_chain(operator, receiver)
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    body = {"account": rows.account, "mode": "test", "provider": "upstream", "packageCode": "C", "quantity": 2}
    order = await operator.post("/v1/orders", body | {"transactionId": "t-1"})

    async with operator.as_key(rows.key) as merchant:
        chain = await merchant.get(f"/v1/trace/{order['id']}")

    assert {esim["id"] for esim in chain["esims"]} == {esim["id"] for esim in order["esims"]}
    assert {esim["order"] for esim in chain["esims"]} == {order["id"]}


async def test_of_anothers_id_it_says_the_same_as_of_one_that_does_not_exist(operator: Api, receiver: Receiver) -> None:
    mine, _ = await a_chain(operator, receiver)
    _, others = await a_chain(operator, receiver)
    async with operator.as_key(mine.key) as merchant:
        for any_id in others.values():
            unknown = text_of(Prefix(any_id.partition("_")[0]), new_id())
            foreign = await merchant.call("GET", f"/v1/trace/{any_id}")
            assert foreign.body == (await merchant.call("GET", f"/v1/trace/{unknown}")).body


async def test_a_chain_is_shown_without_the_rows_that_cannot_be_decrypted(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    _, ids = await a_chain(operator, receiver)
    async with database.session() as db:
        await db.conn.execute("UPDATE notifications SET sealed_body = '\\x00'")
        await db.conn.execute("UPDATE events SET sealed_body = '\\x00'")
        await db.conn.execute("UPDATE esims SET sealed_credentials = '\\x00'")

    for any_id in ids.values():
        chain = await operator.get(f"/v1/trace/{any_id}")
        assert links(chain) | {"notifications": [], "esims": [], "events": []} == {
            "notifications": [],
            "esims": [],
            "events": [],
            "deliveries": [(ids["delivery"], ids["event"], ids["endpoint"])],
            "attempts": [ids["attempt"]],
        }
        assert ids["event"] in chain["unreadable"]
    from_notification = await operator.get(f"/v1/trace/{ids['notification']}")
    assert sorted(from_notification["unreadable"]) == sorted([ids["notification"], ids["esim"], ids["event"]])


async def test_a_trace_id_finds_the_events_raised_in_it(operator: Api, receiver: Receiver, database: Database) -> None:
    rows, ids = await a_chain(operator, receiver)
    async with database.session() as db:
        await db.conn.execute("UPDATE events SET traceparent = $1", f"00-{TRACE_ID}-b7ad6b7169203331-01")

    async with operator.as_key(rows.key) as merchant:
        for caller in (operator, merchant):
            chain = await caller.get(f"/v1/trace/{TRACE_ID}")
            assert [event["id"] for event in chain["events"]] == [ids["event"]]
            assert chain["events"][0]["traceparent"].split("-")[1] == TRACE_ID


async def test_a_notification_that_concerns_nobody_stands_alone(operator: Api) -> None:
    await operator.post("/v1/updates", {"updates": [{"transactionId": "t-1", "esimStatus": "IN_USE"}]}, status=200)
    [notification] = (await operator.get("/v1/notifications"))["data"]

    chain = await operator.get(f"/v1/trace/{notification['id']}")

    assert (chain["account"], chain["events"]) == (None, [])
    assert [(one["id"], one["outcome"]) for one in chain["notifications"]] == [(notification["id"], "unmatched")]


async def test_a_long_story_is_cut_and_says_so(operator: Api, receiver: Receiver) -> None:
    rows, _ = await a_chain(operator, receiver)
    esim = await an_esim(operator, rows.account, "test", transactionId="t-1", totalVolume=1000, dataUsage=0)
    updates = [{"transactionId": "t-1", "dataUsage": used} for used in range(1, 61)]
    body = {"account": rows.account, "mode": "test", "updates": updates}
    await operator.post("/v1/updates", body, status=200)

    chain = await operator.get(f"/v1/trace/{esim['esim']}")

    assert (len(chain["events"]), len(chain["notifications"]), chain["truncated"]) == (50, 50, True)
    assert "dataUsage" in chain["events"][0]["changed"]


async def test_no_credential_is_in_a_trace(operator: Api, receiver: Receiver) -> None:
    rows, ids = await a_chain(operator, receiver)
    text = json.dumps([await operator.get(f"/v1/trace/{any_id}") for any_id in ids.values()])

    assert [one for one in ("LPA:1$", "CODE-0001", "whsec_", rows.key) if one in text] == []


@pytest.mark.parametrize("any_id", ["nothing", "evt_", "key_01jd3v8k5fe8ya3q8r0m2n6x7c", "0" * 31, "G" * 32])
async def test_what_is_no_id_is_a_404_that_says_what_is(any_id: str, operator: Api) -> None:
    is_problem(await operator.call("GET", f"/v1/trace/{any_id}"), 404)


async def test_an_id_of_nothing_is_a_404(operator: Api) -> None:
    kinds = (
        Prefix.NOTIFICATION,
        Prefix.ESIM,
        Prefix.EVENT,
        Prefix.DELIVERY,
        Prefix.ATTEMPT,
        Prefix.ORDER,
        Prefix.ENDPOINT,
    )
    for kind in kinds:
        is_problem(await operator.call("GET", f"/v1/trace/{text_of(kind, new_id())}"), 404)
    is_problem(await operator.call("GET", f"/v1/trace/{TRACE_ID}"), 404)

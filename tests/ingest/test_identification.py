"""Which eSIM an update means where names are not unique: keys, transactions and orders of others in the same commit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import Api, Json, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.store.database import Database
from upstream import Shop, Upstream, a_shop, an_upstream, esim_status

NEW_ICCID, OLD_ICCID = "8943000000000000014", "8943000000000000022"


def created(transaction_id: str = "t-1", **fields: Any) -> Json:
    return {"transactionId": transaction_id, "esimStatus": "CREATED"} | fields


def of(shop: Shop, update: Json) -> Json:
    return {"account": shop.account, "mode": "test"} | update


async def handed_in(operator: Api, *updates: Json) -> list[Json]:
    results: list[Json] = (await operator.post("/v1/updates", {"updates": list(updates)}, status=200))["results"]
    return results


async def test_the_key_of_another_merchant_in_the_same_request_hides_nobodys_esim(operator: Api) -> None:
    one, other = await a_shop(operator), await a_shop(operator)
    await one.update(created("t-one", esimTranNo="K1"))
    [made] = await other.update(created("t-other"))

    _, result = await handed_in(
        operator,
        of(one, {"transactionId": "t-one", "esimTranNo": "K1", "esimStatus": "IN_USE"}),
        of(other, {"transactionId": "t-other", "esimTranNo": "K1", "esimStatus": "IN_USE"}),
    )

    assert result["esim"] == made["esim"]
    assert [(esim["esimTranNo"], esim["esimStatus"]) for esim in await other.esims()] == [("K1", "IN_USE")]


async def test_an_order_number_distinguishes_two_merchants_with_the_same_transaction(operator: Api) -> None:
    one, other = await a_shop(operator), await a_shop(operator)
    upstream = await an_upstream(operator)
    await one.order("1001", orderNo="B-one")
    await other.order("1001", orderNo="B-other")

    notification = esim_status("K1", "IN_USE", transactionId="1001", orderNo="B-other", iccid=NEW_ICCID)
    await upstream.notify(notification)

    assert [esim["esimTranNo"] for esim in await one.esims()] == [None]
    assert [esim["esimTranNo"] for esim in await other.esims()] == ["K1"]


async def test_a_transaction_of_two_merchants_gives_nobody_a_slot(operator: Api) -> None:
    one, other = await a_shop(operator), await a_shop(operator)
    upstream = await an_upstream(operator)
    await one.order("1001", orderNo="B-one")
    await other.order("1001", orderNo="B-other")

    answer = await upstream.notify(esim_status("K1", "IN_USE", transactionId="1001", iccid=NEW_ICCID))

    assert answer.body["outcome"] == "unmatched"
    assert [esim["esimTranNo"] for esim in (*await one.esims(), *await other.esims())] == [None, None]


async def test_a_key_that_another_merchant_has_is_invalid_and_harms_no_update_beside_it(operator: Api) -> None:
    one, other = await a_shop(operator), await a_shop(operator)
    await an_upstream(operator)
    await one.update(created("t-one", esimTranNo="K1", provider="upstream"))
    await other.order("t-other")

    answer = await operator.call(
        "POST",
        "/v1/updates",
        {
            "updates": [
                of(other, {"transactionId": "t-other", "esimTranNo": "K1", "esimStatus": "CREATED"}),
                of(other, created("t-2")),
            ]
        },
    )

    assert answer.status == 200, answer
    assert [one["outcome"] for one in answer.body["results"]] == ["invalid", "applied"]


async def test_an_update_whose_key_another_esim_has_names_no_esim_that_is_not_there(operator: Api) -> None:
    one, other = await a_shop(operator), await a_shop(operator)
    await an_upstream(operator)
    await one.update(created("t-1", esimTranNo="K1", provider="upstream"))

    [refused] = await other.update(created("t-1", esimTranNo="K1", provider="upstream"))

    assert (refused["outcome"], "esim" in refused, await other.esims()) == ("invalid", False, [])


async def test_a_replacement_takes_no_free_slot_of_the_order(operator: Api) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)
    await shop.order("t-1", orderNo="B1", quantity=2)
    [first] = await shop.update({"transactionId": "t-1", "esimTranNo": "K1", "esimStatus": "CREATED"})

    [new] = await shop.update({"transactionId": "t-1", "esimTranNo": "K3", "esimStatus": "CREATED", "replaces": "K1"})
    [second] = await shop.update({"transactionId": "t-1", "esimTranNo": "K2", "esimStatus": "CREATED"})

    assert second["outcome"] == "applied"
    assert len(await shop.esims()) == 3
    assert await shop.raised(first["esim"]) == ["created", "suspended"]
    assert (await shop.esim(new["esim"]))["replaces"] == first["esim"]


async def test_an_esim_without_a_key_is_replaced_and_does_not_become_its_own_replacement(operator: Api) -> None:
    shop = await a_shop(operator)
    [old] = await shop.update(created("t-1", iccid=OLD_ICCID))

    [new] = await shop.update(created("t-1", esimTranNo="K2", replaces=old["esim"]))

    assert new["esim"] != old["esim"]
    assert await shop.raised(old["esim"]) == ["created", "suspended"]
    assert (await shop.esim(old["esim"]))["replacedBy"] == new["esim"]


async def test_a_replacement_without_a_status_is_emitted_as_created(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update(created("t-1", esimTranNo="K1"))

    [new] = await shop.update({"esimTranNo": "K2", "replaces": "K1", "iccid": NEW_ICCID})

    assert await shop.raised(new["esim"]) == ["created"]


async def test_a_replacement_needs_no_account_where_the_key_needs_none(operator: Api) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)
    [old] = await shop.update(created("t-1", esimTranNo="K1", provider="upstream"))

    [new] = await handed_in(operator, {"esimTranNo": "K2", "replaces": "K1", "esimStatus": "CREATED"})

    assert new["outcome"] == "applied"
    assert await shop.raised(old["esim"]) == ["created", "suspended"]


async def test_a_key_of_two_providers_is_distinguished_by_the_transaction(operator: Api) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)
    await operator.put("/v1/providers/other", {"kind": "esimaccess"})
    [one] = await shop.update(created("t-1", esimTranNo="K1", provider="upstream"))
    await shop.update(created("t-2", esimTranNo="K1", provider="other"))

    [result] = await shop.update({"transactionId": "t-1", "esimTranNo": "K1", "esimStatus": "IN_USE"})
    [third] = await shop.update({"transactionId": "t-3", "esimTranNo": "K1", "esimStatus": "IN_USE"})

    assert (result["outcome"], result.get("esim")) == ("applied", one["esim"])
    assert third["outcome"] == "unmatched"
    assert len(await shop.esims()) == 2


async def test_esims_that_shared_a_key_before_each_could_be_had_once_go_on(operator: Api, database: Database) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    for number in (1, 2):
        await shop.update(created(f"t-{number}", esimTranNo=f"K{number}", provider="upstream"))
    async with database.transaction() as db:  # as a migration has left them
        await db.conn.execute("UPDATE esims SET esim_tran_no = 'K1', duplicate_key = true WHERE esim_tran_no = 'K2'")

    answers = [await upstream.notify(esim_status("K1", "IN_USE", transactionId=f"t-{number}")) for number in (1, 2)]

    assert [answer.body["outcome"] for answer in answers] == ["applied", "applied"]
    assert [esim["esimStatus"] for esim in await shop.esims()] == ["IN_USE", "IN_USE"]


async def test_an_older_fact_is_stale_although_the_clock_of_the_provider_is_ahead(operator: Api) -> None:
    shop = await a_shop(operator)
    ahead = datetime.now(UTC) + timedelta(seconds=60)
    [made] = await shop.update(created("t-1", esimStatus="IN_USE", occurredAt=ahead.isoformat()))

    earlier = (ahead - timedelta(seconds=5)).isoformat()
    [result] = await shop.update(created("t-1", occurredAt=earlier))

    assert result["outcome"] == "stale"
    assert (await shop.esim(made["esim"]))["esimStatus"] == "IN_USE"


async def test_notifications_that_waited_for_their_order_are_applied_in_the_order_in_which_they_came(
    operator: Api,
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    statuses = ["GOT_RESOURCE", "IN_USE", "SUSPENDED", "IN_USE", "SUSPENDED", "IN_USE", "USED_UP", "IN_USE"]
    for status in statuses * 2:
        await upstream.notify(esim_status("K1", status, transactionId="t-1"))

    await shop.order("t-1")

    await shop.raised_in_time(
        *(["created", "activated", "suspended", "activated", "suspended", "activated", "expired", "activated"]),
        *(["status_changed", "activated", "suspended", "activated", "suspended", "activated", "expired", "activated"]),
    )


async def test_places_go_to_the_notifications_that_came_first_also_where_they_waited_for_the_order(
    operator: Api,
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    for number in range(16):
        await upstream.notify(esim_status(f"K{number}", "IN_USE", transactionId="t-1"))

    await shop.order("t-1", quantity=3)

    async def all_looked_at() -> bool:
        outcomes = [entry["outcome"] for entry in await upstream.journal()]
        return outcomes.count("applied") == 3 and outcomes.count("unmatched") == 13

    await eventually(all_looked_at)
    assert [esim["esimTranNo"] for esim in await shop.esims()] == ["K0", "K1", "K2"]


async def test_a_provider_that_is_named_without_the_key_takes_no_esim_whose_key_it_has_already(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    [made] = await shop.update(created("t-1", esimTranNo="K1"))
    await shop.order("t-2", orderNo="B1")
    await upstream.notify(esim_status("K1", "IN_USE", orderNo="B1"))

    [result] = await shop.update({"transactionId": "t-1", "provider": "upstream", "esimStatus": "IN_USE"})

    assert (result["outcome"], result["esim"]) == ("applied", made["esim"])
    assert [(esim["transactionId"], esim["esimTranNo"]) for esim in await shop.esims()] == [
        ("t-1", "K1"),
        ("t-2", "K1"),
    ]


@pytest.mark.slow(reason="starts three nodes")
@pytest.mark.timeout(60)
async def test_two_nodes_apply_what_waited_for_an_order_in_the_order_in_which_it_came(settings: Settings) -> None:
    only_api = settings.model_copy(update={"roles": frozenset({Role.API})})
    statuses = ["IN_USE", "SUSPENDED"] * 40
    async with running(only_api) as node, Api(node.url, node.admin_key) as operator:
        shop, upstream = await a_shop(operator), await an_upstream(operator)
        for index, status in enumerate(statuses):
            notice = esim_status("K1", status, transactionId="t-1")
            await upstream.notify(notice | {"notifyId": f"n{index}"})
        await shop.order("t-1")

        async with running(settings), running(settings):
            await shop.raised_in_time(*["activated", "suspended"] * 40)


async def test_what_waited_for_its_esim_is_as_old_as_its_arrival(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await upstream.notify(esim_status("K1", "SUSPENDED", transactionId="t-1"))

    [made] = await shop.update(created("t-1", esimTranNo="K1", esimStatus="IN_USE", provider="upstream"))

    await upstream.journaled("stale")
    assert await shop.raised(made["esim"]) == ["activated"]


KEY_IN_THE_QUERY = """
name = "Acme"
[[verify]]
scheme = "basic"
username = "user"
secret = "password"
[[rule]]
name = "status"
set.key = "query:key"
set.status = "query:status"
"""


async def test_a_short_user_name_at_the_provider_spoils_no_key_that_waits_for_its_esim(operator: Api) -> None:
    shop = await a_shop(operator)
    body = {
        "kind": "mapping",
        "settings": {"document": KEY_IN_THE_QUERY},
        "credentials": {"user": "42", "password": "p"},
    }
    inbound_url = (await operator.put("/v1/providers/upstream", body))["inboundUrl"]
    upstream = Upstream(operator, inbound_url.replace("://", "://42:p@"))
    early = await upstream.notify_raw(b"{}", query="key=A1427&status=IN_USE&user=42")

    await shop.update(created(esimTranNo="A1427", provider="upstream", occurredAt="2025-01-01T00:00:00Z"))

    await shop.raised_in_time("created", "activated")
    [entry] = await upstream.journal()
    shown = await operator.get(f"/v1/notifications/{entry['id']}")
    assert early.body["outcome"] == "unmatched"
    assert shown["query"] == "key=A1427&status=IN_USE&user=***"

"""Three shipped documents through a running server and fakes of their providers: order, push, poll, requery, failure, replay."""

import hmac
import json
from typing import Any

import pytest
from aiohttp import ClientSession

from api import Api, Json, eventually
from esimhooks.server.providers.mapping.check import shipped
from esimhooks.server.store.database import Database
from providers.mapping.documents import ICCID
from providers.mapping.fake_provider import FakeProvider
from upstream import Shop, Upstream, a_shop, moved

SECRET = "airalo-secret"
TOKEN = {"data": {"access_token": "token-1", "expires_in": 3600}}
GB = 1024 * 1024 * 1024


async def put(operator: Api, kind: str, fake: FakeProvider, **credentials: str) -> Upstream:
    made = await operator.put("/v1/providers/upstream", {"kind": kind, "baseUrl": fake.url, "credentials": credentials})
    return Upstream(operator, made["inboundUrl"])


async def signed(upstream: Upstream, body: Json) -> Json:
    """Send a notification as Airalo signs it; return the answer's body."""
    raw = json.dumps(body).encode()
    headers = {"airalo-signature": hmac.digest(SECRET.encode(), raw, "sha512").hex()}
    async with ClientSession() as session, session.post(upstream.inbound_url, data=raw, headers=headers) as answer:
        assert answer.status == 200
        return await answer.json()


async def an_esim_at_airalo(operator: Api, fake: FakeProvider) -> tuple[Shop, Upstream, str]:
    shop = await a_shop(operator)
    upstream = await put(operator, "airalo", fake, clientId="client", clientSecret=SECRET)
    order = await shop.order("req-7")
    sim = {"iccid": ICCID, "qrcode": "LPA:1$rsp.example.com$T-1", "qrcode_url": "https://img.example.com/1"}
    body = {"request_id": "req-7", "id": 9001, "package_id": "p-1", "package": "One", "validity": 7, "sims": [sim]}
    assert (await signed(upstream, body))["outcome"] == "applied"
    return shop, upstream, order["esims"][0]["id"]


def usage(remaining: int, status: str = "ACTIVE") -> Json:
    return {
        "data": {"remaining": remaining, "total": 1024, "is_unlimited": False, "status": status, "expired_at": None}
    }


async def test_an_order_of_airalo_is_filled_by_its_notification(operator: Api, fake: FakeProvider) -> None:
    shop, _, esim_id = await an_esim_at_airalo(operator, fake)

    esim = await shop.esim(esim_id)

    assert (esim["esimStatus"], esim["iccid"], esim["orderNo"], esim["esimTranNo"]) == ("CREATED", ICCID, "9001", ICCID)
    assert esim["ac"] == "LPA:1$rsp.example.com$T-1"
    assert await shop.raised(esim_id) == ["created"]


async def test_a_requery_asks_airalo_with_a_token_and_fills_the_figures(operator: Api, fake: FakeProvider) -> None:
    shop, _, esim_id = await an_esim_at_airalo(operator, fake)
    fake.says("POST /v2/token", TOKEN)
    fake.says(f"GET /v2/sims/{ICCID}/usage", usage(512))
    fake.says(
        f"GET /v2/sims/{ICCID}/packages",
        {"data": [{"id": 1, "package": "One", "status": "ACTIVE", "activated_at": "2026-11-01 10:00:00"}]},
    )

    assert (await shop.requery(esim_id)).status == 200

    esim = await shop.esim(esim_id)
    assert (esim["esimStatus"], esim["totalVolume"], esim["dataUsage"]) == ("IN_USE", 1024, 512)
    assert [(plan["id"], plan["state"]) for plan in esim["plans"]] == [("1", "active")]
    assert fake.calls().count("POST /v2/token") == 1
    headers_of = {call: headers for call, headers, _ in fake.requests}
    assert headers_of[f"GET /v2/sims/{ICCID}/usage"]["Authorization"] == "Bearer token-1"
    assert (await shop.raised(esim_id))[-1] == "requeried"


async def test_a_percentage_counts_against_the_volume_that_was_ordered(operator: Api, fake: FakeProvider) -> None:
    shop, upstream, esim_id = await an_esim_at_airalo(operator, fake)
    low = {"level": "90%", "package_name": "One", "remaining_percentage": 10, "iccid": ICCID}
    first = await signed(upstream, low)
    fake.says("POST /v2/token", TOKEN)
    fake.says(f"GET /v2/sims/{ICCID}/usage", usage(1024))
    fake.says(f"GET /v2/sims/{ICCID}/packages", {"data": []})
    assert (await shop.requery(esim_id)).status == 200

    second = await signed(upstream, low | {"remaining_percentage": 9})

    assert second["outcome"] == "applied"
    assert first["outcome"] != "duplicate"
    assert (await shop.esim(esim_id))["dataUsage"] == 931.84
    [crossed] = [event["thresholds"] for event in await shop.events(esim_id) if event.get("thresholds")]
    assert crossed == [25, 50, 75, 90]


@pytest.mark.slow(reason="waits for rounds of the usage polls, five seconds apart")
@pytest.mark.timeout(60)
async def test_usage_of_airalo_is_polled_and_a_revoked_token_is_renewed(
    operator: Api, fake: FakeProvider, database: Database
) -> None:
    shop, upstream, esim_id = await an_esim_at_airalo(operator, fake)
    fake.says("POST /v2/token", TOKEN)
    fake.says(f"GET /v2/sims/{ICCID}/usage", usage(1024))
    fake.says(f"GET /v2/sims/{ICCID}/packages", {"data": []})
    await shop.requery(esim_id)
    fake.says(f"GET /v2/sims/{ICCID}/usage", {"message": "expired"}, status=401)
    await shop.requery(esim_id)
    assert fake.calls().count("POST /v2/token") == 2
    fake.says(f"GET /v2/sims/{ICCID}/usage", usage(256))

    async def polled() -> bool:
        await moved(database, "esims", "next_poll_at")
        return bool((await shop.esim(esim_id))["dataUsage"] == 768)

    await eventually(polled)
    assert "usage_updated" in await shop.raised(esim_id)
    assert (await upstream.journal())[-1]["outcome"] == "applied"


async def test_an_unproven_notification_of_airalo_is_refused(operator: Api, fake: FakeProvider) -> None:
    _, upstream, _ = await an_esim_at_airalo(operator, fake)

    assert (await upstream.notify({"level": "90%", "remaining_percentage": 10, "iccid": ICCID})).status == 401
    assert len(await upstream.journal()) == 1


async def test_an_order_of_zendit_is_polled_until_it_is_done(
    operator: Api, fake: FakeProvider, database: Database
) -> None:
    shop = await a_shop(operator)
    await put(operator, "zendit", fake, apiKey="key-1")
    call = "GET /v1/esim/purchases/shop-7"
    fake.says(call, {"transactionId": "shop-7", "status": "IN_PROGRESS"})
    order = await shop.order("shop-7", orderNo="shop-7")
    esim_id = order["esims"][0]["id"]

    async def polled() -> bool:
        await moved(database, "orders", "next_poll_at")
        return call in fake.calls()

    await eventually(polled)
    assert (await shop.esim(esim_id))["esimStatus"] == "PENDING"
    confirmation = {"iccid": ICCID, "smdpAddress": "rsp.example.com", "activationCode": "T-1"}
    fake.says(call, {"transactionId": "shop-7", "status": "DONE", "dataGB": 1, "confirmation": confirmation})

    async def filled() -> bool:
        await moved(database, "orders", "next_poll_at")
        return bool((await shop.esim(esim_id))["esimStatus"] == "CREATED")

    await eventually(filled)
    assert (await shop.esim(esim_id))["ac"] == "LPA:1$rsp.example.com$T-1"
    assert fake.requests[-1][1]["Authorization"] == "Bearer key-1"


async def test_an_order_of_zendit_that_failed_is_reported_with_its_reason(operator: Api, fake: FakeProvider) -> None:
    shop, upstream = await a_shop(operator), await put(operator, "zendit", fake, apiKey="key-1")
    failed = {"transactionId": "shop-8", "status": "FAILED", "error": {"message": "out of stock"}}
    fake.says("GET /v1/esim/purchases/shop-8", failed)
    order = await shop.order("shop-8", orderNo="shop-8")

    await upstream.notify(failed)

    esim_id = order["esims"][0]["id"]
    await shop.raised_in_time("status_changed", esim_id=esim_id)
    [event] = await shop.events(esim_id)
    assert (event["newStatus"], event["reason"]) == ("FAILED", "FAILED: out of stock")


def at_mobimatter(used_mb: int, activated: str | None) -> Json:
    package: dict[str, Any] = {"name": "Europe", "associatedProductId": "prod-1", "totalAllowanceMb": 1000}
    package |= {"usedMb": used_mb, "activationDate": activated, "expirationDate": None}
    return {"result": {"esim": {"status": "Installed", "iccid": ICCID, "location": None}, "packages": [package]}}


@pytest.mark.slow(reason="waits for rounds of the usage polls, five seconds apart")
@pytest.mark.timeout(60)
async def test_an_order_of_zendit_is_queried_when_its_purchase_is_done(operator: Api, fake: FakeProvider) -> None:
    shop, upstream = await a_shop(operator), await put(operator, "zendit", fake, apiKey="key-1")
    confirmation = {"iccid": ICCID, "smdpAddress": "rsp.example.com", "activationCode": "T-1"}
    done = {"transactionId": "shop-7", "status": "DONE", "offerId": "one", "dataGB": 1, "confirmation": confirmation}
    fake.says("GET /v1/esim/purchases/shop-7", done)
    esim_id = (await shop.order("shop-7"))["esims"][0]["id"]

    await upstream.notify(done)
    await shop.raised_in_time("created", esim_id=esim_id)
    refunded = done | {"refund": {"status": "DONE"}}
    fake.says("GET /v1/esim/purchases/shop-7", refunded)
    await upstream.notify(refunded)
    await shop.raised_in_time("created", "suspended", esim_id=esim_id)

    events = await shop.events(esim_id)
    assert [(one["newStatus"], one.get("reason")) for one in events] == [("CREATED", None), ("CANCEL", "refunded")]
    assert events[0]["data"]["plans"][0]["totalVolume"] == 953.67


async def test_a_plan_of_zendit_for_an_esim_that_is_used_does_not_make_it_new(
    operator: Api, fake: FakeProvider
) -> None:
    shop, upstream = await a_shop(operator), await put(operator, "zendit", fake, apiKey="key-1")
    own = {"transactionId": "t-1", "esimTranNo": ICCID, "iccid": ICCID, "esimStatus": "IN_USE", "provider": "upstream"}
    first = {"id": "one", "name": "One", "state": "active", "totalVolume": 1000}
    [active] = await shop.update(own | {"plans": [first]})
    plans = [
        {"offerId": offer, "description": offer, "initialDataGB": 1.048576, "remainingDataGB": 1, "status": status}
        for offer, status in (("one", "ACTIVE"), ("two", "ACTIVE"))
    ]
    fake.says(f"GET /v1/esim/{ICCID}/plans", {"list": plans})
    await shop.order("shop-8", esim=active["esim"], packageCode="two")
    done = {"transactionId": "shop-8", "status": "DONE", "offerId": "two", "confirmation": {"iccid": ICCID}}

    answer = await upstream.notify(done)
    await shop.raised_in_time("activated", "data_updated", "usage_updated", esim_id=active["esim"])

    assert answer.body["outcome"] in ("waiting", "ignored")
    await upstream.journaled("ignored")
    [topped_up] = [one for one in await shop.events(active["esim"]) if "topUp" in one]
    assert (topped_up["planId"], topped_up["topUp"]["transactionId"]) == ("two", "shop-8")
    assert (await shop.esim(active["esim"]))["esimStatus"] == "IN_USE"
    assert fake.calls() == [f"GET /v1/esim/{ICCID}/plans"]


async def test_a_requery_of_an_esim_without_plans_finds_nothing_new(operator: Api, fake: FakeProvider) -> None:
    shop = await a_shop(operator)
    await put(operator, "zendit", fake, apiKey="key-1")
    own = {"transactionId": "t-1", "esimTranNo": ICCID, "iccid": ICCID, "esimStatus": "IN_USE", "provider": "upstream"}
    [active] = await shop.update(own)
    fake.says(f"GET /v1/esim/{ICCID}/plans", {"list": [], "total": 0})

    answer = await shop.requery(active["esim"])

    assert answer.status == 200, answer.body
    assert (await shop.raised(active["esim"]))[-1] == "requeried"
    assert (await shop.esim(active["esim"]))["esimStatus"] == "IN_USE"


async def test_dt_one_notifies_purchases_and_is_queried_for_the_rest(operator: Api, fake: FakeProvider) -> None:
    shop = await a_shop(operator)
    upstream = await put(operator, "dtone", fake, apiKey="key-1", apiSecret="secret-1")
    examples: dict[str, Any] = {one.name: one.body for one in shipped("dtone").document.example}
    benefits, status = examples["a quarter is left"], examples["installed and active"]
    fake.says("POST /v1/lookup/credit-party-benefits", [benefits[0] | {"expiration_date": "2099-10-08T10:00:00Z"}])
    fake.says("POST /v1/lookup/credit-party-status", status)
    esim_id = (await shop.order("shop-7"))["esims"][0]["id"]

    await upstream.notify(json.loads(examples["a purchase is done"]))
    assert (await shop.requery(esim_id)).status == 200
    await upstream.notify(examples["another purchase for the same eSIM is done"])

    assert json.loads(fake.requests[0][2]) == {"service_id": 13, "credit_party_identifier": {"account_number": ICCID}}
    assert fake.requests[0][1]["Authorization"] == "Basic a2V5LTE6c2VjcmV0LTE="
    events = await shop.events(esim_id)
    assert [one["event"] for one in events][:2] == ["esim.created", "esim.activated"]
    assert events[1]["data"]["smdpStatus"] == "INSTALLED"
    [topped_up] = [one for one in events if "topUp" in one]
    assert topped_up["topUp"] == {"transactionId": "shop-8", "packageCode": "41002", "addedVolume": 2861.02}
    esim = await shop.esim(esim_id)
    assert (esim["totalVolume"], esim["dataUsage"]) == (3814.7, 715.26)


@pytest.mark.slow(reason="waits for three rounds of polls")
@pytest.mark.timeout(60)
async def test_an_esim_of_a_provider_that_sends_nothing_is_polled_from_the_beginning(
    operator: Api, fake: FakeProvider, database: Database
) -> None:
    shop = await a_shop(operator)
    await put(operator, "mobimatter", fake, apiKey="key-1", merchantId="merchant-1")
    call = "GET /mobimatter/api/v2/provider/info/MM-1"
    fake.says(call, at_mobimatter(0, None))
    own = {
        "transactionId": "shop-9",
        "esimTranNo": "MM-1",
        "iccid": ICCID,
        "esimStatus": "CREATED",
        "provider": "upstream",
    }
    [result] = await shop.update(own)
    esim_id = result["esim"]

    async def shows(status: str, used: float) -> None:
        async def polled() -> bool:
            await moved(database, "esims", "next_poll_at")
            esim = await shop.esim(esim_id)
            return bool((esim["esimStatus"], esim["dataUsage"]) == (status, used))

        await eventually(polled)

    async def scheduled() -> bool:
        async with database.session() as db:
            return bool(await db.conn.fetchval("SELECT next_poll_at IS NOT NULL FROM esims"))

    await eventually(scheduled)
    await shows("CREATED", 0)
    fake.says(call, at_mobimatter(900, "2026-11-01T10:00:00Z"))
    await shows("IN_USE", 858.31)

    assert fake.requests[-1][1]["merchantId"] == "merchant-1"
    raised = await shop.raised(esim_id)
    assert raised[0] == "created"
    assert "activated" in raised


async def test_an_esim_that_the_provider_does_not_know_is_refused_when_it_is_queried(
    operator: Api, fake: FakeProvider
) -> None:
    shop, _, esim_id = await an_esim_at_airalo(operator, fake)
    fake.says("POST /v2/token", TOKEN)

    answer = await shop.requery(esim_id)

    assert answer.status == 409
    assert "the provider refused" in answer.body["detail"]


async def test_what_was_invalid_is_applied_by_a_better_document_when_it_is_replayed(
    operator: Api, fake: FakeProvider
) -> None:
    shop = await a_shop(operator)
    lines = [
        'name = "Acme"',
        "[[rule]]",
        'name = "s"',
        'when = "state"',
        'set.key = "sim"',
        'set.status = {path = "state", table = {live = "IN_USE"}}',
    ]
    made = await operator.put("/v1/providers/upstream", {"kind": "mapping", "settings": {"document": "\n".join(lines)}})
    upstream = Upstream(operator, made["inboundUrl"])
    [created] = await shop.update(
        {"transactionId": "t-1", "esimTranNo": "sim-1", "esimStatus": "CREATED", "provider": "upstream"}
    )
    assert (await upstream.notify({"sim": "sim-1", "mode": "on"})).body["outcome"] == "invalid"
    better = "\n".join(line.replace("state", "mode").replace("live", "on") for line in lines)

    tried = await operator.post("/v1/providers/upstream/dry-run", {"document": better}, status=200)
    untouched = await shop.esim(created["esim"])
    await operator.put("/v1/providers/upstream", {"kind": "mapping", "settings": {"document": better}})
    [entry] = await upstream.journal(outcome="invalid")
    await operator.call("POST", f"/v1/notifications/{entry['id']}/replay")

    assert (tried["tried"], tried["changed"]) == (1, 1)
    [one] = tried["notifications"]
    assert (one["before"]["outcome"], one["after"]["updates"]) == ("invalid", [{"key": "sim-1", "status": "IN_USE"}])
    assert untouched["esimStatus"] == "CREATED"
    await upstream.journaled("applied")
    assert (await shop.esim(created["esim"]))["esimStatus"] == "IN_USE"


async def test_a_dry_run_shows_that_a_balance_is_low(operator: Api) -> None:
    document = 'name = "Acme"\n[[rule]]\nname = "money"\nwhen = "money"\n'
    made = await operator.put("/v1/providers/upstream", {"kind": "mapping", "settings": {"document": document}})
    await Upstream(operator, made["inboundUrl"]).notify({"money": "nearly gone"})

    tried = await operator.post(
        "/v1/providers/upstream/dry-run", {"document": document + 'lowBalance = "money"\n'}, status=200
    )

    [one] = tried["notifications"]
    assert (one["same"], one["after"]["lowBalance"]) == (False, "nearly gone")
    assert "lowBalance" not in one["before"]


async def test_documents_have_versions_and_differences(operator: Api) -> None:
    first = 'name = "Acme"\n[[rule]]\nname = "a"\nwhen = "x"\n'
    for document in (first, first, first.replace("x", "y"), {"name": "Acme"}):
        await operator.put("/v1/providers/upstream", {"kind": "mapping", "settings": {"document": document}})

    listed = await operator.get("/v1/providers/upstream/documents?limit=2")
    rest = await operator.get(f"/v1/providers/upstream/documents?limit=2&cursor={listed['nextCursor']}")

    assert [row["version"] for row in (*listed["data"], *rest["data"])] == [3, 2, 1]
    assert '-when = "x"\n+when = "y"' in listed["data"][1]["difference"]
    assert json.loads(listed["data"][0]["document"]) == {"name": "Acme"}
    assert (rest["data"][0]["difference"], rest["nextCursor"]) == ("", None)


async def test_a_wrong_document_is_refused_with_pointers_and_nothing_is_stored(operator: Api) -> None:
    wrong = 'name = "Acme"\n[[rule]]\nname = "a"\nwhen = "sort(x)"\nset.status = "s"\n'
    body = {"kind": "mapping", "settings": {"document": wrong}}

    answer = await operator.call("PUT", "/v1/providers/upstream", body)

    assert answer.status == 422
    assert {error["pointer"] for error in answer.body["errors"]} == {
        "/settings/document/rule/0/when",
        "/settings/document/rule/0/set",
    }
    assert (await operator.call("GET", "/v1/providers/upstream")).status == 404
    assert (await operator.call("POST", "/v1/providers/upstream/dry-run", {"document": wrong})).status == 404


async def test_an_unsigned_end_is_believed_where_a_query_would_not_show_it(operator: Api, fake: FakeProvider) -> None:
    shop, upstream = await a_shop(operator), await put(operator, "1global", fake, accessToken="token-1")
    own = {"transactionId": "t-1", "esimTranNo": ICCID, "iccid": ICCID, "esimStatus": "IN_USE", "provider": "upstream"}
    [active] = await shop.update(own)
    end = {
        "id": "n-1",
        "type": "SUBSCRIPTION_END",
        "iccid": ICCID,
        "current_balance": 5,
        "expiration_date": "2026-10-14T04:05:38Z",
    }

    await upstream.notify(end)

    assert (await shop.esim(active["esim"]))["esimStatus"] == "UNUSED_EXPIRED"
    assert fake.calls() == []


async def test_usage_is_not_polled_where_the_document_does_not_say_how(operator: Api, fake: FakeProvider) -> None:
    shop = await a_shop(operator)
    question = '[fetch]\nrequest = "GET /orders/{orderNo}"\nset.key = "sim"\nset.status = {const = "CREATED"}\n'
    settings = {"document": f'name = "Acme"\nauth = "bearer"\n{question}'}
    config = {"kind": "mapping", "baseUrl": fake.url, "credentials": {"token": "t-1"}, "settings": settings}
    upstream = Upstream(operator, (await operator.put("/v1/providers/upstream", config))["inboundUrl"])
    await shop.update({"transactionId": "t-1", "esimTranNo": ICCID, "esimStatus": "IN_USE", "provider": "upstream"})
    esim_id = (await shop.esims())[0]["id"]

    answer = await shop.requery(esim_id)

    assert (answer.status, fake.calls()) == (409, [])
    assert "does not say how to ask for one eSIM" in answer.body["detail"]
    assert await upstream.journal() == []

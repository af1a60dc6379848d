"""Deliveries and their attempts as they are shown; sending one again."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

from api import Api, Json, Merchant, a_merchant, eventually
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store.database import Database
from esimhooks.server.store.deliveries import response_row
from receiver import Receiver, status
from web.routes import is_problem
from web.rows import an_esim, pages


async def delivery_in_status(caller: Api, event: str, wanted: str) -> Json:
    """Return the event's delivery as soon as it has the status."""

    async def found() -> Json:
        rows = (await caller.get(f"/v1/deliveries?event={event}&status={wanted}"))["data"]
        return rows[0] if rows else None

    return await eventually(found)


async def failed_once(caller: Api, event: str) -> Json:
    """Return the event's delivery as soon as its first attempt has failed."""

    async def found() -> Json:
        [row] = (await caller.get(f"/v1/deliveries?event={event}"))["data"]
        return row if row["attemptCount"] else None

    return await eventually(found)


async def raised(caller: Api) -> str:
    event: str = (await caller.post("/v1/test-events", {"event": "esim.activated"}))["id"]
    return event


async def a_caller(operator: Api, receiver: Receiver) -> Merchant:
    return await a_merchant(operator, webhook_url=receiver.url())


async def test_a_delivery_is_listed_and_shown_with_its_attempts(operator: Api, receiver: Receiver) -> None:
    receiver.answer(status=200, body=b"ok", headers={"x-receiver": "mine"})
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        event = await raised(caller)
        delivery = await delivery_in_status(caller, event, "delivered")
        shown = await caller.get(f"/v1/deliveries/{delivery['id']}")

    expected = {
        "event": event,
        "eventType": "esim.activated",
        "endpoint": merchant.endpoint,
        "status": "delivered",
        "attemptCount": 1,
        "nextAttemptAt": None,
    }
    assert {name: delivery[name] for name in expected} == expected
    assert delivery["id"].startswith("dlv_")
    assert delivery["createdAt"] <= delivery["finishedAt"]
    [attempt] = shown.pop("attempts")
    assert shown == delivery
    expected = {"number": 1, "outcome": "2xx", "statusCode": 200, "error": None, "responseBody": "ok"}
    assert {name: attempt[name] for name in expected} == expected
    assert attempt["durationMs"] >= 0
    assert ["x-receiver", "mine"] in [[name.lower(), value] for name, value in attempt["responseHeaders"]]


async def test_what_a_receiver_answers_is_stored_encrypted_with_its_headers(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    receiver.answer(status=200, body=b"ok", headers={"x-echo": "LPA:1$canary"})
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        delivery = await delivery_in_status(caller, await raised(caller), "delivered")

    async with database.session() as db:
        [row] = await db.conn.fetch("SELECT attempts::text AS all_of_it, sealed_body FROM attempts")
    assert delivery["status"] == "delivered"
    assert "canary" not in row["all_of_it"]
    assert b"canary" not in row["sealed_body"]


async def test_an_attempt_from_before_headers_were_encrypted_is_shown_as_it_was(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        delivery = await delivery_in_status(caller, await raised(caller), "delivered")
        async with database.session() as db:
            attempt = await db.conn.fetchval("SELECT id FROM attempts")
            encrypted = db.cipher.encrypt(b"old", row=response_row(attempt))
            headers = [["x-old", "1"]]
            await db.conn.execute("UPDATE attempts SET response_headers = $1, sealed_body = $2", headers, encrypted)
        [shown] = (await caller.get(f"/v1/deliveries/{delivery['id']}"))["attempts"]

    assert (shown["responseHeaders"], shown["responseBody"]) == (headers, "old")


async def test_an_answer_is_shown_as_text_whatever_it_was(operator: Api, receiver: Receiver) -> None:
    receiver.answer(status=410, body=b"<script>alert(1)</script>\x00\xff")
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        delivery = await delivery_in_status(caller, await raised(caller), "stopped")
        [attempt] = (await caller.get(f"/v1/deliveries/{delivery['id']}"))["attempts"]

    assert attempt["outcome"] == "410"
    assert attempt["responseBody"] == "<script>alert(1)</script>\x00\ufffd"


async def test_deliveries_are_found_by_each_filter(operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    esim = await an_esim(operator, merchant.account, "test", esimStatus="CREATED")
    async with operator.as_key(merchant.key) as caller:
        created = await delivery_in_status(caller, esim["events"][0], "delivered")
        activated = await delivery_in_status(caller, await raised(caller), "delivered")
        other = await caller.post("/v1/endpoints", {"url": receiver.url("/other"), "eventTypes": ["esim.expired"]})

        async def ids(query: str) -> list[str]:
            return [row["id"] for row in (await caller.get(f"/v1/deliveries?{query}"))["data"]]

        both = [activated["id"], created["id"]]
        assert await ids("") == both
        assert await ids(f"endpoint={merchant.endpoint}") == both
        assert await ids(f"endpoint={other['id']}") == []
        assert await ids(f"event={created['event']}") == [created["id"]]
        assert await ids("type=esim.created") == [created["id"]]
        assert await ids(f"esim={esim['esim']}") == [created["id"]]
        assert await ids("status=failed") == []
        hour = timedelta(hours=1)
        before, after = (quote((datetime.now(UTC) + shift).isoformat()) for shift in (-hour, hour))
        assert await ids(f"from={before}&to={after}") == both
        assert await ids(f"from={after}") == await ids(f"to={before}") == []
        assert [[row["id"] for row in page] for page in await pages(caller, "/v1/deliveries", limit=1)] == [
            [one] for one in both
        ]


async def test_a_finished_delivery_is_sent_again_in_the_background(operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        delivery = await delivery_in_status(caller, await raised(caller), "delivered")

        answer = await caller.call("POST", f"/v1/deliveries/{delivery['id']}/retry")
        assert (answer.status, answer.body) == (202, None)

        await receiver.wait_for(2)

        async def twice() -> Json:
            shown = await caller.get(f"/v1/deliveries/{delivery['id']}")
            return shown if len(shown["attempts"]) == 2 else None

        shown = await eventually(twice)
        assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2]


async def test_a_pending_delivery_is_attempted_at_once_when_it_is_sent_again(operator: Api, receiver: Receiver) -> None:
    receiver.answer(script=[status(500), status(200)])
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        await caller.call("PATCH", f"/v1/endpoints/{merchant.endpoint}", {"retrySchedule": [0, 3600]})
        event = await raised(caller)
        delivery = await failed_once(caller, event)
        assert delivery["nextAttemptAt"] > delivery["createdAt"]
        assert (delivery["outcome"], delivery["statusCode"]) == ("5xx", 500)

        await caller.post(f"/v1/deliveries/{delivery['id']}/retry", status=202)
        arrived = await delivery_in_status(caller, event, "delivered")
        assert (arrived["attemptCount"], arrived["statusCode"]) == (2, 200)


async def test_what_waits_for_an_endpoint_is_attempted_at_once_for_a_receiver_that_was_repaired(
    operator: Api, receiver: Receiver
) -> None:
    receiver.answer(status=503)
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        await caller.call("PATCH", f"/v1/endpoints/{merchant.endpoint}", {"retrySchedule": [0, 3600]})
        events = [await raised(caller) for _ in range(12)]  # the breaker trips at ten

        async def cooling() -> bool:
            health = (await caller.get(f"/v1/endpoints/{merchant.endpoint}"))["health"]
            return bool(health["failuresInARow"] >= 10)

        await eventually(cooling)
        receiver.answer(status=200)
        answer = await caller.post(f"/v1/endpoints/{merchant.endpoint}/send-now", status=202)
        assert answer["deliveries"] >= 10
        for event in events:
            await delivery_in_status(caller, event, "delivered")
        await caller.post(f"/v1/endpoints/{merchant.endpoint}/pause", status=200)
        is_problem(await caller.call("POST", f"/v1/endpoints/{merchant.endpoint}/send-now"), 409)


async def test_many_are_sent_again_at_once_and_those_of_others_are_named(operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    other = await a_caller(operator, receiver)
    async with operator.as_key(other.key) as caller:
        foreign = (await delivery_in_status(caller, await raised(caller), "delivered"))["id"]
    async with operator.as_key(merchant.key) as caller:
        mine = [(await delivery_in_status(caller, await raised(caller), "delivered"))["id"] for _ in range(2)]
        answer = await caller.post("/v1/deliveries/retry", {"deliveries": [*mine, foreign]}, status=202)
        assert (sorted(answer["sent"]), answer["gone"]) == (sorted(mine), [foreign])
    await receiver.wait_for(5)


async def test_deliveries_are_found_by_status_code_outcome_and_whether_any_attempt_failed(
    operator: Api, receiver: Receiver
) -> None:
    receiver.answer(script=[status(502), status(200)])
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        await caller.call("PATCH", f"/v1/endpoints/{merchant.endpoint}", {"retrySchedule": [0, 3600]})
        retried = await raised(caller)
        failing = (await failed_once(caller, retried))["id"]
        arrived = (await delivery_in_status(caller, await raised(caller), "delivered"))["id"]

        async def found(query: str) -> list[str]:
            return [row["id"] for row in (await caller.get(f"/v1/deliveries?{query}"))["data"]]

        assert await found("statusCode=502") == await found("outcome=5xx") == await found("failed=true") == [failing]
        assert await found("status=pending&failed=true") == [failing]
        assert await found("status=pending&statusCode=502") == [failing]
        assert await found("statusCode=200") == await found("failed=false") == [arrived]
        assert (await caller.call("GET", "/v1/deliveries?statusCode=7")).status == 422
        await caller.post(f"/v1/deliveries/{failing}/retry", status=202)
        await delivery_in_status(caller, retried, "delivered")
        assert await found("failed=true") == [failing]


async def test_an_attempt_is_shown_also_where_the_clock_of_the_node_that_made_it_is_behind(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        delivery = await delivery_in_status(caller, await raised(caller), "delivered")
        a_second = 1000 << 80
        behind = UUID(int=parse_id(Prefix.DELIVERY, delivery["id"]).int - a_second)
        async with database.transaction() as db:
            row = await db.conn.fetchrow("SELECT id, sealed_body FROM attempts")
            answer = db.cipher.decrypt(row["sealed_body"], row=response_row(row["id"]))
            await db.conn.execute(
                "UPDATE attempts SET id = $1, sealed_body = $2",
                behind,
                db.cipher.encrypt(answer, row=response_row(behind)),
            )

        shown = await caller.get(f"/v1/deliveries/{delivery['id']}")
        traced = await caller.get(f"/v1/trace/{delivery['id']}")

    assert [attempt["statusCode"] for attempt in shown["attempts"]] == [200]
    assert len(traced["deliveries"][0]["attempts"]) == 1

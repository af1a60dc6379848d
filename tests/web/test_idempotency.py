"""`Idempotency-Key`: the same request is carried out once and answered alike; kept encrypted, for a day, for each tenant."""

import asyncio
from datetime import timedelta

import pytest

from api import Answer, Api, Json, a_merchant
from esimhooks.server.store.database import Database
from receiver import Receiver
from web.routes import API, is_field, is_problem


async def post_with_key(api: Api, path: str, body: Json, key: str = "k-1") -> Answer:
    return await api.call("POST", path, body, idempotency_key=key)


async def test_the_same_request_is_carried_out_once_and_answered_alike(operator: Api) -> None:
    first = await post_with_key(operator, "/v1/accounts", {"name": "Acme"})
    again = await post_with_key(operator, "/v1/accounts", {"name": "Acme"})

    assert (first.status, "idempotent-replayed" in first.headers) == (201, False)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len((await operator.get("/v1/accounts"))["data"]) == 1


async def test_the_same_key_for_something_else_is_refused(operator: Api) -> None:
    await post_with_key(operator, "/v1/accounts", {"name": "Acme"})

    for path, body in (("/v1/accounts", {"name": "Other"}), ("/v1/updates", {"updates": [{"transactionId": "t"}]})):
        assert is_problem(await post_with_key(operator, path, body), 422)["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert len((await operator.get("/v1/accounts"))["data"]) == 1


async def test_what_was_refused_may_be_tried_again_under_its_key(operator: Api) -> None:
    is_field(await post_with_key(operator, "/v1/accounts", {"name": ""}), "/name")

    assert (await post_with_key(operator, "/v1/accounts", {"name": "Acme"})).status == 201


async def test_of_requests_at_once_one_is_carried_out(operator: Api) -> None:
    answers = await asyncio.gather(*(post_with_key(operator, "/v1/accounts", {"name": "Acme"}) for _ in range(12)))

    assert {answer.status for answer in answers} <= {201, 409}
    [body] = {answer.body["id"] for answer in answers if answer.status == 201}
    for answer in answers:
        if answer.status == 409:
            assert is_problem(answer, 409)["code"] == "IDEMPOTENCY_KEY_IN_USE"
    assert (await post_with_key(operator, "/v1/accounts", {"name": "Acme"})).body["id"] == body
    assert len((await operator.get("/v1/accounts"))["data"]) == 1


async def test_secrets_in_kept_answers_are_encrypted(operator: Api, database: Database) -> None:
    merchant = await a_merchant(operator)
    body = {"mode": "test", "name": "ci", "webhookUrl": "https://example.com/hooks"}
    first = await post_with_key(operator, f"/v1/accounts/{merchant.account}/keys", body)
    again = await post_with_key(operator, f"/v1/accounts/{merchant.account}/keys", body)

    assert again.body == first.body
    async with database.session() as db:
        kept = b"".join(row[0] for row in await db.conn.fetch("SELECT sealed_answer FROM idempotent_answers"))
    assert first.body["key"].encode() not in kept
    assert first.body["endpoint"]["secret"].encode() not in kept


async def test_keys_of_others_are_others(operator: Api) -> None:
    merchants = [await a_merchant(operator) for _ in range(2)]
    made = []
    for merchant in merchants:
        async with operator.as_key(merchant.key) as api:
            made.append(await post_with_key(api, "/v1/endpoints", {"url": "https://example.com/"}))

    assert [answer.status for answer in made] == [201, 201]
    assert made[0].body["id"] != made[1].body["id"]


async def test_updates_under_a_key_are_delivered_at_once(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    body = {
        "account": merchant.account,
        "mode": "test",
        "updates": [{"transactionId": "t-1", "esimStatus": "IN_USE"}],
    }

    first = await post_with_key(operator, "/v1/updates", body)
    again = await post_with_key(operator, "/v1/updates", body)

    assert (first.status, first.body["results"][0]["outcome"]) == (200, "applied")
    assert again.body == first.body
    await receiver.wait_for(len(first.body["results"][0]["events"]))


async def test_an_answer_is_forgotten_after_a_day(operator: Api, database: Database) -> None:
    first = await post_with_key(operator, "/v1/accounts", {"name": "Acme"})
    async with database.transaction() as db:
        await db.conn.execute(
            "UPDATE idempotent_answers SET created_at = created_at - $1::interval", timedelta(hours=25)
        )

    again = await post_with_key(operator, "/v1/accounts", {"name": "Acme"})
    assert (again.status, again.body["id"] != first.body["id"]) == (201, True)


@pytest.mark.parametrize("key", ["", "a" * 256, "é"])
async def test_a_key_that_is_none_is_refused(key: str, operator: Api) -> None:
    is_field(
        await post_with_key(operator, "/v1/accounts", {"name": "Acme"}, key), "header:idempotency-key", "printable"
    )


async def test_no_post_without_a_valid_key_of_the_api_reaches_the_table(operator: Api, database: Database) -> None:
    async with operator.as_key("wrong") as stranger:
        for route in [route for route in API if route.method == "POST"]:
            is_problem(await post_with_key(stranger, route.at(), {}), 401)
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM idempotent_answers") == 0

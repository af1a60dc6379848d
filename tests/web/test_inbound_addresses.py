"""Inbound addresses: found by those who look before they register them, rotated with an overlap, and what is journaled."""

import json

import pytest

from api import Api, Json
from esimhooks.server.store.database import Database
from web.routes import is_field, is_problem

HEALTHY = {"notifyType": "CHECK_HEALTH"}
SECRET = "secret-key-that-nobody-sees"
CODE = "code-that-nobody-sees"


async def put(operator: Api, **fields: Json) -> str:
    """Store a provider; return the path of its inbound address."""
    made = await operator.put("/v1/providers/upstream", {"kind": "esimaccess"} | fields)
    return inbound_of(operator, made)


def inbound_of(operator: Api, made: Json) -> str:
    path: str = made["inboundUrl"].removeprefix(operator.url)
    return path


async def rotate(operator: Api, **body: int) -> Json:
    return await operator.post("/v1/providers/upstream/rotate-token", body, status=200)


async def is_taken(operator: Api, path: str) -> bool:
    return (await operator.call("POST", path, HEALTHY)).status == 200


@pytest.mark.parametrize("rest", ["", "/", "/usage", "/gsma/rsp2/es2plus"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_provider_that_looks_at_its_address_finds_it(operator: Api, method: str, rest: str) -> None:
    inbound = await put(operator)

    found = await operator.call(method, inbound + rest)

    assert (found.status, found.body) == (200, None)
    assert (await operator.call(method, inbound + "x" + rest)).status == 404
    assert (await operator.call(method, inbound.replace("upstream", "other") + rest)).status == 404
    assert (await operator.get("/v1/notifications"))["data"] == []


@pytest.mark.parametrize("rest", ["/%00", "/usage/a%00b", "/%0a", "/%7f"])
async def test_below_an_inbound_address_is_nothing_that_no_journal_can_hold(operator: Api, rest: str) -> None:
    inbound = await put(operator)

    answer = await operator.call("POST", inbound + rest, HEALTHY)

    is_problem(answer, 404)
    assert (await operator.get("/v1/notifications"))["data"] == []


@pytest.mark.parametrize("header", ["authorization", "cookie", "proxy-authorization", "x-api-key"])
async def test_a_header_that_carries_credentials_is_not_journaled(operator: Api, header: str) -> None:
    inbound = await put(operator)

    await operator.raw("POST", inbound, json.dumps(HEALTHY).encode(), **{header: "Basic whatever", "x_other": "kept"})

    [entry] = (await operator.get("/v1/notifications"))["data"]
    shown = await operator.get(f"/v1/notifications/{entry['id']}")
    assert header not in shown["headers"]
    assert shown["headers"]["x-other"] == "kept"


async def test_a_credential_of_the_provider_is_not_journaled_wherever_it_stands(
    operator: Api, database: Database
) -> None:
    inbound = await put(operator, credentials={"accessCode": CODE, "secretKey": SECRET})

    await operator.raw("POST", f"{inbound}?key={CODE}&a=b", json.dumps(HEALTHY).encode(), x_own=f"Token {SECRET}")

    [entry] = (await operator.get("/v1/notifications"))["data"]
    shown = await operator.get(f"/v1/notifications/{entry['id']}")
    assert shown["query"] == "key=***&a=b"
    async with database.session() as db:
        stored = await db.conn.fetchval("SELECT string_agg(n::text, '') FROM notifications n")
    assert CODE not in stored
    assert SECRET not in stored


async def test_a_token_is_rotated_and_the_old_address_works_until_its_end(operator: Api, database: Database) -> None:
    old = await put(operator)

    made = await rotate(operator)

    new = inbound_of(operator, made)
    assert new != old
    assert made["oldInboundUrl"] == operator.url + old
    assert [await is_taken(operator, path) for path in (old, new)] == [True, True]
    shown = await operator.get("/v1/providers/upstream")
    assert shown | {"health": None} == made | {"health": None}

    async with database.transaction() as db:
        await db.conn.execute("UPDATE providers SET old_token_until = now()")
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})  # so that it is read anew

    assert [await is_taken(operator, path) for path in (old, new)] == [False, True]
    shown = await operator.get("/v1/providers/upstream")
    assert (shown["oldInboundUrl"], shown["oldInboundUrlExpiresAt"]) == (None, None)


async def test_after_a_leak_the_old_address_ends_at_once(operator: Api) -> None:
    old = await put(operator)

    made = await rotate(operator, expireOldIn=0)

    assert made["oldInboundUrl"] is None
    assert [await is_taken(operator, path) for path in (old, inbound_of(operator, made))] == [False, True]


async def test_an_old_address_that_still_works_is_not_ended_by_a_second_rotation(operator: Api) -> None:
    first = await put(operator)
    await rotate(operator, expireOldIn=60)

    is_problem(await operator.call("POST", "/v1/providers/upstream/rotate-token", {}), 409)

    assert await is_taken(operator, first)
    await rotate(operator, expireOldIn=0)
    assert not await is_taken(operator, first)


@pytest.mark.parametrize("seconds", [-1, 30 * 86_400 + 1, "60", 1.5])
async def test_an_overlap_is_0_to_30_days(operator: Api, seconds: Json) -> None:
    await put(operator)

    answer = await operator.call("POST", "/v1/providers/upstream/rotate-token", {"expireOldIn": seconds})

    is_field(answer, "/expireOldIn")


async def test_rotations_are_in_the_audit_log_without_a_token(operator: Api) -> None:
    await put(operator)
    await rotate(operator, expireOldIn=60)

    entry = (await operator.get("/v1/audit"))["data"][0]

    assert (entry["action"], entry["subject"]) == ("provider.rotate-token", "upstream")
    assert entry["changes"] == {"expireOldIn": {"old": None, "new": 60}}
    is_problem(await operator.call("POST", "/v1/providers/other/rotate-token", {}), 404)

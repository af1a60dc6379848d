"""Rows that cannot be decrypted, by damage or for lack of a key: lists name them and show the others, readers pass them."""

import json
from collections.abc import Callable

import pytest
from aiohttp import ClientSession
from msgspec import Struct

from api import Api, Json, Merchant, a_merchant, eventually
from conftest import ADMIN_KEY
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store.database import Database
from receiver import Receiver
from web.rows import an_esim
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture

OLDEST = "evt_00000000000000000000000000"
FLIPPED = "set_byte({column}, length({column}) - 1, get_byte({column}, length({column}) - 1) # 1)"


class Rows(Struct, frozen=True):
    """A merchant with three rows of each kind, oldest first, by their ids; the endpoints have headers of their own."""

    merchant: Merchant
    esims: list[str]
    events: list[str]
    notifications: list[str]
    endpoints: list[str]


@pytest.fixture
async def rows(operator: Api, receiver: Receiver) -> Rows:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as key:
        endpoints = [
            (await key.post("/v1/endpoints", {"url": receiver.url(), "headers": {"x-team": f"t{number}"}}))["id"]
            for number in range(3)
        ]
    made = [await an_esim(operator, merchant.account, "test") for _ in range(3)]
    journal = (await operator.get("/v1/notifications"))["data"]
    return Rows(
        merchant=merchant,
        esims=[one["esim"] for one in made],
        events=[one["events"][0] for one in made],
        notifications=[one["id"] for one in reversed(journal)],
        endpoints=endpoints,
    )


async def spoil(database: Database, table: str, column: str, name: str) -> None:
    """Change a bit of what is encrypted in the row with this id."""
    row_id = parse_id(Prefix(name.partition("_")[0]), name)
    async with database.session() as db:
        flipped = FLIPPED.format(column=column)
        done = await db.conn.execute(f"UPDATE {table} SET {column} = {flipped} WHERE id = $1", row_id)
    assert done == "UPDATE 1"


IdsOf = Callable[[Rows], list[str]]
SPOILT: list[tuple[str, str, str, IdsOf]] = [
    ("/v1/esims", "esims", "sealed_credentials", lambda rows: rows.esims),
    ("/v1/events", "events", "sealed_body", lambda rows: rows.events),
    ("/v1/notifications", "notifications", "sealed_body", lambda rows: rows.notifications),
    ("/v1/endpoints", "endpoints", "sealed_headers", lambda rows: rows.endpoints),
]


@pytest.mark.parametrize(("path", "table", "column", "ids_of"), SPOILT, ids=[one[0] for one in SPOILT])
async def test_a_list_names_the_row_and_shows_the_others(
    path: str, table: str, column: str, ids_of: IdsOf, operator: Api, rows: Rows, database: Database
) -> None:
    tenant = "" if path == "/v1/notifications" else f"account={rows.merchant.account}&mode=test&"
    first, second, third = ids_of(rows)
    assert "unreadable" not in await operator.get(f"{path}?{tenant}")
    await spoil(database, table, column, second)

    whole = await operator.get(f"{path}?{tenant}")
    pages = [await operator.get(f"{path}?{tenant}limit=1")]
    while pages[-1]["nextCursor"]:
        pages.append(await operator.get(f"{path}?{tenant}limit=1&cursor={pages[-1]['nextCursor']}"))

    assert ids_in(whole) == [third, first]
    assert whole["unreadable"] == [second]
    assert [ids_in(page) for page in pages] == [[third], [], [first]]
    assert pages[1]["unreadable"] == [second]


async def test_the_pull_of_events_passes_the_row(operator: Api, rows: Rows, database: Database) -> None:
    await spoil(database, "events", "sealed_body", rows.events[1])
    path = f"/v1/events?account={rows.merchant.account}&mode=test&after={OLDEST}"

    one, two, three = [
        await operator.get(f"{path}&limit=1"),
        await operator.get(f"{path}&limit=1&cursor={(await operator.get(f'{path}&limit=1'))['nextCursor']}"),
        await operator.get(f"{path}&limit=2"),
    ]
    rest = await operator.get(f"{path}&limit=1&cursor={two['nextCursor']}")

    assert ids_in(one) == [rows.events[0]]
    assert (two["data"], two["unreadable"]) == ([], [rows.events[1]])
    assert (ids_in(three), three["unreadable"]) == ([rows.events[0]], [rows.events[1]])
    assert (ids_in(rest), rest["nextCursor"]) == ([rows.events[2]], None)


async def test_the_stream_passes_the_row_and_a_client_that_returns_is_not_delayed(
    operator: Api, rows: Rows, database: Database
) -> None:
    await spoil(database, "events", "sealed_body", rows.events[1])
    headers = {"x-api-key": rows.merchant.key, "last-event-id": OLDEST}
    async with ClientSession() as session, session.get(f"{operator.url}/v1/stream", headers=headers) as answer:
        blocks = [(await answer.content.readuntil(b"\n\n")).decode() for _ in range(4)]

    hello, first, passed, last = blocks
    assert OLDEST in hello
    assert f"id: {rows.events[0]}\n" in first
    assert passed == f": {rows.events[1]} cannot be decrypted\nid: {rows.events[1]}\n\n"
    assert json.loads(last.split("data: ")[1])["id"] == rows.events[2]


async def test_an_attempt_is_shown_without_its_answer(operator: Api, rows: Rows, database: Database) -> None:
    tenant = f"account={rows.merchant.account}&mode=test"

    async def delivered() -> Json:
        return (await operator.get(f"/v1/deliveries?{tenant}&status=delivered"))["data"]

    delivery = (await eventually(delivered))[0]["id"]
    [before] = (await operator.get(f"/v1/deliveries/{delivery}?{tenant}"))["attempts"]
    await spoil(database, "attempts", "sealed_body", before["id"])

    [attempt] = (await operator.get(f"/v1/deliveries/{delivery}?{tenant}"))["attempts"]

    assert "unreadable" not in before
    assert attempt == before | {"unreadable": True, "responseHeaders": [], "responseBody": ""}


async def test_an_order_names_its_esim_and_shows_the_others(operator: Api, database: Database) -> None:
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    merchant = await a_merchant(operator)
    body = {"account": merchant.account, "mode": "test", "provider": "upstream", "transactionId": "t-1"}
    order = await operator.post("/v1/orders", body | {"packageCode": "CKH1", "quantity": 3})
    bad = order["esims"][1]["id"]
    async with database.session() as db:
        await db.conn.execute("UPDATE esims SET sealed_held = '\\x00' WHERE id = $1", parse_id(Prefix.ESIM, bad))

    shown = await operator.get(f"/v1/orders/{order['id']}")

    assert [one["id"] for one in shown["esims"]] == [order["esims"][0]["id"], order["esims"][2]["id"]]
    assert shown["unreadable"] == [bad]


@pytest.mark.parametrize("column", ["sealed_credentials", "sealed_token"])
async def test_providers_are_listed_beside_one_that_cannot_be_decrypted(
    column: str, operator: Api, database: Database
) -> None:
    for name in ("a", "b", "c"):
        await operator.put(f"/v1/providers/{name}", {"kind": "esimaccess"})
    async with database.session() as db:
        await db.conn.execute(f"UPDATE providers SET {column} = {FLIPPED.format(column=column)} WHERE name = 'b'")

    listed = await operator.get("/v1/providers")

    assert ([one["name"] for one in listed["data"]], listed["unreadable"]) == (["a", "c"], ["b"])


async def test_alone_it_is_an_error_that_says_why(
    browser: Browser, operator: Api, rows: Rows, database: Database
) -> None:
    tenant = f"account={rows.merchant.account}&mode=test"
    await browser.sign_in(ADMIN_KEY)
    for path, table, column, ids_of in SPOILT:
        await spoil(database, table, column, ids_of(rows)[0])
        answer = await operator.call("GET", f"{path}/{ids_of(rows)[0]}" + ("" if "notif" in path else f"?{tenant}"))
        assert (answer.status, answer.body["code"]) == (500, "UNREADABLE")
    status, text = await browser.get(f"/esims/{rows.esims[0]}?{tenant}")
    assert (status, "cannot be decrypted" in text) == (500, True)


PAGES: list[tuple[str, str, str, IdsOf]] = [
    ("/esims", "esims", "sealed_credentials", lambda rows: rows.esims),
    ("/events", "events", "sealed_body", lambda rows: rows.events),
    ("/journal", "notifications", "sealed_body", lambda rows: rows.notifications),
    ("/endpoints", "endpoints", "sealed_headers", lambda rows: rows.endpoints),
]


@pytest.mark.parametrize(("path", "table", "column", "ids_of"), PAGES, ids=[one[0] for one in PAGES])
async def test_pages_of_lists_name_the_row_and_show_the_others(
    path: str, table: str, column: str, ids_of: IdsOf, browser: Browser, rows: Rows, database: Database
) -> None:
    first, second, third = ids_of(rows)
    await spoil(database, table, column, second)

    await browser.sign_in(ADMIN_KEY)
    _, text = await browser.get(f"{path}?account={rows.merchant.account}&mode=test")

    assert f"{second}</span> cannot be decrypted" in text
    assert all(f"{path}/{shown}" in text for shown in (first, third))
    assert f"{path}/{second}" not in text


async def test_the_story_of_an_esim_and_the_page_of_a_delivery_are_shown_without_what_cannot_be_decrypted(
    browser: Browser, operator: Api, rows: Rows, database: Database
) -> None:
    tenant = f"account={rows.merchant.account}&mode=test"

    async def delivered() -> Json:
        return (await operator.get(f"/v1/deliveries?{tenant}&status=delivered&event={rows.events[0]}"))["data"]

    delivery = (await eventually(delivered))[0]["id"]
    [attempt] = (await operator.get(f"/v1/deliveries/{delivery}?{tenant}"))["attempts"]
    await spoil(database, "attempts", "sealed_body", attempt["id"])
    await spoil(database, "notifications", "sealed_body", rows.notifications[1])
    for event in rows.events[:2]:
        await spoil(database, "events", "sealed_body", event)
    await spoil(database, "endpoints", "sealed_headers", rows.endpoints[1])

    await browser.sign_in(ADMIN_KEY)
    _, story = await browser.get(f"/esims/{rows.esims[1]}?{tenant}")
    _, sent = await browser.get(f"/deliveries/{delivery}?{tenant}")
    _, names = await browser.get(f"/deliveries?{tenant}")

    assert f"{rows.events[1]}</span> cannot be decrypted" in story
    assert f"{rows.notifications[1]}</span> cannot be decrypted" in story
    assert sent.count("It cannot be decrypted.") == 2
    assert rows.endpoints[1] in names


def ids_in(page: Json) -> list[str]:
    return [one["id"] for one in page["data"]]

"""Searching on the dashboard: any id or number leads to its page, and filters stay in the address."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from api import Api, a_merchant
from conftest import ADMIN_KEY
from receiver import Receiver
from web.rows import Rows, an_esim, rows_of
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.slow(reason="goes to many pages")
FOUND = ("esim_id", "event_id", "delivery_id", "endpoint_id", "recovery_id", "requery_id")


async def rows_of_a_merchant(operator: Api, receiver: Receiver) -> Rows:
    account = await operator.post("/v1/accounts", {"name": "Acme Travel"})
    return await rows_of(operator, account["id"], "test", receiver.url())


async def led_to(browser: Browser, text: str) -> str:
    async with browser.session.get(browser.url + "/search", params={"q": text}) as answer:
        assert answer.status == 200, await answer.text()
        return str(answer.url.path)


async def test_every_id_leads_to_its_page_and_for_others_to_none(
    operator: Api, browser: Browser, receiver: Receiver
) -> None:
    rows = await rows_of_a_merchant(operator, receiver)
    attempts = (await operator.get(f"/v1/deliveries/{rows.ids['delivery_id']}?{rows.query}"))["attempts"]
    await browser.sign_in(rows.key)
    assert [await led_to(browser, rows.ids[name]) for name in FOUND] == [
        f"/esims/{rows.ids['esim_id']}",
        f"/events/{rows.ids['event_id']}",
        f"/deliveries/{rows.ids['delivery_id']}",
        f"/endpoints/{rows.ids['endpoint_id']}",
        f"/endpoints/{rows.ids['endpoint_id']}/recoveries/{rows.ids['recovery_id']}",
        f"/requeries/{rows.ids['requery_id']}",
    ]
    assert await led_to(browser, attempts[0]["id"]) == f"/deliveries/{rows.ids['delivery_id']}"
    assert {await led_to(browser, rows.ids[name]) for name in ("account_id", "key_id")} == {"/search"}

    await browser.sign_in((await a_merchant(operator)).key)
    assert {await led_to(browser, rows.ids[name]) for name in FOUND} == {"/search"}
    assert await led_to(browser, attempts[0]["id"]) == "/search"


async def test_an_operator_is_led_to_what_is_of_any_account(
    operator: Api, browser: Browser, receiver: Receiver
) -> None:
    rows = await rows_of_a_merchant(operator, receiver)
    [note, *_] = (await operator.get("/v1/notifications?limit=1"))["data"]
    await browser.sign_in(ADMIN_KEY)
    _, text = await browser.get(f"/search?q={rows.ids['delivery_id']}")
    assert "Acme Travel" in text
    assert rows.ids["delivery_id"] in text
    assert await led_to(browser, rows.ids["account_id"]) == f"/accounts/{rows.ids['account_id']}"
    assert await led_to(browser, rows.ids["key_id"]) == f"/accounts/{rows.ids['account_id']}"
    assert await led_to(browser, note["id"]) == f"/journal/{note['id']}"


async def test_an_operator_opens_an_address_that_a_merchant_has_sent(
    operator: Api, browser: Browser, receiver: Receiver
) -> None:
    rows = await rows_of_a_merchant(operator, receiver)
    await browser.sign_in(rows.key)
    sent = [f"/{kind}/{rows.ids[name]}" for kind, name in (("deliveries", "delivery_id"), ("endpoints", "endpoint_id"))]
    titles = [re.findall("<title>.*</title>", (await browser.get(path))[1]) for path in sent]
    await browser.sign_in(ADMIN_KEY)
    for path, title in zip(sent, titles, strict=True):
        status, text = await browser.get(path)
        assert (status, re.findall("<title>.*</title>", text)) == (200, title)
    assert (await browser.get(f"{sent[0][:-1]}7"))[0] == 200  # searched for, and not there


async def test_an_audit_id_leads_to_its_entry_in_the_log_of_who_may_see_it(operator: Api, browser: Browser) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        made = await caller.post("/v1/endpoints", {"url": "https://example.com/a"})
    query = f"account={merchant.account}&mode=test&subject={made['id']}"
    [entry] = (await operator.get(f"/v1/audit?{query}"))["data"]
    for key, seen in ((merchant.key, True), (ADMIN_KEY, True), (other.key, False)):
        await browser.sign_in(key)
        assert await led_to(browser, entry["id"]) == ("/audit" if seen else "/search")
        _, text = await browser.get(f"/search?q={entry['id']}")
        assert (made["id"] in text) is seen
        assert ("Nothing found with this" in text) is not seen


async def test_numbers_lead_to_their_esim_or_to_a_choice(operator: Api, browser: Browser) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    fields = {"orderNo": "B-77", "iccid": "8952000000000000777", "esimTranNo": "K-1"}
    one = await an_esim(operator, merchant.account, "test", transactionId="t-1", **fields)
    two = await an_esim(operator, merchant.account, "test", transactionId="t-2", orderNo="B-77")
    await an_esim(operator, other.account, "test", transactionId="t-1", orderNo="B-77")
    await browser.sign_in(merchant.key)
    for number in ("8952000000000000777", "t-1", "K-1"):
        assert await led_to(browser, number) == f"/esims/{one['esim']}"

    _, text = await browser.get("/search?q=B-77")
    assert set(re.findall(r"/esims/(esim_\w+)", text)) == {one["esim"], two["esim"]}
    _, text = await browser.get("/search?q=%3Cb%3Enothing")
    assert "<b>&lt;b&gt;nothing</b>" in text
    assert (await browser.get("/search"))[0] == 200


async def test_parts_of_numbers_and_names_find_what_has_them(operator: Api, browser: Browser) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    await operator.call("PATCH", f"/v1/accounts/{merchant.account}", {"name": "Globetrotter"})
    fields = {"iccid": "8952000000000004711", "imsi": "262011234567890", "packageName": "Italy 1 GB"}
    one = await an_esim(operator, merchant.account, "test", transactionId="t-fragment", **fields)
    endpoint = await operator.post(
        f"/v1/endpoints?account={merchant.account}&mode=test",
        {"url": "https://shop.example/hooks", "name": "Main shop"},
    )
    await browser.sign_in(merchant.key)
    for fragment in ("4711", "8952 0000 0000 0004 711", "1234567890", "ITALY", "T-FRAG", one["esim"].upper()):
        assert await led_to(browser, fragment) == f"/esims/{one['esim']}", fragment
    assert await led_to(browser, "main sh") == f"/endpoints/{endpoint['id']}"
    assert await led_to(browser, "71") == await led_to(browser, "globetrotter") == "/search"
    await browser.sign_in(other.key)
    assert await led_to(browser, "4711") == "/search"
    await browser.sign_in(ADMIN_KEY)
    assert await led_to(browser, "trotter") == f"/accounts/{merchant.account}"


async def test_lists_keep_to_the_time_that_is_chosen_and_keep_it_in_the_address(
    operator: Api, browser: Browser, receiver: Receiver
) -> None:
    rows = await rows_of_a_merchant(operator, receiver)
    await browser.sign_in(rows.key)
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    before, around = (f"{now - 2 * hour:%Y-%m-%dT%H:%M}", f"{now - hour:%Y-%m-%dT%H:%M}")
    for path, row in (("/events", "event_id"), ("/deliveries", "delivery_id")):
        _, text = await browser.get(f"{path}?from={around}&to=")
        assert f"{path}/{rows.ids[row]}" in text
        assert f'name="from" value="{around}"' in text
        _, text = await browser.get(f"{path}?from={before}&to={around}")
        assert f"{path}/{rows.ids[row]}" not in text
        status, text = await browser.get(f"{path}?from=yesterday")
        assert (status, "expected a time in UTC" in text) == (422, True)


async def test_deliveries_of_an_endpoint_are_chosen_by_its_name(
    operator: Api, browser: Browser, receiver: Receiver
) -> None:
    rows = await rows_of_a_merchant(operator, receiver)
    named = {"url": receiver.url("/b"), "name": "Second shop"}
    second = await operator.post(f"/v1/endpoints?{rows.query}", named)
    await browser.sign_in(rows.key)
    _, text = await browser.get(f"/deliveries?endpoint={second['id']}")
    assert f'<option value="{second["id"]}" selected>Second shop' in text
    assert "No matching deliveries" in text
    _, text = await browser.get(f"/deliveries?endpoint={rows.ids['endpoint_id']}")
    assert f"/deliveries/{rows.ids['delivery_id']}" in text


async def test_the_journal_is_searched_by_number_time_and_outcome(operator: Api, browser: Browser) -> None:
    merchant = await a_merchant(operator)
    await an_esim(operator, merchant.account, "test", transactionId="t-journal", iccid="8952000000000000778")
    [note] = (await operator.get("/v1/notifications?limit=10"))["data"]
    await browser.sign_in(ADMIN_KEY)
    soon = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M}"
    for query, listed in (
        ("iccid=8952000000000000778", True),
        ("transaction=t-journal&outcome=applied", True),
        (f"to={soon}", True),
        ("transaction=t-other", False),
        ("outcome=unmatched", False),
        (f"from={soon}", False),
    ):
        status, text = await browser.get(f"/journal?{query}")
        assert (status, f"/journal/{note['id']}" in text) == (200, listed), query


async def test_the_journal_counts_what_is_unmatched_and_what_could_not_be_read(operator: Api, browser: Browser) -> None:
    merchant = await a_merchant(operator)
    body = {"account": merchant.account, "mode": "test", "updates": [{"transactionId": "t-nobody", "dataUsage": 1}]}
    await operator.post("/v1/updates", body, status=200)
    await browser.sign_in(ADMIN_KEY)
    _, text = await browser.get("/journal")
    assert re.findall(r'outcome=(\w+)">[^<]+<b class="count">(\d+)</b>', text) == [("unmatched", "1"), ("invalid", "0")]

"""Strings that were made to break pages stay text: no dialog, no error, nothing that the policy for content refuses."""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from msgspec import Struct
from playwright.async_api import expect

from api import Api, Merchant, a_merchant
from browser.conftest import MODULES, Person
from browser.history import first_delivery, update
from receiver import Receiver

pytestmark = pytest.mark.slow(reason="a real browser shows hundreds of strings")
NAUGHTY: list[str] = json.loads(Path(MODULES / "blns" / "resources" / "blns.json").read_text())
SCRIPTS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'-alert(3)-'",
    "</pre></textarea><svg/onload=alert(4)>",
    "{{constructor.constructor('alert(5)')()}}",
    "javascript:alert(6)",
    '<div hx-get="/sign-out" hx-trigger="load">',
    "</script><script>alert(7)</script>",
)
FITTING = [one for one in NAUGHTY if one.strip() and one.isprintable() and len(one) <= 100]


class Spoiled(Struct, frozen=True):
    """A merchant whose names, eSIM and receiver's answers are hostile."""

    merchant: Merchant
    esim: str
    event: str
    delivery: str

    @property
    def query(self) -> str:
        return f"?account={self.merchant.account}&mode=test"


async def spoiled(operator: Api, receiver: Receiver) -> Spoiled:
    answer = "\n".join([*SCRIPTS, *NAUGHTY]).encode("utf-8", "replace")
    receiver.answer("/hook", status=410, body=answer, headers={"content-type": "text/html", "x-odd": SCRIPTS[1]})
    merchant = await a_merchant(operator)
    query = f"?account={merchant.account}&mode=test"
    await operator.call("PATCH", f"/v1/accounts/{merchant.account}", {"name": SCRIPTS[1]})
    await operator.post(f"/v1/endpoints{query}", {"url": receiver.url(), "name": SCRIPTS[0]})
    made = await update(
        operator,
        merchant.account,
        transactionId=SCRIPTS[1],
        orderNo=SCRIPTS[3],
        esimStatus="IN_USE",
        packageName=SCRIPTS[4],
        apn=SCRIPTS[6],
        ac=SCRIPTS[7],
    )
    return Spoiled(merchant, made["esim"], made["events"][0], await first_delivery(operator, query, "stopped"))


async def test_hostile_names_and_answers_leave_every_page_in_shape(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    known = await spoiled(operator, receiver)
    await person.sign_in()
    endpoint = (await operator.get(f"/v1/endpoints{known.query}"))["data"][0]["id"]
    pages = ["/", "/esims", "/events", "/deliveries", "/endpoints", "/requeries", "/audit", f"/events/{known.event}"]
    pages += [f"/deliveries/{known.delivery}", f"/esims/{known.esim}"]
    pages += [f"/endpoints/{endpoint}{part}" for part in ("", "/edit", "/secrets", "/recover")]
    paths = [path + known.query for path in pages]
    paths += ["/", "/accounts", f"/accounts/{known.merchant.account}", "/journal", "/audit"]
    assert [await person.out_of_shape(path) for path in paths] == [[]] * len(paths)


async def test_what_is_searched_for_is_shown_as_text(person: Person) -> None:
    await person.sign_in()
    for one in SCRIPTS:
        assert await person.out_of_shape(f"/search?{urlencode({'q': one})}") == []
        assert one in await person.text()


async def test_hostile_names_and_answers_are_shown_as_text(person: Person, operator: Api, receiver: Receiver) -> None:
    known = await spoiled(operator, receiver)
    await person.sign_in(known.merchant.key)
    await person.open(f"/esims/{known.esim}")
    assert SCRIPTS[4] in await person.text()
    await person.press("Show the QR code")
    await expect(person.page.locator(".qr p")).to_have_text(SCRIPTS[7])
    await person.open(f"/deliveries/{known.delivery}")
    shown = await person.text()
    assert [one for one in SCRIPTS if one not in shown] == []
    await person.picture("hostile-delivery")


async def test_hundreds_of_naughty_names_are_shown_as_text(person: Person, operator: Api) -> None:
    merchant = await a_merchant(operator)
    for at in range(0, len(FITTING), 100):
        updates = [
            {"transactionId": f"t-{at + index}", "packageName": name, "esimStatus": "CREATED"}
            for index, name in enumerate(FITTING[at : at + 100])
        ]
        body = {"account": merchant.account, "mode": "test", "updates": updates}
        await operator.post("/v1/updates", body, status=200)
    await person.sign_in(merchant.key)
    await person.open("/esims")
    assert await person.out_of_shape("/esims") == []
    pages = 1
    while await (older := person.page.get_by_role("link", name="Older")).count():
        await older.click()
        pages += 1
    assert pages == -(-len(FITTING) // 25)

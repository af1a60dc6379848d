"""An outage is on the first page: what, of whom, since when, why, what waits, and what to do, read out of the page."""

import asyncio

import pytest
from playwright.async_api import expect

from api import Api, Json, Merchant, a_merchant, eventually
from browser.conftest import Person
from browser.history import update
from conftest import ADMIN_KEY
from receiver import Receiver, close_unanswered, status

pytestmark = pytest.mark.slow(reason="a real browser looks at an outage of eleven endpoints among 110 accounts")
ACCOUNTS = 110
REFUSALS = {
    "server error": 500,
    "bad gateway": 502,
    "not found": 404,
    "unauthorized": 401,
    "redirect": 301,
    "busy": 429,
}
WORKING = 4
SLOW = [0, 600]
"""One attempt at once, the next long after the test."""


async def eleven_endpoints(operator: Api, receiver: Receiver) -> tuple[Merchant, dict[str, str]]:
    """Make a merchant with eleven endpoints of which seven fail, each in its way; return their ids by name."""
    merchant = await a_merchant(operator)
    await operator.call("PATCH", f"/v1/accounts/{merchant.account}", {"name": "Globetrotter"})
    for name, code in REFUSALS.items():
        receiver.answer(f"/{name.replace(' ', '-')}", status=code)
    receiver.answer("/closes", script=[close_unanswered()])
    names = [*REFUSALS, "closes", *(f"works {number}" for number in range(WORKING))]
    query = f"?account={merchant.account}&mode=test"
    made = {}
    for name in names:
        body = {"url": receiver.url(f"/{name.replace(' ', '-')}"), "name": name, "retrySchedule": SLOW}
        made[name] = (await operator.post(f"/v1/endpoints{query}", body))["id"]
    return merchant, made


async def an_outage(operator: Api, receiver: Receiver) -> tuple[Merchant, dict[str, str]]:
    await asyncio.gather(*(operator.post("/v1/accounts", {"name": f"Shop {number}"}) for number in range(ACCOUNTS)))
    merchant, made = await eleven_endpoints(operator, receiver)
    for number in range(3):
        await update(
            operator, merchant.account, transactionId=f"t-{number}", esimStatus="IN_USE", iccid=f"8944{number:015}"
        )
    query = f"?account={merchant.account}&mode=test"

    async def all_have_failed() -> Json:
        rows = (await operator.get(f"/v1/endpoints{query}&limit=50"))["data"]
        return all(one["health"]["state"] == "failing" for one in rows if not one["name"].startswith("works"))

    await eventually(all_have_failed)
    return merchant, made


async def test_the_operators_first_page_shows_what_failed_since_when_why_for_whom_and_what_to_do(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    _, made = await an_outage(operator, receiver)
    await person.count_clicks()
    await person.sign_in(ADMIN_KEY)
    signed_in = person.clicks

    wrong = person.page.get_by_role("region", name="What is wrong")
    await expect(wrong).to_contain_text("7 endpoints are not healthy, of 1 account")
    assert await wrong.locator("li.trouble").count() == len(REFUSALS) + 1
    line = wrong.locator("li.trouble", has_text="server error")
    for answer in (
        "failing",
        "Globetrotter",
        "test",
        "For ",
        "The receiver failed (500).",
        "Look at its log",
        "deliveries wait, the oldest for",
        "next attempt in",
    ):
        await expect(line).to_contain_text(answer)
    await expect(line.get_by_role("button", name="Send now")).to_be_visible()
    await expect(line.get_by_role("button", name="Pause")).to_be_visible()
    assert await line.evaluate("node => node.getBoundingClientRect().top < innerHeight * 2")
    assert await wrong.evaluate("node => node.getBoundingClientRect().top < innerHeight / 2")
    await person.picture("outage-operator")
    assert person.clicks == signed_in

    await line.get_by_role("link", name="server error").click()
    await expect(person.page.get_by_role("region", name="What is wrong")).to_contain_text("The receiver failed (500).")
    await expect(person.page.locator("h1")).to_contain_text("failing")
    await expect(person.page.locator("td .code").first).to_have_text("500")
    await person.picture("outage-endpoint")
    assert person.clicks == signed_in + 1
    assert made["server error"] in person.page.url


async def test_the_merchants_first_page_says_the_same_and_counts_what_is_retried_as_failing(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant, _ = await an_outage(operator, receiver)
    await person.sign_in(merchant.key)
    await expect(person.page.get_by_role("region", name="What is wrong")).to_contain_text("7 endpoints are not healthy")
    figures = await person.page.locator("dl.figures").inner_text()
    assert "Success\n36.36%" in figures  # 4 of 11 endpoints take what they get
    await person.picture("outage-merchant")


async def test_a_repaired_receiver_gets_what_waits_with_one_click_and_the_page_turns_calm(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant, _ = await an_outage(operator, receiver)
    for name in (*REFUSALS, "closes"):
        receiver.answer(f"/{name.replace(' ', '-')}", script=[status(200)])
    await person.sign_in(merchant.key)
    wrong = person.page.get_by_role("region", name="What is wrong")
    await wrong.locator("li.trouble", has_text="server error").get_by_role("button", name="Send now").click()
    await expect(wrong.locator("li.trouble", has_text="server error")).to_have_count(0)

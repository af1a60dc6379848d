"""Refreshes leave alone what a person does; forms ask before something is lost, keep what was typed, and survive a reload."""

import pytest
from playwright.async_api import Browser, expect

from api import Api, Json, a_merchant, eventually
from browser.conftest import Person, at_a_browser
from browser.history import a_history, first_delivery
from conftest import ADMIN_KEY
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from receiver import Receiver

pytestmark = pytest.mark.slow(reason="a real browser waits for refreshes")
REFRESHES = 10
REFRESH = """async () => {
    const part = document.querySelector('[hx-trigger^="every"]');
    await htmx.ajax('GET', part.getAttribute('hx-get'),
        {source: part, target: part, swap: 'morph:innerHTML', headers: {'X-Live': '1'}});
}"""


async def test_focus_selection_and_what_is_open_stay_over_ten_refreshes(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    await person.sign_in(history.key)
    await person.open(f"/deliveries/{history.delivered}")
    headers = person.page.locator("summary", has_text="Request headers").first
    await headers.focus()
    await person.page.keyboard.press("Enter")
    await person.page.evaluate("getSelection().selectAllChildren(document.querySelector('.attempt pre'))")
    selected = await person.page.evaluate("getSelection().toString()")
    for _ in range(REFRESHES):
        await person.page.evaluate(REFRESH)
        await expect(headers).to_be_focused()
        assert await person.page.evaluate("getSelection().toString()") == selected
    assert await headers.evaluate("node => node.parentElement.open")


FOCUS_LAST = """() => {
    const part = document.querySelector('[hx-trigger^="every"]');
    const all = [...part.querySelectorAll('a[href], button, select, summary, [tabindex="0"]')];
    window.focusedBefore = all.filter((one) => one.offsetParent).at(-1);
    window.focusedBefore.focus();
}"""
STILL_FOCUSED = "() => document.activeElement === window.focusedBefore && window.focusedBefore.isConnected"


async def test_the_focus_stays_over_ten_refreshes_of_every_live_page(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    await person.sign_in()
    paths = [
        f"/{history.query}",
        f"/endpoints/{history.shop}{history.query}",
        f"/events/{history.event}{history.query}",
    ]
    for path in ["/", *paths, "/providers/upstream/health", "/system"]:
        await person.open(path)
        await person.page.evaluate(FOCUS_LAST)
        for _ in range(REFRESHES):
            await person.page.evaluate(REFRESH)
            assert await person.page.evaluate(STILL_FOCUSED), path


async def test_lines_that_were_switched_off_stay_off_and_values_are_read_with_the_keyboard(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    await person.sign_in(history.key)
    line = person.page.locator(".u-legend [role=button]", has_text="Events")
    await line.focus()
    await person.page.keyboard.press("Enter")
    await expect(line).to_have_attribute("aria-pressed", "false")
    for _ in range(3):
        await person.page.evaluate(REFRESH)
        await expect(line).to_be_focused()
        await expect(line).to_have_attribute("aria-pressed", "false")
    await person.page.locator("[data-chart]").focus()
    await person.page.keyboard.press("ArrowLeft")
    await expect(person.page.locator(".u-legend .u-series").first.locator("td").last).to_contain_text(":")
    await person.page.get_by_role("button", name="Local time").click()
    await expect(person.page.locator("time small").first).to_contain_text("UTC")


async def test_what_is_lost_is_announced_before_and_a_reload_makes_no_second_endpoint(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator)
    await person.sign_in(merchant.key)
    await person.open("/endpoints/new")
    await person.page.get_by_label("Address", exact=True).fill("ftp://shop.example")
    await person.page.get_by_label("Name", exact=True).fill("Main shop")
    await person.page.get_by_label("esim.activated").check()
    await person.press("Create the endpoint")
    await expect(person.page.locator("#wrong-url")).to_contain_text("must start with https://")
    await expect(person.page.get_by_label("Name", exact=True)).to_have_value("Main shop")
    await expect(person.page.get_by_label("esim.activated")).to_be_checked()
    person.troubles.clear()  # the browser's console tells of every answer that is an error
    await person.page.get_by_label("Address", exact=True).fill(receiver.url())
    await person.press("Create the endpoint")
    await expect(person.page.locator("#secret")).to_contain_text("whsec_")
    await person.page.reload()
    query = f"?account={merchant.account}&mode=test"
    [endpoint] = (await operator.get(f"/v1/endpoints{query}"))["data"]

    await person.open(f"/endpoints/{endpoint['id']}")
    disable = person.page.locator("summary", has_text="Disable")
    await disable.focus()
    await person.page.keyboard.press("Enter")
    await expect(person.page.get_by_text("this endpoint misses new events")).to_be_visible()
    await person.page.keyboard.press("Escape")
    await expect(disable).to_be_focused()
    assert (await operator.get(f"/v1/endpoints/{endpoint['id']}{query}"))["enabled"]
    await person.press("Pause")
    await expect(person.page.locator("h1")).to_contain_text("paused")
    await person.press("Resume")
    await expect(person.page.locator("h1")).to_contain_text("healthy")


async def test_a_new_key_is_shown_once_and_a_reload_makes_no_second_one(person: Person, operator: Api) -> None:
    merchant = await a_merchant(operator)
    await person.sign_in(ADMIN_KEY)
    await person.open(f"/accounts/{merchant.account}")
    await person.page.get_by_label("Name", exact=True).fill("second")
    await person.press("Create a key")
    await expect(person.page.locator("#key")).to_contain_text("esim_test_")
    await person.page.reload()
    await expect(person.page.locator("#key")).to_have_count(0)
    assert len((await operator.get(f"/v1/accounts/{merchant.account}/keys"))["data"]) == 2


async def test_many_deliveries_are_chosen_and_sent_again(person: Person, operator: Api, receiver: Receiver) -> None:
    receiver.answer(status=410)
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    query = f"?account={merchant.account}&mode=test"
    async with operator.as_key(merchant.key) as caller:
        await caller.post("/v1/test-events", {"event": "esim.activated"})
        await first_delivery(operator, query, "stopped")
        receiver.answer(status=200)
        await caller.post(f"/v1/endpoints/{merchant.endpoint}/enable", status=200)
    await person.sign_in(merchant.key)
    await person.open("/deliveries?status=stopped")
    await person.press("Select all")
    await person.press("Resend selected")
    await expect(person.page.get_by_role("status")).to_have_text("1 delivery is sent again.")

    async def arrived() -> Json:
        return (await operator.get(f"/v1/deliveries{query}&status=delivered"))["data"]

    await eventually(arrived)


async def test_components_are_shown_to_developers_only_and_have_no_barriers(
    person: Person, settings: Settings, chromium: Browser
) -> None:
    await person.sign_in(ADMIN_KEY)
    await person.open("/dev/components")
    await expect(person.page.locator("main")).to_contain_text("There is nothing at this address")
    person.troubles.clear()
    async with (
        running(settings.model_copy(update={"show_components": True})) as node,
        at_a_browser(chromium, node.url) as developer,
    ):
        await developer.sign_in(ADMIN_KEY)
        for scheme in ("light", "dark"):
            await developer.open("/dev/components")
            await developer.looks(width=1440, scheme=scheme)
            await developer.picture(f"components-{scheme}")
            assert await developer.barriers() == []


async def test_what_was_typed_is_there_again_after_a_session_that_ended_meanwhile(
    person: Person, operator: Api, database: Database, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator)
    await person.sign_in(merchant.key)
    await person.open("/endpoints/new")
    await person.page.get_by_label("Address", exact=True).fill(receiver.url())
    await person.page.get_by_label("Name", exact=True).fill("Main shop")
    await person.page.get_by_label("esim.expired").check()
    async with database.session() as db:
        await db.conn.execute("DELETE FROM sessions")
    await person.press("Create the endpoint")
    await expect(person.page.get_by_text("Your session has ended")).to_be_visible()
    await person.page.get_by_label("API key").fill(merchant.key)
    await person.press("Sign in")
    await expect(person.page.get_by_label("Name", exact=True)).to_have_value("Main shop")
    await expect(person.page.get_by_label("esim.expired")).to_be_checked()
    await person.press("Create the endpoint")
    await expect(person.page.locator("#secret")).to_contain_text("whsec_")
    await person.open("/endpoints/new")
    await expect(person.page.get_by_label("Name", exact=True)).to_have_value("")


async def test_a_page_says_when_the_server_no_longer_answers_and_when_it_does_again(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    await a_merchant(operator, webhook_url=receiver.url())
    await person.sign_in(ADMIN_KEY)
    stale = person.page.get_by_text("This page is out of date")
    await expect(stale).to_be_hidden()
    await person.page.route("**/overview/figures*", lambda route: route.abort())
    await expect(stale).to_be_visible()
    await person.page.unroute_all()
    await expect(stale).to_be_hidden()
    person.troubles.clear()  # the console reports requests that failed

"""Support and operators find what they look for: accounts by the hundred, eSIMs by any fragment, who changed what, and when."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from api import Api, a_merchant
from browser.conftest import Person
from browser.history import a_history
from receiver import Receiver

pytestmark = pytest.mark.slow(reason="a real browser searches")
ACCOUNTS = 110


async def test_the_oldest_of_more_than_a_hundred_accounts_is_found_by_a_part_of_its_name(
    person: Person, operator: Api
) -> None:
    await operator.post("/v1/accounts", {"name": "Globetrotter Travel"})
    await asyncio.gather(*(operator.post("/v1/accounts", {"name": f"Shop {number}"}) for number in range(ACCOUNTS)))
    await person.sign_in()
    for path in ("/accounts", "/deliveries"):
        await person.open(path)
        await expect(person.page.get_by_text("Globetrotter Travel")).to_have_count(0)
        await person.page.get_by_label("Name contains").fill("trotter")
        await person.press("Search")
        await expect(person.page.get_by_text("Globetrotter Travel")).to_be_visible()
    await person.page.get_by_role("link", name="test").click()
    await expect(person.page.locator("h1")).to_have_text("Deliveries")


async def test_an_esim_is_found_by_its_last_digits_and_its_story_names_endpoints_and_notifications(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    iccid = (await operator.get(f"/v1/esims/{history.esim}{history.query}"))["iccid"]
    await person.sign_in()
    await person.page.keyboard.press("/")
    await person.page.keyboard.type(f"{iccid[-8:-4]} {iccid[-4:]}")
    await person.page.keyboard.press("Enter")
    await person.page.wait_for_url(f"**/esims/{history.esim}*")
    story = person.page.locator(".story")
    await expect(story.get_by_role("link", name="Old shop")).to_be_visible()
    await story.get_by_role("link", name="Notification").first.click()
    await expect(person.page.locator("main")).to_contain_text(iccid)


async def test_a_filter_that_is_not_known_is_refused_with_a_way_back(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await person.sign_in(merchant.key)
    await person.open("/deliveries?status=lost&code=5")
    await expect(person.page.locator("main")).to_contain_text("Status: expected one of pending, retrying")
    await person.page.get_by_role("link", name="Clear filters").click()
    await expect(person.page.locator("h1")).to_have_text("Deliveries")
    person.troubles.clear()  # the console reports the answer that refuses


async def test_the_audit_log_shows_time_and_account_without_scrolling(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    await a_history(operator, receiver)
    await person.sign_in()
    await person.open("/audit")
    for column in ("When", "Account", "What changed"):
        await expect(person.page.get_by_role("columnheader", name=column, exact=True)).to_be_in_viewport(ratio=1)
    await expect(person.page.locator("tbody")).to_contain_text("Acme")


async def test_times_are_those_of_the_viewer_or_utc_in_lists_and_charts(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    session = await person.page.context.new_cdp_session(person.page)
    await session.send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    await person.sign_in(history.key)
    time = person.page.locator("main time").first
    await expect(time).to_have_attribute("title", re.compile("Asia/Tokyo$"))
    local = await time.get_attribute("title")
    axis = "[...charts.values()][0].axes[0].label"
    assert await person.page.evaluate(axis) == "Asia/Tokyo · 30 min"
    await person.press("Local time")
    await expect(time).to_have_attribute("title", re.compile("UTC$"))
    assert (await time.get_attribute("title") or "")[:16] != (local or "")[:16]
    assert await person.page.evaluate(axis) == "UTC · 30 min"
    await person.open("/deliveries")
    await expect(person.page.locator("main time[title]").first).to_have_attribute("title", re.compile("UTC$"))


async def test_titles_distinguish_tabs_and_a_copy_that_is_not_allowed_selects_the_text(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    await person.sign_in(history.key)
    titles = set()
    for path in ("/", "/esims", "/deliveries", f"/deliveries/{history.failed}", f"/endpoints/{history.shop}", "/audit"):
        await person.open(path)
        titles.add(await person.page.title())
    assert len(titles) == 6
    assert await person.page.locator('link[rel="icon"]').get_attribute("href")
    await person.open(f"/endpoints/{history.shop}/secrets")
    await person.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    await person.press("Copy")
    await expect(person.page.get_by_role("button", name="Selected: copy it")).to_be_visible()
    assert (await person.page.evaluate("String(getSelection())")).startswith("whsec_")


async def test_a_provider_that_sends_what_cannot_be_read_is_named_and_its_page_shows_what_came(
    person: Person, operator: Api
) -> None:
    made = await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    path = made["inboundUrl"].removeprefix(operator.url)
    await person.sign_in()
    await operator.post("/v1/accounts", {"name": "Acme"})
    await person.open("/providers/upstream/health")
    await expect(person.page.locator("main")).to_contain_text("Give the provider its inbound URL")
    await operator.raw("POST", path, b"no JSON", content_type="application/json")
    await person.open("/")
    await person.page.get_by_role("region", name="Providers").get_by_role("link", name="upstream").click()
    await expect(person.page.locator("main")).to_contain_text("Its latest notification could not be read")
    await expect(person.page.locator("[data-chart=provider] .u-legend")).to_contain_text("Invalid")
    await person.page.get_by_role("link", name="Invalid").click()
    await expect(person.page.locator("tbody .pill").first).to_have_text("invalid")

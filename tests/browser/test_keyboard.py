"""Every flow with the keyboard alone: what is to be pressed is reached with Tab, and one always sees where one is."""

import pytest
from playwright.async_api import expect

from api import Api, a_merchant
from browser.conftest import Person
from receiver import Receiver

pytestmark = pytest.mark.slow(reason="a real browser is steered key by key")
FARTHEST = 150
"""So many presses of Tab at most lead to anything on a page."""
FOCUSED = """() => {
    const one = document.activeElement;
    const ofLabel = [...(one.labels?.[0]?.childNodes ?? [])].filter((part) => part.nodeType === 3 || part.tagName === 'B');
    const label = ofLabel.map((part) => part.textContent).join('') || one.getAttribute('aria-label') || one.innerText || '';
    return {label: label.trim(), outline: getComputedStyle(one).outlineStyle};
}"""


async def reach(person: Person, label: str) -> None:
    """Press Tab until what has that label is focused. Raises `AssertionError` where one cannot get there."""
    for _ in range(FARTHEST):
        await person.page.keyboard.press("Tab")
        focused = await person.page.evaluate(FOCUSED)
        if focused["label"] == label:
            assert focused["outline"] != "none"
            return
    raise AssertionError(f"no press of Tab leads to {label!r} on {person.page.url}")


async def go(person: Person, label: str) -> None:
    """Reach it and press Enter."""
    await reach(person, label)
    await person.page.keyboard.press("Enter")


async def write(person: Person, label: str, text: str) -> None:
    """Reach a field and write into it."""
    await reach(person, label)
    await person.page.keyboard.type(text)


async def test_a_merchant_sets_up_an_endpoint_and_follows_an_event_without_a_mouse(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator)
    await person.open("/sign-in")
    await person.page.keyboard.type(merchant.key)  # the only field is focused
    await person.page.keyboard.press("Enter")
    await expect(person.page.get_by_role("button", name="Sign out")).to_be_visible()
    await go(person, "Enter the URL of your receiver")
    await person.page.wait_for_url("**/endpoints/new*")
    await write(person, "Address", receiver.url())
    await go(person, "Create the endpoint")
    await expect(person.page.locator("#secret")).to_contain_text("whsec_")
    await go(person, "Catalogue")
    await person.page.wait_for_url("**/event-types*")
    await go(person, "Send a test event")
    await person.page.wait_for_url("**/events/evt_*")
    await expect(person.page.locator("td .pill")).to_have_text("delivered")
    await go(person, "esim.created")
    await person.page.wait_for_url("**/deliveries/dlv_*")
    await go(person, "Send again")
    await receiver.wait_for(2)


async def test_an_endpoint_is_paused_resumed_rotated_recovered_and_deleted_without_a_mouse(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await person.sign_in(merchant.key)
    await person.open(f"/endpoints/{merchant.endpoint}")
    heading = person.page.locator("h1")
    await go(person, "Pause")
    await expect(heading).to_contain_text("paused")
    await go(person, "Resume")
    await expect(heading).to_contain_text("healthy")
    await go(person, "Secrets")
    await person.page.wait_for_url("**/secrets*")
    before = await person.page.locator("#secret").inner_text()
    await go(person, "Rotate the secret")
    await go(person, "Yes, go on")
    await expect(person.page.locator("#secret")).not_to_have_text(before)
    await person.open(f"/endpoints/{merchant.endpoint}/recover")
    await reach(person, "failed every attempt of the schedule failed")
    await person.page.keyboard.press("Space")
    await expect(person.page.locator("#count")).to_contain_text("There is nothing of this kind")
    await person.open(f"/endpoints/{merchant.endpoint}")
    await go(person, "Delete")
    await go(person, "Yes, go on")
    await expect(person.page.get_by_text("No endpoint yet")).to_be_visible()


async def test_deliveries_are_filtered_chosen_and_sent_again_without_a_mouse(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    async with operator.as_key(merchant.key) as caller:
        await caller.post("/v1/test-events", {"event": "esim.activated"})
    await receiver.wait_for(1)
    await person.sign_in(merchant.key)
    await person.open("/deliveries")
    await reach(person, "Time")
    await person.page.keyboard.type("last hour")
    await go(person, "Search")
    await person.page.wait_for_url("**last=1h**")
    await go(person, "Select all")
    await go(person, "Resend selected")
    await expect(person.page.get_by_role("status")).to_have_text("1 delivery is sent again.")

"""The ways that people go through the dashboard, each in a real browser from the first click to the last."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from api import Api, a_merchant, eventually
from browser.conftest import Person
from browser.history import a_history, first_delivery
from conftest import ADMIN_KEY
from receiver import Receiver, status

pytestmark = pytest.mark.slow(reason="a real browser waits for pages")


async def test_signing_in_and_out(person: Person) -> None:
    await person.sign_in(ADMIN_KEY)
    await person.press("Sign out")
    await expect(person.page.get_by_label("API key")).to_be_visible()
    await person.open("/deliveries")
    await expect(person.page.get_by_label("API key")).to_be_visible()


async def test_the_first_run_leads_to_a_delivered_webhook_in_six_clicks(person: Person, receiver: Receiver) -> None:
    await person.sign_in()
    await expect(person.page.get_by_text("Four steps to the first webhook")).to_be_visible()
    await person.picture("way-first-run")
    await person.count_clicks()
    await person.page.get_by_role("link", name="Create an account").click()
    await person.page.get_by_label("Name", exact=True).fill("Acme")
    await person.press("Create an account")
    await person.page.get_by_label("Name", exact=True).fill("ci")
    await person.page.get_by_label("Webhook URL").fill(receiver.url())
    await person.press("Create a key")
    await expect(person.page.locator("#secret")).to_contain_text("whsec_")
    await person.picture("way-first-key")
    await person.page.get_by_role("link", name="the event catalogue").click()
    await person.page.get_by_role("button", name="Send a test event").first.click()
    await receiver.wait_for(1)
    await expect(person.page.locator("td .pill")).to_have_text("delivered")
    await person.page.locator("td a").first.click()
    await expect(person.page.locator(".advice")).to_contain_text("The receiver accepted the event (200)")
    assert person.clicks == 6


async def test_a_failed_delivery_is_found_understood_and_sent_again(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    await person.sign_in(history.key)
    await person.page.get_by_role("region").or_(person.page.locator("section")).first.wait_for()
    await person.page.locator("section", has_text="Latest given up").get_by_role("link").first.click()
    await expect(person.page.locator(".advice")).to_contain_text("410 (gone)")
    await expect(person.page.locator("pre").nth(1)).to_contain_text("this shop has closed")
    await person.page.get_by_text("As curl, without a signature").click()
    await expect(person.page.locator("#curl")).to_contain_text(f"webhook-id: {history.event[:4]}")

    receiver.answer("/gone", status=200)
    await person.press("Send again")
    await expect(person.page.locator("h1")).to_contain_text(re.compile("pending|delivered"))
    await person.picture("way-sent-again")


async def test_a_delivery_is_followed_from_failure_to_retry_to_arrival(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    receiver.answer(status=503, body=b'{"error": "restarting"}')
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    retry_soon = {"retrySchedule": [0, *[3] * 10]}
    query = f"?account={merchant.account}&mode=test"
    await operator.call("PATCH", f"/v1/endpoints/{merchant.endpoint}{query}", retry_soon)
    await person.sign_in(merchant.key)
    await person.page.get_by_role("link", name="Catalogue").click()
    await person.page.get_by_role("button", name="Send a test event").first.click()
    await person.page.locator("td a").first.click()
    await second_attempt(operator, query)
    await person.page.reload()
    await expect(person.page.locator("h1")).to_contain_text("retrying")
    await expect(person.page.locator(".advice")).to_contain_text("The receiver failed (503). Look at its log")
    await expect(person.page.get_by_text("Attempt 2")).to_be_visible()
    await expect(person.page.locator(".facts", has_text="Next attempt")).to_contain_text(re.compile("in |now|ago"))
    await person.picture("way-pending")

    receiver.answer(status=200)
    await first_delivery(operator, query, "delivered")
    await person.page.reload()
    await expect(person.page.locator("h1")).to_contain_text("delivered")
    await expect(person.page.locator(".advice")).to_contain_text("The receiver accepted the event (200)")
    assert await person.page.locator(".attempt").count() >= 3
    await person.picture("way-arrived")


async def test_an_event_shows_by_itself_that_it_has_arrived(person: Person, operator: Api, receiver: Receiver) -> None:
    may_answer = asyncio.Event()

    async def wait_and_take(writer: asyncio.StreamWriter) -> bool:
        await may_answer.wait()
        return await status()(writer)

    receiver.answer(script=[wait_and_take])
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await person.sign_in(merchant.key)
    await person.page.get_by_role("link", name="Catalogue").click()
    await person.page.get_by_role("button", name="Send a test event").first.click()
    await expect(person.page.locator("td .pill")).to_have_text("pending")
    may_answer.set()
    await expect(person.page.locator("td .pill")).to_have_text("delivered")


async def second_attempt(operator: Api, query: str) -> None:
    """Wait until the outcome of a second attempt is written; the receiver knows of it before."""

    async def written() -> bool:
        return any(row["attemptCount"] > 1 for row in (await operator.get(f"/v1/deliveries{query}"))["data"])

    await eventually(written)


async def test_what_was_missed_is_counted_as_one_chooses_and_then_sent_again(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    await person.sign_in(history.key)
    await person.open(f"/endpoints/{history.endpoint}")
    receiver.answer("/gone", status=200)
    await person.press("Enable")
    await person.page.get_by_role("link", name="Recover").click()
    await expect(
        person.page.get_by_text("3 deliveries would be sent again, among them 2 that were never")
    ).to_be_visible()
    await person.page.get_by_label("never").uncheck()
    await person.press("Send 1 delivery")
    await expect(person.page.get_by_text("1 of 1 sent again")).to_be_visible()
    await expect(person.page.locator(".pill", has_text="done")).to_be_visible()
    await person.picture("way-recovered")


async def test_a_secret_is_rotated_while_the_old_one_counts_down(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await person.sign_in(merchant.key)
    await person.open(f"/endpoints/{merchant.endpoint}")
    await person.page.get_by_role("link", name="Secrets").click()
    await expect(person.page.locator("#secret")).to_have_text(str(merchant.secret))

    await person.confirm("Rotate the secret")
    await expect(person.page.locator("#secret")).not_to_have_text(str(merchant.secret))
    await expect(person.page.locator(".clock")).to_have_text(re.compile(r"^2[34]:\d\d:\d\d$"))
    await expect(person.page.locator("pre").nth(1)).to_have_text(str(merchant.secret))
    await person.picture("way-rotated")


async def test_an_endpoint_is_made_and_deleted(person: Person, operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator)
    await person.sign_in(merchant.key)
    await person.page.get_by_role("link", name="Endpoints").first.click()
    await person.page.get_by_role("link", name="New endpoint").click()
    await person.page.get_by_label("Address", exact=True).fill(receiver.url())
    await person.page.get_by_label("esim.activated").check()
    await person.press("Create the endpoint")
    await expect(person.page.locator("#secret")).to_contain_text("whsec_")
    await person.picture("way-endpoint-made")
    await person.page.reload()
    await person.page.get_by_role("link", name="To the endpoint").click()
    await person.confirm("Delete")
    await expect(person.page.get_by_text("No endpoint yet")).to_be_visible()


async def test_an_endpoint_that_is_gone_is_enabled_edited_tried_and_disabled(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    await person.sign_in(history.key)
    await person.open(f"/endpoints/{history.endpoint}")
    await expect(person.page.locator(".trouble")).to_contain_text("answered 410")
    await person.press("Enable")
    await expect(person.page.locator("h1")).to_contain_text("healthy")

    await person.page.get_by_role("link", name="Edit").click()
    await person.page.get_by_label("Address", exact=True).fill(receiver.url("/new"))
    await person.page.get_by_label("Schedule").fill("0, 5")
    await person.page.get_by_label("esim.expired").check()
    await person.picture("way-edit")
    await person.press("Save")
    await expect(person.page.get_by_text("esim.activated, esim.expired")).to_be_visible()

    before = len(receiver.received)
    await person.press("Send an example")
    await person.page.wait_for_url("**/deliveries/dlv_*")
    assert (await receiver.wait_for(before + 1))[-1].path == "/new"
    await person.open(f"/endpoints/{history.endpoint}")
    await person.picture("way-endpoint")
    await person.confirm("Disable")
    await expect(person.page.locator(".trouble")).to_contain_text("was disabled manually")


async def test_a_form_that_cannot_be_right_says_what_was_expected(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await person.sign_in(merchant.key)
    await person.open(f"/endpoints/{merchant.endpoint}/edit")
    await person.page.get_by_label("Timeout in seconds").fill("99")
    await person.press("Save")
    await expect(person.page.locator("#wrong-timeout")).to_contain_text("expected a number")
    await expect(person.page.get_by_label("Timeout in seconds")).to_have_value("99")
    person.troubles.clear()  # the browser's console tells of every answer that is an error

"""Recovery on the dashboard: counted before it is sent, then watched until it is done."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from api import Api, Merchant, eventually
from receiver import Receiver
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture
from web.test_deliveries import a_caller
from web.test_recoveries import missed

pytestmark = pytest.mark.slow(reason="deliveries fail first")


async def a_merchant_who_missed_some(operator: Api, browser: Browser, receiver: Receiver) -> Merchant:
    """One event each that arrived, failed, was cancelled and was never attempted; the endpoint is on again."""
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        await missed(caller, merchant, receiver)
        await caller.post(f"/v1/endpoints/{merchant.endpoint}/enable", status=200)
    await browser.sign_in(merchant.key)
    return merchant


async def test_a_recovery_is_counted_before_the_click_and_watched_after_it(
    operator: Api, browser: Browser, receiver: Receiver
) -> None:
    merchant = await a_merchant_who_missed_some(operator, browser, receiver)
    path = f"/endpoints/{merchant.endpoint}/recover"
    before = len(receiver.received)

    _, text = await browser.get(path)
    assert "2 deliveries would be sent again, among them 1 that was never attempted" in text
    assert "Send 2 deliveries" in text
    _, text = await browser.get(f"{path}?status=failed&chosen=yes")
    assert "1 delivery would be sent again." in text
    assert len(receiver.received) == before

    start = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    status, text = await browser.post(path, **{"from": start, "to": "", "status": "failed", "chosen": "yes"})
    assert (status, "Recovery" in text) == (200, True)

    async def done() -> bool:
        _, page = await browser.get(path)
        found = re.search(rf'href="({path[:-8]}/recoveries/rec_\w+)"', page)
        assert found
        return "1 of 1 sent again" in (await browser.get(found[1]))[1]

    await eventually(done)
    await receiver.wait_for(before + 1)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2999-01-01T00:00", "expected a time before"),
        ("from=2026-01-02&to=2026-01-01", "expected a time before"),
        ("to=1970-01-01", "expected a time before"),
        ("from=soon", "expected a time in UTC"),
        ("from=0001-01-01T00:00%2B14:00", "expected a time in UTC"),
        ("status=lost", "expected some of delivered"),
    ],
)
async def test_a_recovery_that_cannot_be_meant_says_what_was_expected(
    operator: Api, browser: Browser, receiver: Receiver, query: str, message: str
) -> None:
    merchant = await a_caller(operator, receiver)
    await browser.sign_in(merchant.key)
    status, text = await browser.get(f"/endpoints/{merchant.endpoint}/recover?{query}")
    assert (status, message in text) == (422, True)


async def test_nothing_chosen_and_a_disabled_endpoint_offer_nothing_to_send(
    operator: Api, browser: Browser, receiver: Receiver
) -> None:
    merchant = await a_merchant_who_missed_some(operator, browser, receiver)
    path = f"/endpoints/{merchant.endpoint}"
    _, text = await browser.get(f"{path}/recover?chosen=yes")
    assert "Choose at least one" in text
    assert re.search(r"<button[^>]* disabled>Send again", text)

    await browser.post(f"{path}/disable")
    _, text = await browser.get(f"{path}/recover")
    assert "enable it first" in text
    status, text = await browser.post(f"{path}/recover")
    assert (status, "disabled" in text) == (409, True)

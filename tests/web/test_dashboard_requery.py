"""Reading many eSIMs anew on the dashboard: counted first, then begun and watched; never those of others."""

import re

from api import Api, a_merchant, eventually
from conftest import ADMIN_KEY
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from jobs.test_bulk_requery import some_esims
from upstream import a_shop
from web.rows import an_esim
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture

PLACE = re.compile(r"rqy_\w{26}")


def read_on(page: str) -> str:
    """Return what can be read on a page."""
    return " ".join(re.sub("<[^>]+>", "", page).split())


async def test_what_no_provider_has_allocated_is_not_read(browser: Browser, operator: Api) -> None:
    merchant = await a_merchant(operator)
    await an_esim(operator, merchant.account, "test")
    await browser.sign_in(merchant.key)
    _, text = await browser.get("/requeries")
    assert "0 eSIMs that a provider has allocated fit" in read_on(text)
    assert "anew</button>" not in text


async def test_what_fits_is_counted_then_read_and_watched(browser: Browser, operator: Api, sandbox: Sandbox) -> None:
    shop = await a_shop(operator)
    await some_esims(operator, shop, sandbox, sandbox.base_url, number=2)
    tenant = f"account={shop.account}&mode=test"
    await browser.sign_in(ADMIN_KEY)
    _, text = await browser.get(f"/requeries?{tenant}&order=B2")
    assert "0 eSIMs that a provider has allocated fit" in read_on(text)
    _, text = await browser.get(f"/requeries?{tenant}&order=B1")
    assert "Refresh 2 eSIMs" in read_on(text)

    status, text = await browser.post(f"/requeries?{tenant}", order="B1")
    assert (status, "of 2 refreshed" in read_on(text)) == (200, True), read_on(text)
    address = f"/requeries/{PLACE.findall(text)[0]}?{tenant}"

    async def done() -> bool:
        return "2 of 2 refreshed done" in read_on((await browser.get(address))[1])

    assert await eventually(done)
    status, text = await browser.post(address.replace("?", "/cancel?"))
    assert (status, "nothing to cancel" in text) == (409, True)

    await browser.sign_in((await a_merchant(operator)).key)
    assert (await browser.get(address.partition("?")[0]))[0] == 404

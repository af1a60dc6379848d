"""The audit log on the dashboard: what changed is shown, narrowed by action and id, and to a merchant only its own."""

from api import Api, a_merchant
from conftest import ADMIN_KEY
from web.test_dashboard import HOSTILE, Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture


async def test_a_merchant_sees_what_changed_in_its_account_and_nothing_of_others(
    browser: Browser, operator: Api
) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        made = await caller.post("/v1/endpoints", {"url": "https://example.com/a", "name": HOSTILE})
        await caller.call("PATCH", f"/v1/endpoints/{made['id']}", {"url": "https://example.com/b"})
    await browser.sign_in(merchant.key)
    _, text = await browser.get("/audit")
    assert "endpoint.change" in text
    assert "https://example.com/b" in text
    assert HOSTILE not in text
    _, text = await browser.get(f"/audit?action=endpoint.create&subject={made['id']}")
    assert text.count(made["id"]) >= 1
    assert "https://example.com/b" not in text

    await browser.sign_in(other.key)
    _, text = await browser.get("/audit")
    assert made["id"] not in text


async def test_an_operator_sees_all_accounts_or_one(browser: Browser, operator: Api) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    await browser.sign_in(ADMIN_KEY)
    _, text = await browser.get("/audit?action=account.create")
    assert merchant.account in text
    assert other.account in text
    _, text = await browser.get(f"/audit?account={merchant.account}&mode=test")
    assert other.account not in text
    assert (await browser.get(f"/audit?action=nonsense&account={merchant.account}&mode=test"))[0] == 422

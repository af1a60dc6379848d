"""One eSIM on the dashboard: what is drawn is what the operator has set."""

import re

from aiohttp import ClientSession, CookieJar

from api import Api, a_merchant
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from web.rows import an_esim
from web.test_dashboard import Browser


async def test_the_usage_bar_is_marked_at_the_thresholds_that_are_set(settings: Settings) -> None:
    async with (
        running(settings.model_copy(update={"thresholds": (10, 80, 100)})) as node,
        Api(node.url, node.admin_key) as operator,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as session,
    ):
        browser = Browser(node.url, session)
        merchant = await a_merchant(operator)
        esim = await an_esim(operator, merchant.account, "test", totalVolume=1000, dataUsage=300)
        await browser.sign_in(merchant.key)

        _, text = await browser.get(f"/esims/{esim['esim']}")

    assert re.findall(r'class="mark" x="([^"]+)"', text) == ["10", "80"]

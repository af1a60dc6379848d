"""A merchant's first day, from a portal link in a frame of the operator's own product to a verified webhook, without a key."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest
from playwright.async_api import Browser, expect
from standardwebhooks import Webhook

from api import Api, Merchant, a_merchant, eventually
from browser.conftest import at_a_browser
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from receiver import Receiver
from reserved_port import ReservedPort

pytestmark = pytest.mark.slow(reason="a real browser shows one site in a frame of another")
PRODUCT = Path(__file__).parents[2] / "examples" / "portal" / "server.py"


@asynccontextmanager
async def the_product(api: Api, merchant: Merchant, port: int) -> AsyncIterator[None]:
    """Run the example, an operator's product, as a process."""
    env = {"ESIMHOOKS_URL": api.url, "ESIMHOOKS_KEY": api.key, "ESIMHOOKS_ACCOUNT": merchant.account}
    process = await asyncio.create_subprocess_exec(sys.executable, str(PRODUCT), str(port), env=os.environ | env)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_merchant_goes_from_a_link_in_a_frame_to_a_verified_webhook_without_a_key(
    settings: Settings, chromium: Browser, receiver: Receiver
) -> None:
    with ReservedPort() as reserved:
        port = reserved.number
    product = f"http://localhost:{port}"
    allowed = settings.model_copy(update={"frame_origins": (product,)})
    async with running(allowed) as node, Api(node.url, node.admin_key) as api:
        merchant = await a_merchant(api)
        await api.call(
            "PATCH", f"/v1/accounts/{merchant.account}/branding", {"name": "Globetrotter", "accent": "#7a1f5c"}
        )
        async with the_product(api, merchant, port), at_a_browser(chromium, product) as person:
            began = monotonic()
            await eventually(lambda: listens(port))
            await person.open("/")
            frame = person.page.frame_locator("iframe")
            await frame.get_by_role("link", name="Tell us the address of your receiver").click()
            await frame.get_by_label("Address", exact=True).fill(receiver.url())
            await frame.get_by_role("button", name="Create the endpoint").click()
            secret = await frame.locator("#secret").inner_text()
            await frame.get_by_role("link", name="Catalogue").click()
            await frame.get_by_role("button", name="Send a test event").first.click()
            [request, *_] = await receiver.wait_for(1)
            Webhook(secret).verify(request.body, request.headers)
            await expect(frame.locator("td .pill").first).to_have_text("delivered")
            assert monotonic() - began < 60
            await frame.get_by_role("link", name="Overview").click()
            await expect(frame.get_by_text("Your first webhook")).to_have_count(0)
            await person.page.set_viewport_size({"width": 1200, "height": 900})
            await person.picture("portal-in-a-frame")
            assert "esimhooks" not in await frame.locator("body").inner_text()
            person.troubles = [one for one in person.troubles if not one.startswith(f"another host: {node.url}")]
        with ReservedPort() as reserved:
            other = reserved.number
        async with (
            the_product(api, merchant, other),
            at_a_browser(chromium, f"http://localhost:{other}") as somebody_else,
        ):
            await eventually(lambda: listens(other))
            await somebody_else.open("/")
            await expect(somebody_else.page.frame_locator("iframe").locator("nav, form")).to_have_count(0)
            assert [one for one in somebody_else.troubles if "frame-ancestors" in one]
            somebody_else.troubles.clear()
        async with at_a_browser(chromium, node.url) as stranger:
            link = await api.post(f"/v1/accounts/{merchant.account}/portal-links", {"mode": "test", "frame": True})
            await stranger.page.goto(link["url"])
            await expect(stranger.page.locator("main")).to_contain_text("only inside the page that it was made for")
            stranger.troubles = [one for one in stranger.troubles if not re.search("403|favicon", one)]

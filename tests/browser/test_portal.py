"""A merchant's first day, from a portal link in a frame of the operator's own product to a verified webhook, without a key."""

import asyncio
import html
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import urlencode

import pytest
from aiohttp import web
from playwright.async_api import Browser, Locator, expect
from standardwebhooks import Webhook

from api import Api, Merchant, a_merchant, eventually
from browser.conftest import Person, at_a_browser
from esimhooks.server.app.node import Running, running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from receiver import Receiver
from reserved_port import ReservedPort, listens

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
            await frame.get_by_role("link", name="Enter the URL of your receiver").click()
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


FRAMED = '<!doctype html><iframe title="Webhooks" src="{}" style="width: 1000px; height: 800px"></iframe>'


@asynccontextmanager
async def a_product() -> AsyncIterator[str]:
    """Run a product whose only page shows what its address names in a frame; yield its origin."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=FRAMED.format(html.escape(request.query["show"])), content_type="text/html")

    application = web.Application()
    application.router.add_get("/", page)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0).start()
    yield f"http://localhost:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def a_framed_node(settings: Settings) -> AsyncIterator[tuple[str, Running, Api]]:
    """Run a product, and a node that it may frame; yield its origin, the node and the operator's API."""
    async with (
        a_product() as product,
        running(settings.model_copy(update={"frame_origins": (product,)})) as node,
        Api(node.url, node.admin_key) as api,
    ):
        yield product, node, api


@asynccontextmanager
async def a_frame(chromium: Browser, product: str) -> AsyncIterator[Callable[[str], Awaitable[Locator]]]:
    """What shows an address in a frame of the product, in one browser, and returns what can be read in it."""
    async with at_a_browser(chromium, product) as person:

        async def shown(address: str) -> Locator:
            await person.open(f"/?{urlencode({'show': address})}")
            return person.page.frame_locator("iframe").locator("body")

        yield shown
        # The frame's host is another one, and the console reports answers that refuse.
        person.troubles = [one for one in person.troubles if not re.search(r"another host|4\d\d|favicon", one)]


async def test_a_link_that_was_used_or_has_expired_shows_why_and_nothing_else_in_its_frame(
    settings: Settings, chromium: Browser, database: Database
) -> None:
    async with a_framed_node(settings) as (product, node, api):
        merchant = await a_merchant(api)

        async def a_link() -> str:
            body = {"mode": "test", "frame": True}
            return str((await api.post(f"/v1/accounts/{merchant.account}/portal-links", body))["url"])

        link = await a_link()
        async with a_frame(chromium, product) as shown:
            await expect((await shown(link)).get_by_role("heading", name="Overview")).to_be_visible()
            again = await shown(link)
            await expect(again).to_contain_text("This link was used already, or has expired")
            await expect(again.locator("nav, form")).to_have_count(0)
        old = await a_link()
        async with database.session() as db:
            await db.conn.execute("UPDATE portal_links SET expires_at = now()")
        async with a_frame(chromium, product) as shown:
            expired = await shown(old)
            await expect(expired).to_contain_text("This link was used already, or has expired")
            await expect(expired.locator("nav, form")).to_have_count(0)
            # Nor is anybody signed in by the attempt.
            await expect(await shown(f"{node.url}/endpoints")).to_contain_text("Your session has ended")


async def test_in_a_frame_nothing_of_another_account_is_shown_and_a_link_of_it_ends_the_session_before(
    settings: Settings, chromium: Browser, receiver: Receiver
) -> None:
    async with a_framed_node(settings) as (product, node, api):
        own, other = [await a_merchant(api, webhook_url=receiver.url()) for _ in range(2)]
        links = [
            (await api.post(f"/v1/accounts/{one.account}/portal-links", {"mode": "test", "frame": True}))["url"]
            for one in (own, other)
        ]
        async with a_frame(chromium, product) as shown:
            await expect((await shown(links[0])).get_by_role("heading", name="Overview")).to_be_visible()
            for path in (f"/endpoints/{other.endpoint}", f"/endpoints?account={other.account}&mode=test"):
                await expect(await shown(node.url + path)).to_contain_text("Not found")
            await expect(await shown(f"{node.url}/accounts")).to_contain_text("That did not work")
            await expect((await shown(links[1])).get_by_role("heading", name="Overview")).to_be_visible()
            await expect(await shown(f"{node.url}/endpoints/{other.endpoint}")).to_contain_text("Secrets")
            await expect(await shown(f"{node.url}/endpoints/{own.endpoint}")).to_contain_text("Not found")


async def test_a_live_merchants_first_day_ends_with_an_example_that_arrived(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    account = (await operator.post("/v1/accounts", {"name": "Nomad"}))["id"]
    link = await operator.post(f"/v1/accounts/{account}/portal-links", {"mode": "live"})
    await person.page.goto(link["url"])
    await person.page.get_by_role("link", name="Enter the URL of your receiver").click()
    await person.page.get_by_label("Address", exact=True).fill(receiver.url())
    await person.press("Create the endpoint")
    secret = await person.page.locator("#secret").inner_text()
    await person.page.get_by_role("link", name="Overview").click()
    await person.page.get_by_role("link", name="Send an example").click()
    await person.press("Send an example")
    [request, *_] = await receiver.wait_for(1)
    Webhook(secret).verify(request.body, request.headers)
    await person.page.get_by_role("link", name="Overview").click()
    await expect(person.page.get_by_text("Your first webhook")).to_have_count(0)

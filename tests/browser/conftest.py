"""A real chromium before a running node: pages that are watched, screenshots, and what axe-core finds."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, expect

from api import Api
from conftest import ADMIN_KEY
from tools.chromium import a_chromium

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
PICTURES = HERE.parents[1] / "artifacts" / "browser"
SERIOUS = ("serious", "critical")
BUSY_MS = 40_000
"""For how long what must come may take, on a machine that does other things too; a wait ends when it has come."""
expect.set_options(timeout=BUSY_MS)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDTHS = (390, 1440)
ALL_WIDTHS = (390, 800, 1280, 1440)


class Person:
    """Somebody at a browser. `troubles` are dialogs, errors of scripts and of the console, refusals of the policy
    for content, and requests to other hosts: there must be none. `clicks` counts those on buttons and links.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.troubles: list[str] = []
        self.clicks = 0
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        page.on("dialog", lambda dialog: self.troubles.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self._requested(request.url))

    async def open(self, path: str) -> None:
        """Go to a page."""
        await self.page.goto(self.url + path)

    async def sign_in(self, key: str = ADMIN_KEY) -> None:
        """Sign in through the form."""
        await self.open("/sign-in")
        await self.page.get_by_label("API key").fill(key)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_role("button", name="Sign out").wait_for()

    async def press(self, button: str) -> None:
        """Press the button of that name."""
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def confirm(self, label: str) -> None:
        """Open what asks for a confirmation, and go on."""
        await self.page.locator("summary", has_text=label).click()
        await self.press("Yes, go on")

    async def count_clicks(self) -> None:
        """Count clicks from now on."""
        await self.page.expose_function("clicked", self._clicked)
        await self.page.add_init_script("addEventListener('click', (event) => event.detail && clicked(), true)")
        await self.page.reload()

    async def text(self) -> str:
        """Return what can be read on the page."""
        return await self.page.inner_text("main")

    async def picture(self, name: str) -> None:
        """Keep a picture of the whole page below artifacts/."""
        await self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    async def looks(self, *, width: int, scheme: Scheme) -> None:
        """Look through a window of that width, in that scheme."""
        await self.page.set_viewport_size({"width": width, "height": 900})
        await self.page.emulate_media(color_scheme=scheme)

    async def sideways(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return int(
            await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )

    async def out_of_shape(self, path: str) -> list[str]:
        """Go to a page; return at which widths it is wider than its window."""
        await self.open(path)
        found = []
        for width in ALL_WIDTHS:
            await self.looks(width=width, scheme="light")
            if (more := await self.sideways()) > 0:
                found.append(f"{path} at {width} px scrolls {more} px")
        return found

    async def barriers(self) -> Sequence[str]:
        """Return what axe-core finds serious or critical."""
        await self.page.evaluate((MODULES / "axe-core" / "axe.min.js").read_text())
        found = await self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]

    def _clicked(self) -> None:
        self.clicks += 1

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.troubles.append(f"console: {text}")

    def _requested(self, url: str) -> None:
        if not url.startswith((self.url + "/", "data:")):
            self.troubles.append(f"another host: {url}")


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's chromium."""
    async with a_chromium() as browser:
        yield browser


@asynccontextmanager
async def at_a_browser(chromium: Browser, url: str) -> AsyncIterator[Person]:
    """A person with a browser of its own; at the end there must have been no trouble."""
    window = await chromium.new_context(viewport={"width": 1440, "height": 900})
    window.set_default_timeout(BUSY_MS)
    person = Person(await window.new_page(), url)
    yield person
    await window.close()
    assert person.troubles == []


@pytest.fixture
async def person(chromium: Browser, operator: Api) -> AsyncIterator[Person]:
    """Somebody who has not signed in yet."""
    async with at_a_browser(chromium, operator.url) as somebody:
        yield somebody

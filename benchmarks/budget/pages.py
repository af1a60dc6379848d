"""The pages in a real browser with an empty cache: how many bytes they load, and how long until all is loaded."""

from collections.abc import Sequence

from msgspec import Struct
from playwright.async_api import Browser, Page

PATHS = (
    "/",
    "/deliveries",
    "/events",
    "/esims",
    "/endpoints",
    "/event-types",
    "/audit",
    "/providers",
    "/journal",
    "/accounts",
)
TIMES = 3
MEASURE = """() => {
    const [page] = performance.getEntriesByType("navigation");
    const parts = [page, ...performance.getEntriesByType("resource")];
    return [parts.reduce((sum, part) => sum + part.transferSize, 0), page.loadEventEnd];
}"""


class Loaded(Struct, frozen=True):
    """One page: bytes over the wire with all its parts, and the fewest ms until its load event, nothing cached."""

    path: str
    transferred: int
    ms: float


async def loaded(
    chromium: Browser, url: str, key: str, query: str, *, times: int = TIMES, paths: Sequence[str] = PATHS
) -> list[Loaded]:
    """Load each page of the account in `query` so many times, as somebody who has signed in."""
    window = await chromium.new_context(viewport={"width": 1440, "height": 900})
    page = await window.new_page()
    await page.goto(f"{url}/sign-in")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Sign out").wait_for()
    found = []
    for path in paths:
        measured = [await _measure(page, url + path + query) for _ in range(times)]
        found.append(Loaded(path, max(bytes_ for bytes_, _ in measured), min(ms for _, ms in measured)))
    await window.close()
    return found


async def _measure(page: Page, address: str) -> tuple[int, float]:
    session = await page.context.new_cdp_session(page)
    await session.send("Network.clearBrowserCache")
    await page.goto(address, wait_until="load")
    transferred, ms = await page.evaluate(MEASURE)
    await session.detach()
    return int(transferred), float(ms)

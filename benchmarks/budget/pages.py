"""The pages in a real browser with an empty cache: how many bytes they load, and how long until all is loaded."""

from msgspec import Struct
from playwright.async_api import Browser

PATHS = ("/", "/deliveries", "/events", "/esims", "/endpoints", "/event-types", "/journal", "/accounts")
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


async def loaded(chromium: Browser, url: str, key: str, query: str) -> list[Loaded]:
    """Load each page of the account in `query` several times, each in a new browser window that has signed in."""
    found = []
    for path in PATHS:
        measured = [await _measure(chromium, url, key, path + query) for _ in range(TIMES)]
        transferred = max(bytes_ for bytes_, _ in measured)
        found.append(Loaded(path, transferred, min(ms for _, ms in measured)))
    return found


async def _measure(chromium: Browser, url: str, key: str, path: str) -> tuple[int, float]:
    window = await chromium.new_context(viewport={"width": 1440, "height": 900})
    page = await window.new_page()
    await page.goto(f"{url}/sign-in")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Sign out").wait_for()
    session = await window.new_cdp_session(page)
    await session.send("Network.clearBrowserCache")
    await page.goto(url + path, wait_until="load")
    transferred, ms = await page.evaluate(MEASURE)
    await window.close()
    return int(transferred), float(ms)

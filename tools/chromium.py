"""Debian's chromium, driven by whoever looks at the dashboard: browser tests, the budget, the pictures."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def a_chromium() -> AsyncIterator[Browser]:
    """Lend a chromium without a window. Raises `SystemExit` where there is none."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is missing: make test-browser installs it, or apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        await browser.close()

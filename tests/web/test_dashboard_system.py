"""Operators see nodes, versions, disk and database on a page; what is wrong with them stands on the first one."""

import pytest

from api import Api, a_merchant
from conftest import ADMIN_KEY
from esimhooks.server.runtime import disk
from esimhooks.server.store.database import Database
from esimhooks.version import __version__
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture


async def test_the_page_names_the_node_its_version_and_its_disk(browser: Browser) -> None:
    await browser.sign_in(ADMIN_KEY)
    status, text = await browser.get("/system")
    assert status == 200
    for shown in (f"<td>{__version__}</td>", "Disk of this node", "GiB free of", "PostgreSQL", "Largest tables"):
        assert shown in text
    assert 'role="alert"' not in text


async def test_a_node_of_another_version_is_shown_on_both_pages(
    browser: Browser, operator: Api, database: Database
) -> None:
    await a_merchant(operator)
    await browser.sign_in(ADMIN_KEY)
    async with database.session() as db:
        await db.conn.execute("SET application_name = 'esimhooks 0.0.9 other'")
        for path in ("/", "/system"):
            assert "Nodes run different versions" in (await browser.get(path))[1]
        assert "<td>0.0.9</td>" in (await browser.get("/system"))[1]
        await db.conn.execute("RESET application_name")


async def test_a_disk_that_is_nearly_full_is_shown_on_the_first_page(
    browser: Browser, operator: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_merchant(operator)
    monkeypatch.setattr(disk, "LOW_BYTES", 2**60)
    await browser.sign_in(ADMIN_KEY)
    assert "The disk is nearly full" in (await browser.get("/"))[1]


async def test_merchants_see_nothing_of_the_installation(browser: Browser, operator: Api) -> None:
    merchant = await a_merchant(operator)
    await browser.sign_in(merchant.key)
    assert (await browser.get("/system"))[0] == 403
    assert "/system" not in (await browser.get("/"))[1]


async def test_an_address_that_nothing_has_is_a_page_for_people_and_a_problem_for_programs(browser: Browser) -> None:
    accept = {"accept": "text/html,application/xhtml+xml"}
    async with browser.session.get(f"{browser.url}/nope", headers=accept) as answer:
        text = await answer.text()
        assert (answer.status, answer.content_type) == (404, "text/html")
        assert 'href="/"' in text
        assert "Main" not in text
    await browser.sign_in(ADMIN_KEY)
    async with browser.session.get(f"{browser.url}/nope/further", headers=accept) as answer:
        assert answer.status == 404
        assert 'aria-label="Main"' in await answer.text()
    for path, headers in (("/nope", {}), ("/v1/nope", accept)):
        async with browser.session.get(browser.url + path, headers=headers) as answer:
            assert (answer.status, answer.content_type) == (404, "application/problem+json")

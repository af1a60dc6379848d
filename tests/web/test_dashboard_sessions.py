"""Sessions of the dashboard end by idleness and age, are new at each sign-in, and are kept to TLS only behind it."""

import pytest
from aiohttp import ClientSession, CookieJar

from api import Api, a_merchant
from conftest import ADMIN_KEY
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from reserved_port import ReservedPort
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture


async def pass_time(database: Database, span: str, *, used: bool) -> None:
    """Let sessions be older by the span; `used` lets a person have used them all the time."""
    seen = "seen_at" if used else "seen_at - $1::text::interval"
    async with database.session() as db:
        await db.conn.execute(
            f"UPDATE sessions SET created_at = created_at - $1::text::interval, seen_at = {seen}", span
        )


async def signed_in(browser: Browser, **headers: str) -> bool:
    async with browser.session.get(browser.url + "/accounts", headers=headers) as answer:
        return "Sign out" in await answer.text() and answer.status == 200


@pytest.mark.parametrize(
    ("span", "used", "goes_on"),
    [
        ("29 minutes", False, True),
        ("31 minutes", False, False),
        ("11 hours 59 minutes", True, True),
        ("12 hours 1 minute", True, False),
    ],
)
async def test_a_session_ends_after_half_an_hour_without_use_and_after_twelve_hours(
    browser: Browser, database: Database, *, span: str, used: bool, goes_on: bool
) -> None:
    await browser.sign_in(ADMIN_KEY)
    await pass_time(database, span, used=used)
    assert await signed_in(browser) is goes_on


async def test_use_keeps_a_session_alive_and_what_a_page_asks_for_by_itself_does_not(
    browser: Browser, database: Database
) -> None:
    await browser.sign_in(ADMIN_KEY)
    for _ in range(2):
        await pass_time(database, "20 minutes", used=False)
        assert await signed_in(browser)
    await pass_time(database, "20 minutes", used=False)
    assert await signed_in(browser, **{"x-live": "1"})
    await pass_time(database, "20 minutes", used=False)
    assert not await signed_in(browser)


async def test_signing_in_rotates_the_cookie_and_ends_the_session_before(browser: Browser) -> None:
    tokens = []
    for _ in range(2):
        await browser.sign_in(ADMIN_KEY)
        tokens += [one.value for one in browser.session.cookie_jar if one.key == "esimhooks_session"]
    assert len(set(tokens)) == 2
    async with ClientSession(cookies={"esimhooks_session": tokens[0]}) as stale:
        assert not await signed_in(Browser(browser.url, stale))
    assert await signed_in(browser)


async def test_behind_tls_the_cookie_is_secure_and_otherwise_it_works_without(
    settings: Settings, browser: Browser
) -> None:
    async def attributes(url: str) -> str:
        async with (
            ClientSession(cookie_jar=CookieJar(unsafe=True)) as session,
            session.post(url + "/sign-in", data={"key": ADMIN_KEY}, allow_redirects=False) as answer,
        ):
            return answer.headers["set-cookie"].lower()

    assert "secure" not in await attributes(browser.url)
    behind_tls = settings.model_copy(update={"public_url": "https://hooks.example"})
    with ReservedPort() as port:
        async with running(behind_tls.model_copy(update={"port": port.number})):
            assert "secure" in await attributes(f"http://127.0.0.1:{port.number}")


async def test_a_form_without_the_token_of_its_session_is_refused(browser: Browser, operator: Api) -> None:
    await browser.sign_in(ADMIN_KEY)
    for form in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        async with browser.session.post(browser.url + "/accounts", data={"name": "Mine"} | form) as answer:
            assert answer.status == 403
    async with browser.session.post(browser.url + "/sign-out", data={}) as answer:
        assert answer.status == 403
    assert await signed_in(browser)
    assert (await operator.get("/v1/accounts"))["data"] == []


async def test_who_sends_a_form_after_the_session_has_ended_comes_back_to_its_page(
    browser: Browser, operator: Api
) -> None:
    account = (await operator.post("/v1/accounts", {"name": "Acme"}))["id"]
    page = f"/endpoints/new?account={account}&mode=test"
    for referer, back in ((browser.url + page, page), ("https://evil.example/endpoints", "/"), ("", "/")):
        async with browser.session.post(
            browser.url + "/endpoints", data={"url": "https://shop.example"}, headers={"referer": referer}
        ) as answer:
            assert "Sign in" in await answer.text()
            assert answer.url.query.get("next", "/") == back


async def test_a_part_of_a_page_leads_back_to_its_page_once_the_session_has_ended(browser: Browser) -> None:
    for current, back in ((f"{browser.url}/?span=7d", "/?span=7d"), ("https://evil.example/x", "/"), ("//evil", "/")):
        headers = {"hx-request": "true", "hx-current-url": current}
        async with browser.session.get(browser.url + "/overview/figures", headers=headers) as answer:
            assert answer.headers["hx-redirect"] == back


async def test_signing_in_is_a_use_of_the_key(browser: Browser, operator: Api) -> None:
    merchant = await a_merchant(operator)
    await browser.sign_in(merchant.key)
    [key] = (await operator.get(f"/v1/accounts/{merchant.account}/keys"))["data"]
    assert key["lastUsedAt"] is not None

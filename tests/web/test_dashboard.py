"""The dashboard over HTTP: signing in, what a session may see, and that nothing of others' text becomes markup."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, CookieJar

from api import Api, a_merchant, eventually
from conftest import ADMIN_KEY
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from receiver import Receiver
from web.rows import an_esim

HOSTILE = '"><script>alert(1)</script>'


class Browser:
    """A person's browser without scripts: keeps the cookie, follows redirects, fills in the session's token."""

    def __init__(self, url: str, session: ClientSession) -> None:
        self.url, self.session, self.csrf = url, session, ""

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url + path) as answer:
            text = await answer.text()
            if found := re.search(r'name="csrf" value="(\w+)"', text):
                self.csrf = found[1]
            return answer.status, text

    async def post(self, path: str, **form: str) -> tuple[int, str]:
        async with self.session.post(self.url + path, data={"csrf": self.csrf} | form) as answer:
            return answer.status, await answer.text()

    async def sign_in(self, key: str) -> tuple[int, str]:
        answer = await self.post("/sign-in", key=key)
        await self.get("/")
        return answer


@pytest.fixture
async def browser(operator: Api) -> AsyncIterator[Browser]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield Browser(operator.url, session)


async def test_without_a_session_every_page_leads_to_the_sign_in_page(browser: Browser) -> None:
    for path in (
        "/",
        "/esims",
        "/events",
        "/deliveries",
        "/endpoints",
        "/event-types",
        "/audit",
        "/journal",
        "/accounts",
    ):
        status, text = await browser.get(path)
        assert (status, "API key" in text) == (200, True), path


async def test_an_operator_sees_every_page_of_an_empty_installation(browser: Browser) -> None:
    await browser.sign_in(ADMIN_KEY)
    for path in (
        "/",
        "/esims",
        "/events",
        "/deliveries",
        "/endpoints",
        "/event-types",
        "/audit",
        "/journal",
        "/accounts",
    ):
        status, text = await browser.get(path)
        assert (status, "Sign out" in text) == (200, True), (path, text)


async def test_the_cookie_and_the_headers_are_strict(browser: Browser) -> None:
    async with browser.session.post(browser.url + "/sign-in", data={"key": ADMIN_KEY}, allow_redirects=False) as answer:
        cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    async with browser.session.get(browser.url + "/") as page:
        policy = page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy


async def test_a_wrong_key_is_refused_and_tries_are_limited(settings: Settings) -> None:
    limited = settings.model_copy(update={"tries_address": 10})
    async with running(limited) as node, ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        browser = Browser(node.url, session)
        wrong = [browser.post("/sign-in", key="esim_test_wrong") for _ in range(20)]
        answers = [status for status, _ in await asyncio.gather(*wrong)]
        assert sorted(answers)[:10] == [401] * 10
        assert set(answers) == {401, 429}
        async with session.post(node.url + "/sign-in", data={"key": "esim_test_wrong"}) as answer:
            assert answer.status == 429
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert "Too many failed attempts from your address" in await answer.text()


async def shown_form(browser: Browser, path: str) -> str:
    """Return what names the form of a page that makes something."""
    _, text = await browser.get(path)
    found = re.search(r'name="once" value="([\w-]+)"', text)
    return found[1] if found else ""


async def test_a_form_that_is_sent_twice_without_scripts_makes_one_account_and_one_key(
    browser: Browser, operator: Api
) -> None:
    await browser.sign_in(ADMIN_KEY)
    form = {"name": "Acme", "once": await shown_form(browser, "/accounts")}
    made = await asyncio.gather(*(browser.post("/accounts", **form) for _ in range(2)))
    [account, *others] = (await operator.get("/v1/accounts"))["data"]
    path = f"/accounts/{account['id']}"
    form = {"name": "ci", "mode": "test", "once": await shown_form(browser, path)}
    first, second = [await browser.post(f"{path}/keys", **form) for _ in range(2)]
    keys = (await operator.get(f"/v1/accounts/{account['id']}/keys"))["data"]
    another = await browser.post("/accounts", name="Acme", once=await shown_form(browser, "/accounts"))

    assert others == []
    assert [(status, account["id"] in text) for status, text in made] == [(200, True)] * 2
    assert len(keys) == 1
    shown = [re.findall(r"esim_test_\w{30,}", text) for _, text in (first, second)]
    assert shown[0] == shown[1] != []
    assert another[0] == 200
    assert len((await operator.get("/v1/accounts"))["data"]) == 2


async def test_a_form_of_another_site_or_without_the_token_changes_nothing(browser: Browser, operator: Api) -> None:
    await browser.sign_in(ADMIN_KEY)
    assert (await browser.post("/accounts", name="Mine", csrf="other"))[0] == 403
    foreign = {"origin": "https://evil.example"}
    async with browser.session.post(
        browser.url + "/accounts", data={"csrf": browser.csrf, "name": "Mine"}, headers=foreign
    ) as answer:
        assert answer.status == 403
    assert (await operator.get("/v1/accounts"))["data"] == []


async def test_a_revoked_key_ends_its_session(browser: Browser, operator: Api) -> None:
    merchant = await a_merchant(operator)
    await browser.sign_in(merchant.key)
    assert "Sign out" in (await browser.get("/esims"))[1]

    [key] = (await operator.get(f"/v1/accounts/{merchant.account}/keys"))["data"]
    await operator.call("DELETE", f"/v1/accounts/{merchant.account}/keys/{key['id']}")

    assert "API key" in (await browser.get("/esims"))[1]


async def test_a_merchant_sees_only_its_own(browser: Browser, operator: Api) -> None:
    other = await a_merchant(operator)
    esim = await an_esim(operator, other.account, "test")
    await browser.sign_in((await a_merchant(operator)).key)

    assert (await browser.get(f"/esims/{esim['esim']}"))[0] == 404
    assert (await browser.get(f"/esims?account={other.account}&mode=test"))[0] == 404
    assert (await browser.get("/accounts"))[0] == 403
    assert (await browser.get("/journal"))[0] == 403


async def test_a_delivery_is_followed_from_failure_to_arrival(
    browser: Browser, operator: Api, receiver: Receiver
) -> None:
    receiver.answer(status=410, body=HOSTILE.encode())
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    esim = await an_esim(operator, merchant.account, "test", packageName=HOSTILE)
    await browser.sign_in(merchant.key)
    query = f"account={merchant.account}&mode=test"

    async def stopped() -> str | None:
        rows = (await operator.get(f"/v1/deliveries?{query}&status=stopped"))["data"]
        return rows[0]["id"] if rows else None

    delivery = await eventually(stopped)
    for path in (
        f"/deliveries/{delivery}",
        f"/esims/{esim['esim']}",
        f"/events/{esim['events'][0]}",
        "/",
        "/deliveries",
    ):
        status, text = await browser.get(path)
        assert status == 200, text
        assert "<script>alert" not in text, path
    _, text = await browser.get(f"/deliveries/{delivery}")
    assert "410 (gone)" in text
    assert (await browser.post(f"/deliveries/{delivery}/retry"))[0] == 200


async def test_the_first_run_leads_from_an_account_to_a_delivered_test_event(
    browser: Browser, operator: Api, receiver: Receiver
) -> None:
    await browser.sign_in(ADMIN_KEY)
    _, account = await browser.post("/accounts", name="Acme")
    account_id = re.search(r"acc_\w{26}", account)
    assert account_id
    status, made = await browser.post(
        f"/accounts/{account_id[0]}/keys", name="ci", mode="test", webhook_url=receiver.url()
    )
    assert status == 200
    assert re.search(r"esim_test_\w+", made)
    assert "whsec_" in made

    _, event = await browser.post(f"/event-types/esim.activated/try?account={account_id[0]}&mode=test")
    assert "esim.activated" in event
    await receiver.wait_for(1)


async def test_the_catalogue_is_light_and_its_schemas_come_when_they_are_opened(browser: Browser) -> None:
    await browser.sign_in(ADMIN_KEY)
    _, text = await browser.get("/event-types")
    assert len(text) < 60_000
    assert 'hx-get="/event-types/esim.activated/schema"' in text
    _, schema = await browser.get("/event-types/esim.activated/schema")
    assert "$schema" in schema
    status, _ = await browser.get("/event-types/esim.unknown/schema")
    assert status == 404


async def test_the_overview_of_all_accounts_leads_to_an_endpoint_that_is_gone(
    browser: Browser, operator: Api, receiver: Receiver
) -> None:
    receiver.answer(status=410)
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await an_esim(operator, merchant.account, "test")
    await browser.sign_in(ADMIN_KEY)

    async def link() -> str | None:
        status, text = await browser.get("/")
        assert status == 200, text
        found = re.search(r'href="(/endpoints/ep_[^"]+)"', text)
        assert found is None or "The receiver answered 410" in text
        return found[1].replace("&amp;", "&") if found else None

    status, text = await browser.get(await eventually(link))
    assert (status, "answered 410" in text) == (200, True)

"""Portal links sign in once, to one account and mode, with one role; branding dresses the pages of an account."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, CookieJar

from api import Api, Json, Merchant, a_merchant
from conftest import ADMIN_KEY
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from receiver import Receiver
from web.routes import is_problem
from web.rows import an_esim
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture
from web.test_dashboard_deliveries import the_delivery

ORIGIN = "https://app.example.com"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8" fill="#7a1f5c"/></svg>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


async def a_link(operator: Api, merchant: Merchant, **body: Json) -> str:
    """Return the path of a new link."""
    made = await operator.post(f"/v1/accounts/{merchant.account}/portal-links", {"mode": "test"} | body)
    return str(made["url"]).removeprefix(operator.url)


async def enter(browser: Browser, link: str) -> tuple[int, str]:
    """Open a link and do what the script of its page does."""
    status, text = await browser.get(link)
    assert (status, "data-submit" in text) == (200, True)
    return await browser.post(link)


async def test_a_link_signs_in_once_to_its_page_account_and_mode(browser: Browser, operator: Api) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    foreign = await an_esim(operator, other.account, "test")
    link = await a_link(operator, merchant, page="/endpoints")

    status, text = await enter(browser, link)
    assert (status, "New endpoint" in text, "Acme" in text) == (200, True, True)
    assert (await browser.get(f"/esims/{foreign['esim']}"))[0] == 404
    assert (await browser.get(f"/esims?account={other.account}&mode=test"))[0] == 404
    assert (await browser.get(f"/esims?account={merchant.account}&mode=live"))[0] == 404
    assert (await browser.get("/accounts"))[0] == 403
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as another:
        status, text = await Browser(operator.url, another).get(link)
    assert (status, "used already, or has expired" in text) == (410, True)


async def test_a_link_that_is_fetched_for_a_preview_or_posted_by_another_site_is_not_used_up(
    browser: Browser, operator: Api
) -> None:
    link = await a_link(operator, await a_merchant(operator), page="/endpoints")
    async with ClientSession() as previewing, previewing.get(operator.url + link) as preview:
        assert (preview.status, preview.headers.get("set-cookie")) == (200, None)
    elsewhere = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    async with browser.session.post(operator.url + link, headers=elsewhere) as refused:
        assert refused.status == 403

    status, text = await enter(browser, link)

    assert (status, "New endpoint" in text) == (200, True)


async def test_a_session_of_a_link_is_limited_as_a_key_is(settings: Settings) -> None:
    async with (
        running(settings.model_copy(update={"rate_limit_key": 2})) as node,
        Api(node.url, node.admin_key) as operator,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as one,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as another,
    ):
        merchant = await a_merchant(operator)
        flooding, other = Browser(node.url, one), Browser(node.url, another)
        for browser in (flooding, other):
            await enter(browser, await a_link(operator, merchant))

        answers = await asyncio.gather(*(flooding.get("/endpoints") for _ in range(11)))

        assert 429 in {status for status, _ in answers}
        assert (await other.get("/endpoints"))[0] == 200


async def test_a_link_that_has_expired_or_never_was_signs_nobody_in(
    browser: Browser, operator: Api, database: Database
) -> None:
    link = await a_link(operator, await a_merchant(operator))
    async with database.session() as db:
        await db.conn.execute("UPDATE portal_links SET expires_at = now()")
    for path in (link, "/portal/nonsense"):
        assert (await browser.get(path))[0] == 410
    assert "API key" in (await browser.get("/endpoints"))[1]


async def test_who_may_only_look_changes_nothing_and_sees_no_secret(browser: Browser, operator: Api) -> None:
    merchant = await a_merchant(operator, webhook_url="https://shop.example/hooks")
    esim = await an_esim(operator, merchant.account, "test", ac="LPA:1$smdp.example$CANARY")
    await enter(browser, await a_link(operator, merchant, role="view"))
    status, text = await browser.get(f"/endpoints/{merchant.endpoint}")
    assert (status, "Disable" in text, "Secrets" in text) == (200, False, False)
    assert (await browser.get(f"/endpoints/{merchant.endpoint}/secrets"))[0] == 403
    assert (await browser.get(f"/esims/{esim['esim']}/qr"))[0] == 403
    [event] = (await operator.get(f"/v1/events?account={merchant.account}&mode=test&limit=1"))["data"]
    [delivery] = (await operator.get(f"/v1/deliveries?account={merchant.account}&mode=test&limit=1"))["data"]
    for path in (f"/events/{event['id']}", f"/deliveries/{delivery['id']}", f"/esims/{esim['esim']}"):
        status, text = await browser.get(path)
        assert (status, "smdpStatus" in text or "SM-DP" in text or "eSIM" in text) == (200, True)
        assert [word for word in ("CANARY", "/qr/esim_") if word in text] == []
    for path in (f"/endpoints/{merchant.endpoint}/disable", "/endpoints", f"/endpoints/{merchant.endpoint}/test"):
        assert (await browser.post(path))[0] == 403
    assert (await operator.get(f"/v1/endpoints/{merchant.endpoint}?account={merchant.account}&mode=test"))["enabled"]
    assert "API key" in (await browser.post("/sign-out"))[1]


async def test_who_may_only_look_sees_no_values_of_headers(browser: Browser, operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator)
    fields = {"url": receiver.url(), "headers": {"authorization": "Bearer CANARY"}}
    endpoint = await operator.post(f"/v1/endpoints?account={merchant.account}&mode=test", fields)
    await an_esim(operator, merchant.account, "test")
    delivery = await the_delivery(operator, merchant)
    await enter(browser, await a_link(operator, merchant, role="view"))

    status, text = await browser.get(f"/deliveries/{delivery}")

    assert (status, "authorization: \u2026\n" in text, "CANARY" in text) == (200, True, False)
    assert (await browser.get(f"/endpoints/{endpoint['id']}/edit"))[0] == 403
    await enter(browser, await a_link(operator, merchant, role="manage"))
    assert "authorization: Bearer CANARY" in (await browser.get(f"/deliveries/{delivery}"))[1]
    assert "authorization: Bearer CANARY" in (await browser.get(f"/endpoints/{endpoint['id']}/edit"))[1]


@pytest.mark.parametrize("role", ["view", "manage"])
async def test_the_story_of_an_esim_says_that_its_activation_code_changed_and_shows_none(
    browser: Browser, operator: Api, role: str
) -> None:
    merchant = await a_merchant(operator)
    unknown: Json = {"esimStatus": "PENDING", "iccid": None, "ac": None}
    ordered = await an_esim(operator, merchant.account, "test", transactionId="order-1", **unknown)
    made = await an_esim(operator, merchant.account, "test", transactionId="order-1", ac="LPA:1$smdp.example$CANARY")
    query = f"account={merchant.account}&mode=test"
    changes = (await operator.get(f"/v1/events/{made['events'][0]}?{query}"))["changes"]
    await enter(browser, await a_link(operator, merchant, role=role))

    status, text = await browser.get(f"/esims/{ordered['esim']}")

    assert changes["ac"] == {"old": None, "new": "LPA:1$smdp.example$CANARY"}
    assert (status, "ac <b>\u2013 \u2192 \u2026</b>" in text, "CANARY" in text) == (200, True, False)


async def test_sessions_are_listed_and_ended(browser: Browser, operator: Api) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    await enter(browser, await a_link(operator, merchant, role="view"))
    path = f"/v1/accounts/{merchant.account}/portal-sessions"
    [session] = (await operator.get(path))["data"]
    assert (session["role"], session["mode"], session["frame"]) == ("view", "test", False)
    elsewhere = f"/v1/accounts/{other.account}/portal-sessions"
    assert (await operator.get(elsewhere))["data"] == []
    is_problem(await operator.call("DELETE", f"{elsewhere}/{session['id']}"), 404)
    assert (await operator.call("DELETE", f"{path}/{session['id']}")).status == 204
    assert "API key" in (await browser.get("/endpoints"))[1]
    async with operator.as_key(merchant.key) as caller:
        is_problem(await caller.call("POST", f"/v1/accounts/{merchant.account}/portal-links", {"mode": "test"}), 403)


async def test_without_origins_no_link_is_made_for_a_frame_and_no_page_leads_elsewhere(operator: Api) -> None:
    path = f"/v1/accounts/{(await a_merchant(operator)).account}/portal-links"
    for body in ({"frame": True}, {"page": "//evil.example"}, {"page": "https://evil.example"}, {"expiresIn": 59}):
        is_problem(await operator.call("POST", path, {"mode": "test"} | body), 422)


@pytest.fixture
async def framing(settings: Settings) -> AsyncIterator[Api]:
    """A node whose pages may be framed by one origin."""
    async with (
        running(settings.model_copy(update={"frame_origins": (ORIGIN,)})) as node,
        Api(node.url, node.admin_key) as api,
    ):
        yield api


async def test_a_link_for_a_frame_works_only_in_a_frame_of_an_origin_that_may_show_it(framing: Api) -> None:
    merchant = await a_merchant(framing)
    link = await a_link(framing, merchant, frame=True)

    async def opened(method: str = "GET", **headers: str) -> tuple[int, str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            ClientSession() as session,
            session.request(method, framing.url + link, headers=named, allow_redirects=False) as answer,
        ):
            cookie, policy = answer.headers.get("set-cookie", ""), answer.headers.get("content-security-policy", "")
            return answer.status, cookie, policy

    assert (await opened(sec_fetch_dest="document", referer=f"{ORIGIN}/shop"))[0] == 403
    assert (await opened(sec_fetch_dest="iframe", referer="https://evil.example/"))[0] == 403
    assert (await opened("POST", sec_fetch_dest="document", origin=framing.url))[0] == 403
    status, _, policy = await opened(sec_fetch_dest="iframe", referer=f"{ORIGIN}/shop")
    assert (status, f"frame-ancestors {ORIGIN}" in policy) == (200, True)
    status, cookie, _ = await opened("POST", sec_fetch_dest="iframe", origin=framing.url)
    assert status == 303
    assert "HttpOnly; SameSite=None; Secure; Partitioned" in cookie
    status, _, policy = await opened(sec_fetch_dest="iframe", referer=f"{ORIGIN}/shop")
    assert (status, f"frame-ancestors {ORIGIN}" in policy) == (410, True)
    token = cookie.partition(";")[0]
    async with ClientSession() as session, session.get(framing.url + "/endpoints", headers={"cookie": token}) as page:
        assert f"frame-ancestors {ORIGIN}" in page.headers["content-security-policy"]
        assert "x-frame-options" not in page.headers


async def test_pages_wear_the_operators_name_colour_pictures_and_language(browser: Browser, operator: Api) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    pictures = {"logo": base64.b64encode(SVG).decode(), "favicon": base64.b64encode(PNG).decode()}
    await operator.call("PATCH", "/v1/branding", {"name": "Globetrotter", "language": "de"})
    answer = await operator.call(
        "PATCH", f"/v1/accounts/{merchant.account}/branding", {"accent": "#7a1f5c", "language": "es"} | pictures
    )
    assert answer.body == {"name": None, "accent": "#7a1f5c", "language": "es", "hasLogo": True, "hasFavicon": True}

    await enter(browser, await a_link(operator, merchant))
    _, text = await browser.get("/endpoints")
    assert ('lang="es"' in text, "Globetrotter" in text, "Destinos" in text) == (True, True, True)
    assert "esimhooks" not in re.sub(r"/static/\S+|esimhooks_\w+", "", text)
    files = re.findall(r"/branding/acc_\w+/\d+/\w+", text)
    assert len(set(files)) == 3
    for path in files:
        async with browser.session.get(browser.url + path) as file:
            assert (file.status, "sandbox" in file.headers["content-security-policy"]) == (200, True)
    await browser.sign_in(other.key)
    _, text = await browser.get("/endpoints")
    assert ('lang="de"' in text, "Endpunkte" in text, "/branding/" in text) == (True, True, False)
    await browser.post("/sign-out")
    assert "Globetrotter" in (await browser.get("/sign-in"))[1]
    assert (await operator.call("PATCH", "/v1/branding", {"name": None, "language": None})).status == 200
    await browser.sign_in(ADMIN_KEY)


@pytest.mark.parametrize(
    "body",
    [
        {"accent": "#ffee00"},
        {"accent": "red"},
        {"language": "fr"},
        {"logo": "no base64!"},
        {"logo": base64.b64encode(b"GIF89a").decode()},
        {"logo": base64.b64encode(SVG.replace(b"<rect", b"<script>alert(1)</script><rect")).decode()},
        {"logo": base64.b64encode(SVG.replace(b"<rect", b'<rect onload="alert(1)"')).decode()},
        {"logo": base64.b64encode(b"<!DOCTYPE svg [<!ENTITY a 'b'>]>" + SVG).decode()},
        {"favicon": base64.b64encode(PNG + bytes(66_000)).decode()},
    ],
)
async def test_a_branding_that_cannot_be_read_or_could_do_harm_is_refused(operator: Api, body: Json) -> None:
    is_problem(await operator.call("PATCH", "/v1/branding", body), 422)

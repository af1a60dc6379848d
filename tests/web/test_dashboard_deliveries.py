"""One delivery on the dashboard: what was answered and what is sent are shown as they are."""

import html
import re
import shlex

from api import Api, Merchant, a_merchant, eventually
from conftest import ADMIN_KEY
from receiver import Receiver
from web.rows import an_esim
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture
from web.test_providers import put


def read_on(page: str) -> str:
    """Return the text of a page, its lines kept."""
    return html.unescape(re.sub("<[^>]+>", "", page))


async def the_delivery(operator: Api, merchant: Merchant) -> str:
    """Return the id of the merchant's delivery as soon as it has had an attempt."""

    async def attempted() -> str | None:
        rows = (await operator.get(f"/v1/deliveries?account={merchant.account}&mode=test"))["data"]
        return rows[0]["id"] if rows and rows[0]["attemptCount"] else None

    return str(await eventually(attempted))


async def test_an_answer_with_half_a_character_is_shown_as_it_came(
    browser: Browser, operator: Api, receiver: Receiver
) -> None:
    receiver.answer(status=500, body=rb'{"message":"a\ud800b \ud83d\ude00"}')
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await an_esim(operator, merchant.account, "test")
    delivery = await the_delivery(operator, merchant)
    await browser.sign_in(merchant.key)

    status, text = await browser.get(f"/deliveries/{delivery}")

    assert status == 200, text
    assert r'"message": "a\ud800b 😀"' in read_on(text)


async def test_a_notification_with_half_a_character_is_shown_as_it_came(browser: Browser, operator: Api) -> None:
    path = (await put(operator))["inboundUrl"].removeprefix(operator.url)
    await operator.raw("POST", path, rb'{"notifyType": "\udc00"}', content_type="application/json")
    [entry] = (await operator.get("/v1/notifications"))["data"]
    await browser.sign_in(ADMIN_KEY)

    status, text = await browser.get(f"/journal/{entry['id']}")

    assert status == 200, text
    assert r'"notifyType": "\udc00"' in read_on(text)


async def test_what_is_sent_is_shown_without_credentials_where_the_endpoint_wants_none(
    browser: Browser, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator)
    fields = {"url": receiver.url(), "redactCredentials": True}
    await operator.post(f"/v1/endpoints?account={merchant.account}&mode=test", fields)
    await an_esim(operator, merchant.account, "test", ac="LPA:1$smdp.example.com$CANARY-0001")
    delivery = await the_delivery(operator, merchant)
    await browser.sign_in(merchant.key)

    _, text = await browser.get(f"/deliveries/{delivery}")

    [request] = await receiver.wait_for(1)
    assert "CANARY" not in text
    assert f"--data-binary {shlex.quote(request.body.decode())}" in read_on(text)


async def test_the_endpoints_own_headers_and_those_of_its_profile_are_shown(
    browser: Browser, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator)
    fields = {"url": receiver.url(), "headers": {"X-Shop": "it's"}, "signatureProfile": "hex"}
    await operator.post(f"/v1/endpoints?account={merchant.account}&mode=test", fields)
    await an_esim(operator, merchant.account, "test")
    delivery = await the_delivery(operator, merchant)
    await browser.sign_in(merchant.key)

    shown = read_on((await browser.get(f"/deliveries/{delivery}"))[1])

    [request] = await receiver.wait_for(1)
    ours = {"host", "content-length", "accept", "accept-encoding", "connection"}
    for name, value in request.headers.items():
        if name.endswith("-signature"):
            assert f"{name}: (created for each attempt, not stored)" in shown
        elif name.endswith("-timestamp"):
            assert re.search(rf"^{name}: \d+$", shown, re.MULTILINE)
        elif name not in ours:
            assert f"{name}: {value}\n" in shown
            assert f"-H {shlex.quote(f'{name}: {value}')}" in shown


async def test_a_span_that_ends_now_filters_and_stays_in_the_address_of_older_rows(
    browser: Browser, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await an_esim(operator, merchant.account, "test")
    await browser.sign_in(merchant.key)
    for path in ("/deliveries", "/events", "/audit"):
        status, text = await browser.get(f"{path}?last=1h")
        assert (status, '<option value="1h" selected>last hour</option>' in text) == (200, True)
    assert "dlv_" in (await browser.get("/deliveries?last=15min"))[1]
    status, text = await browser.get("/deliveries?last=2h")
    assert (status, "expected one of 15min, 1h, 24h, 7d, 30d" in text) == (422, True)


async def test_presets_say_how_many_there_are_and_lead_to_these(
    browser: Browser, operator: Api, receiver: Receiver
) -> None:
    merchant, other = await a_merchant(operator, webhook_url=receiver.url()), await a_merchant(operator)
    query = f"?account={merchant.account}&mode=test"
    for name, schedule in (("tries again", [0, 3600]), ("gives up", [0])):
        receiver.answer(f"/{name[0]}", status=500)
        body = {"url": receiver.url(f"/{name[0]}"), "name": name, "retrySchedule": schedule}
        await operator.post(f"/v1/endpoints{query}", body)
    await an_esim(operator, merchant.account, "test")

    async def all_attempted() -> bool:
        rows = (await operator.get(f"/v1/deliveries{query}"))["data"]
        return sorted(row["status"] for row in rows if row["attemptCount"]) == ["delivered", "failed", "pending"]

    await eventually(all_attempted)
    await browser.sign_in(merchant.key)
    _, text = await browser.get("/deliveries")
    presets = dict(re.findall(r'href="/deliveries\?(\S+)">[\w ]+ <b class="count">(\d+)</b>', text))
    assert presets == {"status=retrying": "1", "status=failed": "1", "failed=yes": "2"}
    for preset, number in presets.items():
        _, text = await browser.get(f"/deliveries?{preset}")
        assert len(set(re.findall(r"/deliveries/dlv_\w+", text))) == int(number)
    await browser.sign_in(other.key)
    assert '<b class="count">0</b>' in (await browser.get("/deliveries"))[1]

"""The overview: what fails is on it however old it is, and where it does not show all it says so."""

import re

from api import Api, a_merchant, eventually
from conftest import ADMIN_KEY
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import Mode
from receiver import Receiver
from store.test_overview_stats import newer_endpoints
from system.stored_lanes import Lane
from web.rows import an_esim
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture
from web.test_providers import put


async def test_an_endpoint_that_is_gone_is_shown_behind_many_newer_ones_that_fail(
    browser: Browser, operator: Api, receiver: Receiver, database: Database
) -> None:
    receiver.answer(status=410)
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await an_esim(operator, merchant.account, "test")
    path = f"/v1/endpoints/{merchant.endpoint}?account={merchant.account}&mode=test"

    async def gone() -> bool:
        return bool((await operator.get(path))["disabledReason"] == "gone")

    await eventually(gone)
    tenant = Tenant(parse_id(Prefix.ACCOUNT, merchant.account), Mode.TEST)
    await newer_endpoints(database, Lane(tenant, parse_id(Prefix.ENDPOINT, merchant.endpoint or ""), []), failures=1)
    for key in (merchant.key, ADMIN_KEY):
        await browser.sign_in(key)
        _, text = await browser.get("/")
        assert f"/endpoints/{merchant.endpoint}" in text
        assert "20+ endpoints are not healthy" in text
        assert "There are more" in text
        _, text = await browser.get("/?troubles=all")
        assert "There are more" not in text
        assert len(re.findall('<li class="trouble', text)) > 50


async def test_a_provider_whose_notifications_cannot_be_read_is_on_the_operators_first_page_alone(
    browser: Browser, operator: Api
) -> None:
    merchant = await a_merchant(operator)
    path = (await put(operator))["inboundUrl"].removeprefix(operator.url)
    await operator.raw("POST", path, b"no JSON", content_type="application/json")
    await browser.sign_in(ADMIN_KEY)
    _, text = await browser.get("/")
    assert "1 provider is not healthy" in text
    assert "could not be read" in text
    status, page = await browser.get("/providers/upstream/health")
    assert (status, "invalid" in page, "Last seen" in page) == (200, True, True)
    assert 'href="/providers/upstream/health"' in (await browser.get("/providers"))[1]
    assert (await browser.get("/providers/other/health"))[0] == 404
    await browser.sign_in(merchant.key)
    assert "provider is not healthy" not in (await browser.get("/"))[1]
    assert (await browser.get("/providers"))[0] == 403

"""The overview: what fails is on it however old it is, and where it does not tell all it says so."""

from api import Api, a_merchant, eventually
from conftest import ADMIN_KEY
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import Mode
from receiver import Receiver
from store.test_overview_figures import newer_endpoints
from system.stored_lanes import Lane
from web.rows import an_esim
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture


async def test_an_endpoint_that_is_gone_is_told_behind_many_newer_ones_that_fail(
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
        assert "There are more" in text

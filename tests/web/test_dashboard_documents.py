"""A provider's document on the dashboard: versions with what changed, and another one tried on what came in."""

import json

from api import Api, a_merchant
from conftest import ADMIN_KEY
from web.test_dashboard import HOSTILE, Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture

DOCUMENT = 'name = "Acme"\n[[rule]]\nname = "s"\nwhen = "state"\nset.key = "sim"\nset.status = {path = "state", table = {live = "IN_USE"}}\n'
PAGE = "/providers/upstream/document"


async def put(operator: Api, document: str) -> str:
    made = await operator.put("/v1/providers/upstream", {"kind": "mapping", "settings": {"document": document}})
    path: str = made["inboundUrl"].removeprefix(operator.url)
    return path


async def test_a_document_is_tried_on_what_came_in_and_nothing_changes(browser: Browser, operator: Api) -> None:
    inbound = await put(operator, DOCUMENT)
    await operator.raw("POST", inbound, json.dumps({"sim": HOSTILE, "mode": "live"}).encode())
    await browser.sign_in(ADMIN_KEY)

    status, page = await browser.post(PAGE, document=DOCUMENT.replace("state", "mode").replace("\n", "\r\n"))

    assert status == 200
    assert "1 of 1 differ" in page
    assert "status=IN_USE" in page
    assert HOSTILE not in page
    assert (await operator.get("/v1/providers/upstream/documents"))["data"][0]["version"] == 1
    assert (await operator.get("/v1/notifications"))["data"][0]["outcome"] == "invalid"


async def test_a_wrong_document_is_reported_with_its_paths(browser: Browser, operator: Api) -> None:
    await put(operator, DOCUMENT)
    await browser.sign_in(ADMIN_KEY)

    status, page = await browser.post(
        PAGE, document=DOCUMENT.replace('"state"\nset', '"sort(state)"\nset') + "#" * 20_000
    )

    assert status == 200
    assert "/settings/document/rule/0/when: expected only the functions" in page


async def test_versions_are_shown_with_what_changed_to_operators_only(browser: Browser, operator: Api) -> None:
    await put(operator, DOCUMENT)
    await put(operator, DOCUMENT.replace("live", "on"))
    await browser.sign_in(ADMIN_KEY)

    status, page = await browser.get(PAGE)

    assert status == 200
    assert "+set.status = {path = &#34;state&#34;, table = {on = &#34;IN_USE&#34;}}" in page
    assert (await browser.get("/providers/other/document"))[0] == 404
    merchant = await a_merchant(operator)
    await browser.sign_in(merchant.key)
    assert (await browser.get(PAGE))[0] == 403

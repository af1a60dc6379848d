"""QR codes: for who has a key, and at the address that webhooks carry where the provider has no picture."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from api import Api, Json, a_merchant
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from reserved_port import ReservedPort

CODE = "LPA:1$smdp.example.com$CODE-0001"


@pytest.fixture
async def public(settings: Settings) -> AsyncIterator[Api]:
    """The API of a node that knows the address under which the world reaches it."""
    with ReservedPort() as port:
        reached = settings.model_copy(update={"port": port.number})
        async with running(reached) as node, Api(node.url, node.admin_key) as api:
            yield api


async def an_esim(operator: Api, **fields: Json) -> tuple[str, Json]:
    merchant = await a_merchant(operator)
    tenant = f"account={merchant.account}&mode=test"
    await send_update(operator, tenant, **fields)
    [esim] = (await operator.get(f"/v1/esims?{tenant}"))["data"]
    return tenant, esim


async def send_update(operator: Api, tenant: str, **fields: Json) -> None:
    update = {"transactionId": "t-1", "esimStatus": "CREATED"} | fields
    account = tenant.partition("&")[0].removeprefix("account=")
    await operator.post("/v1/updates", {"account": account, "mode": "test", "updates": [update]}, status=200)


async def got(url: str, **headers: str) -> tuple[int, bytes]:
    async with ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.read()


async def test_the_address_in_webhooks_shows_the_code_to_who_has_it_and_to_nobody_else(public: Api) -> None:
    tenant, esim = await an_esim(public, ac=CODE)

    address = esim["qrCodeUrl"]
    status, picture = await got(address)

    assert address.startswith(f"{public.url}/qr/{esim['id']}/")
    assert (status, picture[:8]) == (200, b"\x89PNG\r\n\x1a\n")
    assert await got(f"{public.url}/v1/esims/{esim['id']}/qr.png?{tenant}", authorization=f"Bearer {public.key}") == (
        200,
        picture,
    )
    start, _, token = address.removesuffix(".png").rpartition("/")
    for wrong in (f"{start}/{token[:-1]}.png", f"{start}/.png", f"{start}/{token}", f"{start}/{token}x.png"):
        assert (await got(wrong))[0] == 404
    assert (await got(f"{public.url}/v1/esims/{esim['id']}/qr.png"))[0] == 401


async def test_the_address_stays_while_the_code_changes_and_goes_with_the_providers_picture(public: Api) -> None:
    tenant, before = await an_esim(public, ac=CODE)

    await send_update(public, tenant, ac=f"{CODE}-NEW")
    changed = await public.get(f"/v1/esims/{before['id']}?{tenant}")
    await send_update(public, tenant, qrCodeUrl="https://provider.example/p.png")
    replaced = await public.get(f"/v1/esims/{before['id']}?{tenant}")

    assert changed["qrCodeUrl"] == before["qrCodeUrl"]
    assert replaced["qrCodeUrl"] == "https://provider.example/p.png"
    assert (await got(before["qrCodeUrl"]))[0] == 404


async def test_an_esim_without_a_code_has_no_picture(public: Api) -> None:
    tenant, esim = await an_esim(public)

    answer = await public.call("GET", f"/v1/esims/{esim['id']}/qr.png?{tenant}")

    assert esim["qrCodeUrl"] is None
    assert (answer.status, answer.body["detail"]) == (404, "the eSIM has no activation code")

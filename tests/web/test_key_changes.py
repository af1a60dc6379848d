"""Changes of a key: what is named and nothing else, at once, and its webhook URL, which is its endpoint's."""

import pytest

from api import Api, Json, a_merchant
from receiver import Receiver
from web.routes import is_field, is_problem
from web.rows import an_esim


async def the_key(operator: Api, account: str) -> Json:
    [key] = (await operator.get(f"/v1/accounts/{account}/keys"))["data"]
    return key


async def changed(operator: Api, account: str, **fields: Json) -> Json:
    key = await the_key(operator, account)
    answer = await operator.call("PATCH", f"/v1/accounts/{account}/keys/{key['id']}", fields)
    assert answer.status == 200, answer
    return answer.body


async def test_what_is_named_changes_and_nothing_else(operator: Api) -> None:
    merchant = await a_merchant(operator)
    before = await the_key(operator, merchant.account)

    await changed(operator, merchant.account, name="new", expiresAt="2999-01-01T00:00:00Z")
    after = await the_key(operator, merchant.account)
    assert after == before | {"name": "new", "expiresAt": "2999-01-01T00:00:00.000Z"}
    assert (await changed(operator, merchant.account, expiresAt=None))["expiresAt"] is None
    assert await changed(operator, merchant.account) == before | {"name": "new", "endpoint": None}


async def test_allowed_addresses_and_expiry_count_at_once(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as api:
        assert (await api.call("GET", "/v1/esims")).status == 200
        await changed(operator, merchant.account, allowedIps=["203.0.113.0/24"])
        assert (await api.call("GET", "/v1/esims")).status == 403
        await changed(operator, merchant.account, allowedIps=None, expiresAt="2020-01-01T00:00:00Z")
        assert (await api.call("GET", "/v1/esims")).status == 401


async def test_a_webhook_url_makes_an_endpoint_once_and_then_moves_it(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator)
    made = await changed(operator, merchant.account, webhookUrl=receiver.url("/first"))
    assert made["endpoint"]["secret"].startswith("whsec_")

    moved = await changed(operator, merchant.account, webhookUrl=receiver.url("/second"))
    assert (moved["endpoint"], moved["endpointId"]) == (None, made["endpoint"]["id"])
    await an_esim(operator, merchant.account, "test")
    [received] = await receiver.wait_for(1)
    assert received.path == "/second"


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("name", None, "/name"),
        ("webhookUrl", None, "/webhookUrl"),
        ("webhookUrl", "http://10.0.0.1/", "/webhookUrl"),
        ("allowedIps", ["x"], "/allowedIps/0"),
        ("mode", "live", "/mode"),
    ],
)
async def test_what_does_not_fit_changes_nothing(field: str, value: Json, pointer: str, operator: Api) -> None:
    merchant = await a_merchant(operator)
    key = await the_key(operator, merchant.account)
    path = f"/v1/accounts/{merchant.account}/keys/{key['id']}"

    is_field(await operator.call("PATCH", path, {field: value}), pointer)
    assert await the_key(operator, merchant.account) == key


async def test_the_key_of_another_account_is_a_404(operator: Api) -> None:
    merchant, other = await a_merchant(operator), await a_merchant(operator)
    key = await the_key(operator, merchant.account)

    is_problem(await operator.call("PATCH", f"/v1/accounts/{other.account}/keys/{key['id']}", {"name": "x"}), 404)

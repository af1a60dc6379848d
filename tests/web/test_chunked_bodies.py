"""Updates and notifications are answered the same whether their body comes whole or in chunks."""

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from api import Api, Json, Merchant, a_merchant

UPDATE = {"transactionId": "shop-1", "esimStatus": "IN_USE"}
BODIES = {
    "one update": {"updates": [UPDATE]},
    "an unknown field": {"updates": [UPDATE], "more": 1},
    "an update that is none": {"updates": [{"esimStatus": "LOST"}]},
    "no updates": {"updates": []},
    "a mode that is none": {"updates": [UPDATE], "mode": "dry"},
    "an account that is none": {"updates": [UPDATE], "account": "acc_1", "mode": "test"},
    "no object": [UPDATE],
}
BYTES = {name: json.dumps(body).encode() for name, body in BODIES.items()} | {
    "no JSON": b"{",
    "a key twice": b'{"updates": [], "updates": []}',
    "no UTF-8": b'{"updates": ["\xff"]}',
    "NaN": b'{"updates": [NaN]}',
    "nothing": b"",
}
PATHS = ("/v1/updates", "/v1/updates/", "/v1/updates?x=1", "/v1//updates", "/V1/updates")


@pytest.fixture
async def merchant(operator: Api) -> Merchant:
    return await a_merchant(operator)


async def post_body(
    api: Api, path: str, body: bytes, *, in_chunks: bool, key: str | None, **headers: str
) -> tuple[int, dict[str, str], Json]:
    """Return status, headers and body of an answer."""
    sent_headers = {"content-type": "application/json"} | ({} if key is None else {"x-api-key": key}) | headers

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    sent = chunks() if in_chunks else body
    async with ClientSession() as session, session.post(api.url + path, data=sent, headers=sent_headers) as answer:
        text = await answer.text()
        return answer.status, dict(answer.headers), json.loads(text) if text else None


async def both(api: Api, path: str, body: bytes, *, key: str | None, **headers: str) -> None:
    await post_body(api, path, body, in_chunks=True, key=key, **headers)  # so that both of the others are repetitions
    whole = await post_body(api, path, body, in_chunks=False, key=key, **headers)
    chunked = await post_body(api, path, body, in_chunks=True, key=key, **headers)
    assert _without_ids(whole) == _without_ids(chunked)


@pytest.mark.parametrize("body", BYTES.values(), ids=BYTES)
async def test_an_update_is_answered_the_same_whole_and_in_chunks(
    operator: Api, merchant: Merchant, body: bytes
) -> None:
    for key in (operator.key, merchant.key, "esim_admin_x", None):
        await both(operator, "/v1/updates", body, key=key)


@pytest.mark.parametrize("path", PATHS)
async def test_paths_and_forms_are_answered_the_same_whole_and_in_chunks(operator: Api, path: str) -> None:
    body = json.dumps({"updates": [UPDATE]}).encode()
    await both(operator, path, body, key=operator.key)
    for kind in ("text/plain", "application/json; charset=utf-8", "application/merge-patch+json", "APPLICATION/JSON"):
        await both(operator, path, body, key=operator.key, **{"content-type": kind})


async def test_a_notification_is_answered_the_same_whole_and_in_chunks(operator: Api) -> None:
    provider = {"kind": "esimaccess", "baseUrl": "http://127.0.0.1:1", "credentials": {"accessCode": "code"}}
    made = (await operator.call("PUT", "/v1/providers/upstream", provider)).body
    inbound = made["inboundUrl"].removeprefix(operator.url)
    notification = {"notifyType": "ORDER_STATUS", "notifyId": "n", "content": {"orderNo": "B1"}}
    for body in (b"{", b"nothing", json.dumps(notification).encode(), json.dumps({"notifyType": "CHECK"}).encode()):
        for path in (inbound, inbound + "x", "/providers/other/token", inbound + "?a=1", inbound.replace("up", "%75p")):
            await both(operator, path, body, key=None)


async def test_what_came_in_chunks_is_in_the_journal_like_all_else(operator: Api) -> None:
    for in_chunks in (False, True):
        body = json.dumps({"updates": [{"transactionId": f"shop-{in_chunks}", "esimStatus": "IN_USE"}]}).encode()
        await post_body(operator, "/v1/updates", body, in_chunks=in_chunks, key=operator.key, **{"x-more": "kept"})

    listed = (await operator.call("GET", "/v1/notifications")).body["data"]
    shown = [(await operator.call("GET", f"/v1/notifications/{one['id']}")).body for one in listed]
    names = [{name.lower() for name in one["headers"]} - {"content-length", "transfer-encoding"} for one in shown]
    assert len(names) == 2
    assert names[0] == names[1]
    assert "x-more" in names[0]
    assert "x-api-key" not in names[0]


def _without_ids(answer: tuple[int, dict[str, str], Json]) -> object:
    status, headers, body = answer
    kept = {name.lower(): value for name, value in headers.items()}
    kept.pop("content-length", None)
    kept.pop("date", None)
    if status == 200:
        body = [(one["outcome"], one.get("detail")) for one in body.get("results", [body])]
    return status, kept, body

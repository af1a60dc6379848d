"""Signatures of notifications: some are signed; a right one needs no confirmation, a wrong one is refused."""

import json

import pytest
from aiohttp import ClientSession

from api import Answer, Api, Json
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.providers import registry
from esimhooks.server.providers.esimaccess_api import Signing
from esimhooks.server.providers.port import Provider, ProviderConfig
from upstream import Shop, a_shop, esim_status

SIGNING = Signing(access_code="code-1", secret_key="secret-1")
ACCOUNT = {"accessCode": "code-1", "secretKey": "secret-1"}
BODY = b'{"notifyType": "CHECK_HEALTH"}'


async def pace() -> None: ...


def built(session: ClientSession, **credentials: str) -> Provider:
    config = ProviderConfig(name="esims", kind="esimaccess", credentials=credentials)
    return registry.build(config, session, pace)


def signed(body: bytes = BODY, /, **changed: str) -> InboundRequest:
    signature = SIGNING.signature(timestamp="1776859200000", request_id="r-1", body=body)
    headers = {"rt-timestamp": "1776859200000", "rt-requestid": "r-1", "rt-signature": signature}
    named = {name.replace("_", "-"): value for name, value in changed.items()}
    return InboundRequest(method="POST", path="", query="", headers=headers | named, body=body, peer="127.0.0.1")


async def test_a_right_signature_proves_a_notification(session: ClientSession) -> None:
    provider = built(session, **ACCOUNT)

    assert provider.verify(signed())
    assert provider.verify(signed(rt_signature=signed().headers["rt-signature"].upper()))


@pytest.mark.parametrize(
    "changed",
    [
        {"rt_signature": "0" * 64},
        {"rt_signature": "é"},
        {"rt_timestamp": "1776859200001"},
        {"rt_requestid": ""},
    ],
)
async def test_a_wrong_signature_is_unauthenticated(session: ClientSession, changed: dict[str, str]) -> None:
    with pytest.raises(Refused, match="RT-Signature") as raised:
        built(session, **ACCOUNT).verify(signed(BODY, **changed))

    assert raised.value.status == 401


async def test_without_a_signature_or_a_key_to_check_it_nothing_is_proven(session: ClientSession) -> None:
    assert not built(session, **ACCOUNT).verify(signed(rt_signature=""))
    assert not built(session, accessCode="code-1").verify(signed(rt_signature="0" * 64))
    assert not built(session).verify(signed(rt_signature="0" * 64))


async def test_what_stands_in_the_query_is_not_proven_by_the_signature_of_an_empty_body(
    session: ClientSession,
) -> None:
    assert not built(session, **ACCOUNT).verify(signed(b""))


async def notify_revoked(operator: Api, shop: Shop, **changed: str) -> tuple[Answer, Json]:
    """Tell of a revoked eSIM of a provider that cannot be reached; return the answer and the eSIM afterwards."""
    body: Json = {"kind": "esimaccess", "baseUrl": "http://127.0.0.1:9", "credentials": ACCOUNT}
    made = await operator.put("/v1/providers/upstream", body)
    esim = {"transactionId": "t-1", "esimTranNo": "k-1", "esimStatus": "IN_USE", "provider": "upstream"}
    [result] = await shop.update(esim)
    request = signed(json.dumps(esim_status("k-1", "REVOKED")).encode(), **changed)
    path = made["inboundUrl"].removeprefix(operator.url)
    answer = await operator.raw("POST", path, request.body, **request.headers)
    return answer, await shop.esim(result["esim"])


async def test_a_signed_end_is_believed_while_the_provider_cannot_be_queried(operator: Api) -> None:
    answer, esim = await notify_revoked(operator, await a_shop(operator))

    assert answer.body["outcome"] == "applied"
    assert esim["esimStatus"] == "REVOKED"


async def test_an_unsigned_end_waits_for_the_provider(operator: Api) -> None:
    answer, esim = await notify_revoked(operator, await a_shop(operator), rt_signature="")

    assert answer.body["outcome"] == "waiting"
    assert esim["esimStatus"] == "IN_USE"


async def test_a_wrong_signature_leaves_no_trace(operator: Api) -> None:
    answer, esim = await notify_revoked(operator, await a_shop(operator), rt_signature="0" * 64)

    assert answer.status == 401
    assert esim["esimStatus"] == "IN_USE"
    assert (await operator.get("/v1/notifications?source=upstream"))["data"] == []

"""Signature profiles and redaction, as a receiver sees them: every request verifies with the public package."""

import base64
import hashlib
import hmac
import json

import pytest
import svix.webhooks
from standardwebhooks.webhooks import Webhook as PublicWebhook

from api import Api, Json, a_merchant
from esimhooks import Webhook
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.signing import is_hex_signed
from receiver import Received, Receiver

ACTIVATION_CODE = "LPA:1$smdp.example.com$CANARY-0001"


async def an_endpoint(operator: Api, receiver: Receiver, **fields: Json) -> tuple[str, Json]:
    merchant = await a_merchant(operator)
    tenant = f"account={merchant.account}&mode=test"
    return tenant, await operator.post(f"/v1/endpoints?{tenant}", {"url": receiver.url()} | fields)


async def sent(operator: Api, receiver: Receiver, tenant: str, *, status: str = "CREATED") -> Received:
    account = tenant.partition("&")[0].removeprefix("account=")
    update = {"transactionId": "t-1", "esimStatus": status, "ac": ACTIVATION_CODE, "shortUrl": "https://p.example/abc"}
    body = {"account": account, "mode": "test", "updates": [update]}
    before = len(receiver.received)
    await operator.post("/v1/updates", body, status=200)
    await receiver.wait_for(before + 1)
    return receiver.received[before]


@pytest.mark.parametrize("profile", ["standard", "standard-asymmetric", "hex", "svix", "convoy"])
async def test_every_profile_verifies_with_the_public_package(operator: Api, receiver: Receiver, profile: str) -> None:
    tenant, endpoint = await an_endpoint(operator, receiver, signatureProfile=profile)

    request = await sent(operator, receiver, tenant)

    assert endpoint["signatureProfile"] == profile
    PublicWebhook(endpoint["secret"]).verify(request.body, request.headers)
    has_brand = [name for name in request.headers if name.lower().startswith("x-esimhooks-")]
    assert len(has_brand) == (4 if profile == "hex" else 0)
    assert ("v1a," in request.headers["webhook-signature"]) == (profile == "standard-asymmetric")


async def test_a_public_key_alone_verifies_and_survives_a_rotation(operator: Api, receiver: Receiver) -> None:
    tenant, endpoint = await an_endpoint(operator, receiver, signatureProfile="standard-asymmetric")
    path = f"/v1/endpoints/{endpoint['id']}"

    first = await sent(operator, receiver, tenant)
    rotated = await operator.post(f"{path}/rotate-secret?{tenant}", {}, status=200)
    second = await sent(operator, receiver, tenant, status="IN_USE")

    assert endpoint["publicKey"].startswith("whpk_")
    assert rotated["publicKey"] not in (None, endpoint["publicKey"])
    assert [old["publicKey"] for old in rotated["oldPublicKeys"]] == [endpoint["publicKey"]]
    assert "whsk_" not in json.dumps([endpoint, rotated])
    for key, request in (
        (endpoint["publicKey"], first),
        (endpoint["publicKey"], second),
        (rotated["publicKey"], second),
    ):
        assert Webhook(key).verify(request.body, request.headers).id == request.headers["webhook-id"]


async def test_the_hex_profile_is_named_after_the_operator(settings: Settings, receiver: Receiver) -> None:
    branded = settings.model_copy(update={"brand": "Acme-SIM"})
    async with running(branded) as node, Api(node.url, node.admin_key) as operator:
        tenant, endpoint = await an_endpoint(operator, receiver, signatureProfile="hex")

        request = await sent(operator, receiver, tenant)

    headers = {name.lower(): value for name, value in request.headers.items()}
    assert is_hex_signed(headers["x-acme-sim-signature"], [endpoint["secret"]], request.body)
    assert headers["x-acme-sim-event"] == "esim.created"
    assert headers["x-acme-sim-event-id"] == headers["webhook-id"]
    assert headers["x-acme-sim-timestamp"] == headers["webhook-timestamp"]


async def test_a_receiver_with_the_library_of_svix_goes_on_unchanged_with_its_old_secret(
    operator: Api, receiver: Receiver
) -> None:
    old_secret = "whsec_" + base64.b64encode(b"24 bytes, as Svix makes them").decode()
    tenant, _ = await an_endpoint(operator, receiver, signatureProfile="svix", secret=old_secret)

    request = await sent(operator, receiver, tenant)

    of_svix = {name: value for name, value in request.headers.items() if name.lower().startswith("svix-")}
    assert sorted(of_svix) == ["svix-id", "svix-signature", "svix-timestamp"]
    svix.webhooks.Webhook(old_secret).verify(request.body, of_svix)
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        svix.webhooks.Webhook(old_secret).verify(request.body + b" ", of_svix)


CONVOY_KEY = "Vuk5LM0uujddIsqO5v_eSuz88"


def signed_as_convoy_does(signed: bytes, key: str = CONVOY_KEY) -> str:
    return hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()


async def test_a_receiver_of_convoys_simple_signatures_goes_on_unchanged_with_its_old_secret(
    operator: Api, receiver: Receiver
) -> None:
    old_secret = "whsec_" + base64.b64encode(CONVOY_KEY.encode()).decode()
    tenant, _ = await an_endpoint(operator, receiver, signatureProfile="convoy", secret=old_secret)

    request = await sent(operator, receiver, tenant)

    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["x-convoy-signature"] == signed_as_convoy_does(request.body)
    assert headers["x-convoy-idempotency-key"] == headers["webhook-id"]


async def test_convoys_advanced_signature_has_the_time_and_one_signature_of_each_secret(
    operator: Api, receiver: Receiver
) -> None:
    old_secret = "whsec_" + base64.b64encode(CONVOY_KEY.encode()).decode()
    tenant, endpoint = await an_endpoint(operator, receiver, signatureProfile="convoy-advanced", secret=old_secret)
    new_key = "a key of 25 bytes or more"
    new_secret = "whsec_" + base64.b64encode(new_key.encode()).decode()
    path = f"/v1/endpoints/{endpoint['id']}/rotate-secret?{tenant}"

    await operator.post(path, {"secret": new_secret}, status=200)
    request = await sent(operator, receiver, tenant)

    headers = {name.lower(): value for name, value in request.headers.items()}
    seconds = headers["webhook-timestamp"]
    signed = f"{seconds},".encode() + request.body
    new, old = signed_as_convoy_does(signed, new_key), signed_as_convoy_does(signed)
    assert headers["x-convoy-signature"] == f"t={seconds},v1={new},v1={old}"


async def test_credentials_are_left_out_of_every_attempt_where_the_endpoint_wants_it(
    operator: Api, receiver: Receiver
) -> None:
    tenant, endpoint = await an_endpoint(operator, receiver, redactCredentials=True, retrySchedule=[0, 0])
    receiver.answer(status=500)

    first = await sent(operator, receiver, tenant)
    await receiver.wait_for(2)

    assert endpoint["redactCredentials"] is True
    assert receiver.received[1].body == first.body
    assert {"ac", "qrCodeUrl", "shortUrl"}.isdisjoint(json.loads(first.body)["data"])
    PublicWebhook(endpoint["secret"]).verify(first.body, first.headers)


async def test_an_unknown_profile_is_refused(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator)

    answer = await operator.call(
        "POST",
        f"/v1/endpoints?account={merchant.account}&mode=test",
        {"url": receiver.url(), "signatureProfile": "none"},
    )

    assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "/signatureProfile")

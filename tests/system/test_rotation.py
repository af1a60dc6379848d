"""Rotating a secret: who signs while two are valid, and after a leak (wire, "Request to an endpoint")."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import svix
from standardwebhooks import Webhook, WebhookVerificationError

from api import Api
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.store import endpoints
from esimhooks.server.store.database import Database
from esimhooks.signing import hex_signature
from receiver import Received, Receiver
from system.sent_webhooks import Endpoint, an_endpoint, an_event, in_status
from web.routes import is_field, is_problem


async def sent(merchant: Api, receiver: Receiver) -> Received:
    """Raise an event and return the request that it came to."""
    await in_status(merchant, await an_event(merchant), "delivered")
    return receiver.received[-1]


async def rotated(merchant: Api, endpoint: Endpoint, **body: int) -> str:
    """Rotate and return the new secret."""
    answer = await merchant.post(f"/v1/endpoints/{endpoint.id}/rotate-secret", body, status=200)
    return str(answer["secret"])


def verifies(secret: str, request: Received) -> bool:
    """Whether both public verifiers take the request; they must agree."""
    try:
        Webhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        with pytest.raises(svix.webhooks.WebhookVerificationError):
            svix.Webhook(secret).verify(request.body, request.headers)
        return False
    svix.Webhook(secret).verify(request.body, request.headers)
    return True


async def test_both_secrets_sign_for_a_day_the_newest_first(merchant: Api, receiver: Receiver) -> None:
    endpoint = await an_endpoint(merchant, receiver.url())
    new = await rotated(merchant, endpoint)
    request = await sent(merchant, receiver)

    assert verifies(new, request)
    assert verifies(endpoint.secret, request)
    first = request.headers | {"webhook-signature": request.headers["webhook-signature"].split(" ")[0]}
    Webhook(new).verify(request.body, first)
    shown = await merchant.get(f"/v1/endpoints/{endpoint.id}/secret")
    assert shown["secret"] == new
    assert [old["secret"] for old in shown["oldSecrets"]] == [endpoint.secret]


async def test_after_a_leak_only_the_new_secret_signs(merchant: Api, receiver: Receiver) -> None:
    endpoint = await an_endpoint(merchant, receiver.url())
    await sent(merchant, receiver)
    new = await rotated(merchant, endpoint, expireOldIn=0)
    request = await sent(merchant, receiver)

    assert verifies(new, request)
    assert not verifies(endpoint.secret, request)
    assert await merchant.get(f"/v1/endpoints/{endpoint.id}/secret") == {
        "secret": new,
        "oldSecrets": [],
        "publicKey": None,
        "oldPublicKeys": [],
    }


async def test_an_old_secret_ends_by_itself(merchant: Api, receiver: Receiver, database: Database) -> None:
    endpoint = await an_endpoint(merchant, receiver.url())
    new = await rotated(merchant, endpoint)
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoint_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
    request = await sent(merchant, receiver)

    assert verifies(new, request)
    assert not verifies(endpoint.secret, request)


async def test_the_newest_secret_is_first_also_where_the_clock_of_another_node_was_ahead(
    merchant: Api, receiver: Receiver, database: Database
) -> None:
    endpoint = await an_endpoint(merchant, receiver.url(), signatureProfile="hex")
    ahead = UUID(int=first_id_of(datetime.now(UTC) + timedelta(minutes=1)).int + (7 << 76) + (2 << 62))
    async with database.transaction() as db:  # as a node would have made it whose clock is a minute ahead
        await db.conn.execute(
            "UPDATE endpoint_secrets SET id = $1, sealed_secret = $2",
            ahead,
            db.cipher.encrypt(endpoint.secret.encode(), row=endpoints.secret_row(ahead)),
        )
    new = await rotated(merchant, endpoint)
    request = await sent(merchant, receiver)
    shown = await merchant.get(f"/v1/endpoints/{endpoint.id}/secret")

    assert request.headers["x-esimhooks-signature"] == hex_signature(new, request.body)
    assert shown["secret"] == new
    assert [old["secret"] for old in shown["oldSecrets"]] == [endpoint.secret]


async def test_no_more_than_ten_secrets_sign(merchant: Api) -> None:
    endpoint = await an_endpoint(merchant, "http://127.0.0.1:9/hook")
    for _ in range(9):
        await rotated(merchant, endpoint)

    is_problem(await merchant.call("POST", f"/v1/endpoints/{endpoint.id}/rotate-secret", {}), 409)
    await rotated(merchant, endpoint, expireOldIn=0)


async def test_secrets_are_shown_at_their_own_address_only(merchant: Api) -> None:
    endpoint = await an_endpoint(merchant, "http://127.0.0.1:9/hook")
    shown = await merchant.call("GET", f"/v1/endpoints/{endpoint.id}/secret")

    assert shown.body == {"secret": endpoint.secret, "oldSecrets": [], "publicKey": None, "oldPublicKeys": []}
    assert shown.headers["cache-control"] == "no-store"
    assert endpoint.secret not in json.dumps(await merchant.get(f"/v1/endpoints/{endpoint.id}"))


@pytest.mark.parametrize("seconds", [-1, 604_801, "soon", 1.5])
async def test_an_overlap_has_limits(merchant: Api, seconds: object) -> None:
    endpoint = await an_endpoint(merchant, "http://127.0.0.1:9/hook")
    answer = await merchant.call("POST", f"/v1/endpoints/{endpoint.id}/rotate-secret", {"expireOldIn": seconds})

    is_field(answer, "/expireOldIn", "an integer from 0 to 604800")

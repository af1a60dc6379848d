"""`esimhooks import`: endpoints in the shapes of the APIs of Svix and Convoy, with the secrets that receivers have."""

import base64
import json
from pathlib import Path

import pytest
import svix.webhooks

from api import Api, Json, a_merchant
from cli.canned import Done
from cli.processes import done, environment
from receiver import Receiver

pytestmark = [pytest.mark.slow(reason="each command is a process of its own"), pytest.mark.timeout(60)]

SVIX_SECRET = "whsec_" + base64.b64encode(b"twenty-four bytes of key").decode()
CONVOY_SECRET = "Vuk5LM0uujddIsqO5v_eSuz88"
SVIX = {
    "data": [
        {
            "channels": None,
            "createdAt": "2026-11-23T10:00:00Z",
            "description": "Shop",
            "disabled": False,
            "filterTypes": ["esim.activated", "esim.gone", "sim.expired"],
            "headers": {"headers": {"X-Shop": "7", "Host": "elsewhere"}, "sensitive": ["X-Token"]},
            "id": "ep_2dXlJYQ6ru9uVZ8hQ1d3vCe5wKz",
            "metadata": {},
            "rateLimit": 20,
            "secret": {"key": SVIX_SECRET},
            "uid": None,
            "updatedAt": "2026-11-23T10:00:00Z",
            "url": "",
            "version": 1,
        },
        {
            "createdAt": "2026-11-23T10:00:00Z",
            "description": "",
            "disabled": True,
            "id": "ep_2dXlJYQ6ru9uVZ8hQ1d3vCe5wKa",
            "metadata": {},
            "updatedAt": "2026-11-23T10:00:00Z",
            "url": "https://hooks.example.com/off",
            "version": 1,
        },
    ],
    "done": True,
    "iterator": "ep_2dXlJYQ6ru9uVZ8hQ1d3vCe5wKa",
    "prevIterator": None,
}
CONVOY = {
    "status": True,
    "message": "Endpoints fetched successfully",
    "data": {
        "content": [
            {
                "advanced_signatures": True,
                "authentication": {
                    "type": "api_key",
                    "api_key": {"header_name": "X-Token", "header_value": "t0ken"},
                },
                "created_at": "2026-11-23T10:00:00Z",
                "description": "",
                "events": 4,
                "failure_rate": 0,
                "http_timeout": 45,
                "name": "Shop",
                "owner_id": "",
                "project_id": "01H28MWP1TQV5AC5QR54BSX8HJ",
                "rate_limit": 120,
                "rate_limit_duration": 60,
                "secrets": [
                    {"uid": "1", "value": "an-old-one-that-ends-soon", "expires_at": "2026-11-30T10:00:00Z"},
                    {"uid": "2", "value": CONVOY_SECRET, "expires_at": None},
                ],
                "status": "active",
                "uid": "01H3FRSZYKNYWGPVV46RN98PM5",
                "url": "https://hooks.example.com/convoy",
            },
            {
                "authentication": {"type": "oauth2", "oauth2": {}},
                "name": "Shop",
                "secrets": [{"uid": "3", "value": "short", "expires_at": None}],
                "status": "paused",
                "uid": "01H3FRSZYKNYWGPVV46RN98PM6",
                "url": "https://hooks.example.com/paused",
            },
        ],
        "pagination": {"has_next_page": False, "per_page": 20},
    },
}


async def imported(operator: Api, folder: Path, sender: str, content: Json, *words: str) -> Done:
    file = folder / f"{sender}.json"
    file.write_text(json.dumps(content))
    variables = environment(ESIMHOOKS_URL=operator.url, ESIMHOOKS_API_KEY=operator.key)
    return await done("import", sender, str(file), "--mode", "test", *words, variables=variables)


async def test_a_receiver_written_with_the_library_of_svix_verifies_us_unchanged(
    operator: Api, receiver: Receiver, tmp_path: Path
) -> None:
    merchant = await a_merchant(operator)
    content: Json = json.loads(json.dumps(SVIX))
    content["data"][0]["url"] = receiver.url()
    words = ("--account", merchant.account, "--event", "sim.expired=esim.expired")

    shown = await imported(operator, tmp_path, "svix", content, *words, "--dry-run")
    before = await operator.get(f"/v1/endpoints?account={merchant.account}&mode=test")
    made = await imported(operator, tmp_path, "svix", content, *words)
    again = await imported(operator, tmp_path, "svix", content, *words)
    async with operator.as_key(merchant.key) as caller:
        [off, shop] = (await caller.get("/v1/endpoints"))["data"]
        await caller.post("/v1/test-events", {"event": "esim.activated"})
        [request] = await receiver.wait_for(1)

    assert (shown.code, before["data"]) == (0, [])
    assert SVIX_SECRET not in shown.out
    assert (made.code, made.out.splitlines()[-1]) == (0, "2 created")
    assert "endpoint Shop: there is no event type esim.gone here" in made.err
    assert "endpoint Shop: the header Host cannot be set here" in made.err
    assert "endpoint Shop: the value of the header X-Token does not come out of Svix: set it here" in made.err
    assert "endpoint https://hooks.example.com/off: the file has no secret for it: it gets a new one" in made.err
    assert again.out == ""
    assert shop["eventTypes"] == ["esim.activated", "esim.expired"]
    assert (shop["rateLimit"], shop["headers"], shop["name"]) == (20, {"x-shop": "7"}, "Shop")
    assert off["enabled"] is False
    svix.webhooks.Webhook(SVIX_SECRET).verify(request.body, request.headers)
    named = {name: value for name, value in request.headers.items() if name.lower().startswith("svix-")}
    svix.webhooks.Webhook(SVIX_SECRET).verify(request.body, named)


async def test_endpoints_of_convoy_keep_their_keys_as_secrets_and_their_header(operator: Api, tmp_path: Path) -> None:
    merchant = await a_merchant(operator)

    made = await imported(operator, tmp_path, "convoy", CONVOY, "--account", merchant.account)
    async with operator.as_key(merchant.key) as caller:
        [paused, shop] = (await caller.get("/v1/endpoints"))["data"]
        secret = (await caller.get(f"/v1/endpoints/{shop['id']}/secret"))["secret"]

    assert (made.code, made.out.splitlines()[-1]) == (0, "2 created")
    assert base64.b64decode(secret.removeprefix("whsec_")).decode() == CONVOY_SECRET
    assert (shop["timeout"], shop["rateLimit"], shop["headers"]) == (30, 2, {"x-token": "t0ken"})
    assert (paused["name"], paused["enabled"]) == ("Shop 2", False)
    assert "endpoint Shop 2: authentication with oauth2 is not supported here" in made.err
    assert "endpoint Shop 2: its secret does not have 24 to 64 bytes: it gets a new one" in made.err
    assert (shop["signatureProfile"], paused["signatureProfile"]) == ("convoy-advanced", "convoy")


@pytest.mark.parametrize("sender", ["svix", "convoy"])
@pytest.mark.parametrize("content", [{}, {"data": 1}, [{}], {"data": [{"url": 7}]}, "x"])
async def test_what_is_no_list_of_endpoints_is_refused(
    operator: Api, tmp_path: Path, sender: str, content: Json
) -> None:
    made = await imported(operator, tmp_path, sender, content, "--account", "acc_00000000000000000000000000")

    assert (made.code, made.out) == (1, "")
    assert f"{sender}.json: " in made.err
    assert "expected" in made.err

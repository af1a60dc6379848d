"""Endpoints: made with defaults or with everything, their secret shown once, their addresses and limits checked."""

import base64
import json

import pytest

from api import Api, Json, a_merchant
from web.routes import a_tenant, is_field, is_problem
from web.rows import pages

URL = "https://hooks.example.com/esims"


async def test_an_endpoint_has_the_defaults_of_the_installation(operator: Api) -> None:
    query = await a_tenant(operator)
    made = await operator.post(f"/v1/endpoints{query}", {"url": URL})
    secret, _ = made.pop("secret"), made.pop("publicKey")

    assert secret.startswith("whsec_")
    assert made == {
        "id": made["id"],
        "mode": "test",
        "url": URL,
        "name": None,
        "eventTypes": None,
        "filter": None,
        "retrySchedule": [0, 60, 300, 900, 3600, 7200],
        "timeout": 5.0,
        "maxInFlight": 20,
        "rateLimit": None,
        "ordering": "none",
        "headers": {},
        "enabled": True,
        "disabledReason": None,
        "paused": False,
        "health": {
            "state": "healthy",
            "since": None,
            "nextAttemptAt": None,
            "waiting": 0,
            "waitingSince": None,
            "retrying": 0,
            "failuresInARow": 0,
            "lastFailure": None,
        },
        "redactCredentials": False,
        "caCertificate": None,
        "authorities": [],
        "signatureProfile": "standard",
        "createdAt": made["createdAt"],
        "updatedAt": made["createdAt"],
    }
    assert await operator.get(f"/v1/endpoints/{made['id']}{query}") == made
    listed = await operator.get(f"/v1/endpoints{query}")
    assert listed == {"data": [made], "nextCursor": None}
    assert secret not in json.dumps(listed)


BROUGHT = "whsec_" + base64.b64encode(bytes(24)).decode()
LONGEST = "whsec_" + base64.b64encode(bytes(64)).decode()


async def test_an_endpoint_may_bring_the_secret_that_its_receiver_has(operator: Api) -> None:
    query = await a_tenant(operator)

    made = await operator.post(f"/v1/endpoints{query}", {"url": URL, "secret": BROUGHT})
    secret = f"/v1/endpoints/{made['id']}/secret{query}"
    rotate = f"/v1/endpoints/{made['id']}/rotate-secret{query}"
    rotated = await operator.post(rotate, {"secret": LONGEST}, status=200)

    assert made["secret"] == BROUGHT
    assert (rotated["secret"], [old["secret"] for old in rotated["oldSecrets"]]) == (LONGEST, [BROUGHT])
    assert (await operator.get(secret))["secret"] == LONGEST
    assert (await operator.call("POST", rotate, {"secret": LONGEST})).status == 409


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        base64.b64encode(bytes(24)).decode(),
        "whsk_" + base64.b64encode(bytes(32)).decode(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_",
    ],
)
async def test_a_secret_that_may_not_sign_is_refused_and_not_repeated(operator: Api, secret: str) -> None:
    query = await a_tenant(operator)
    made = await operator.post(f"/v1/endpoints{query}", {"url": URL})

    answers = [
        await operator.call("POST", f"/v1/endpoints{query}", {"url": URL, "secret": secret}),
        await operator.call("POST", f"/v1/endpoints/{made['id']}/rotate-secret{query}", {"secret": secret}),
    ]

    for answer in answers:
        assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "/secret")
        assert len(secret) < 10 or secret not in json.dumps(answer.body)


async def test_an_endpoint_keeps_all_that_it_was_configured_with(operator: Api) -> None:
    query = await a_tenant(operator)
    body = {
        "url": URL,
        "name": "main",
        "eventTypes": ["esim.activated", "esim.*"],
        "retrySchedule": [0, 1, 604_800],
        "timeout": 1.5,
        "maxInFlight": 200,
        "rateLimit": 5,
        "ordering": "esim",
        "headers": {"authorization": "Basic dTpw", "x-team": "esims"},
    }

    made = await operator.post(f"/v1/endpoints{query}", body)

    assert {name: made[name] for name in body} == body


@pytest.mark.parametrize(("name", "attempts"), [("standard", 6), ("persistent", 7)])
async def test_schedules_have_names(name: str, attempts: int, operator: Api) -> None:
    query = await a_tenant(operator)
    made = await operator.post(f"/v1/endpoints{query}", {"url": URL, "retrySchedule": name})

    assert len(made["retrySchedule"]) >= attempts
    assert all(isinstance(delay, int) for delay in made["retrySchedule"])


async def test_a_deleted_endpoint_is_gone(operator: Api) -> None:
    query = await a_tenant(operator)
    made = await operator.post(f"/v1/endpoints{query}", {"url": URL})
    path = f"/v1/endpoints/{made['id']}{query}"

    assert (await operator.call("DELETE", path)).status == 204

    is_problem(await operator.call("GET", path), 404)
    is_problem(await operator.call("DELETE", path), 404)
    assert (await operator.get(f"/v1/endpoints{query}"))["data"] == []


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/hook",
        "https://192.168.1.1/hook",
        "https://172.16.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://0.0.0.0/",
        "https://2130706433/",
        "https://user:password@example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "example.com",
        "https://",
        "https://example.com:0/",
        "https://example.com:99999/",
        "nonsense",
    ],
)
async def test_addresses_that_may_not_be_called_are_refused_at_the_field(url: str, operator: Api) -> None:
    query = await a_tenant(operator)

    is_field(await operator.call("POST", f"/v1/endpoints{query}", {"url": url}), "/url")
    assert (await operator.get(f"/v1/endpoints{query}"))["data"] == []


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"url": ""}, "/url", "text of 1 to 2048 characters"),
        ({"url": "https://example.com/" + "a" * 2048}, "/url", "text of 1 to 2048 characters"),
        ({"url": None}, "/url", "text"),
        ({"name": ""}, "/name", "text of 1 to 100 characters"),
        ({"eventTypes": []}, "/eventTypes", "a list of 1 to 20 items"),
        ({"eventTypes": ["esim.activated"] * 21}, "/eventTypes", "a list of 1 to 20 items"),
        ({"eventTypes": ["esim.activated", "esim.nope"]}, "/eventTypes/1", "esim.activated, or esim.*"),
        ({"eventTypes": ["*.activated"]}, "/eventTypes/0", "esim.*"),
        ({"eventTypes": "esim.*"}, "/eventTypes", "a list"),
        ({"retrySchedule": []}, "/retrySchedule", "a list of 1 to 20 items"),
        ({"retrySchedule": [0] * 21}, "/retrySchedule", "a list of 1 to 20 items"),
        ({"retrySchedule": [0, -1]}, "/retrySchedule/1", "an integer from 0 to 604800"),
        ({"retrySchedule": [604_801]}, "/retrySchedule/0", "an integer from 0 to 604800"),
        ({"retrySchedule": [0.5]}, "/retrySchedule/0", "an integer"),
        ({"retrySchedule": "never"}, "/retrySchedule", "standard"),
        ({"timeout": 0.5}, "/timeout", "a number from 1 to 30"),
        ({"timeout": 31}, "/timeout", "a number from 1 to 30"),
        ({"timeout": "5"}, "/timeout", "a number from 1 to 30"),
        ({"maxInFlight": 0}, "/maxInFlight", "an integer from 1 to 200"),
        ({"maxInFlight": 201}, "/maxInFlight", "an integer from 1 to 200"),
        ({"rateLimit": 0}, "/rateLimit", "an integer from 1 to 10000"),
        ({"ordering": "event"}, "/ordering", "one of none, esim"),
        ({"headers": {"Host": "other"}}, "/headers/host", "another header"),
        ({"headers": {"webhook-id": "1"}}, "/headers/webhook-id", "another header"),
        ({"headers": {"x-a": "1", "X-A": "2"}}, "/headers", "each header once"),
        ({"headers": {"x a": "1"}}, "/headers/x a", "the name of a header"),
        ({"headers": {"x-a": "Café"}}, "/headers/x-a", "printable ASCII"),
        ({"headers": {"x-a": " 1"}}, "/headers/x-a", "printable ASCII"),
        ({"headers": {f"x-{number}": "1" for number in range(21)}}, "/headers", "at most 20"),
        ({"enabled": False}, "/enabled", "no such field"),
    ],
)
async def test_limits_are_reported(fields: Json, pointer: str, words: str, operator: Api) -> None:
    query = await a_tenant(operator)

    is_field(await operator.call("POST", f"/v1/endpoints{query}", {"url": URL} | fields), pointer, words)


async def test_endpoints_come_in_pages_newest_first(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        made = [(await caller.post("/v1/endpoints", {"url": f"{URL}/{number}"}))["id"] for number in range(5)]
        found = await pages(caller, "/v1/endpoints", limit=2)

    assert [row["id"] for page in found for row in page] == made[::-1]


async def test_an_endpoint_of_an_account_that_is_not_there_is_a_404(operator: Api) -> None:
    nobody = "acc_00000000000000000000000000"

    is_problem(await operator.call("POST", f"/v1/endpoints?account={nobody}&mode=test", {"url": URL}), 404)

"""Providers: configured and shown without their credentials; their inbound address works and stays what it is."""

import json
import re
from datetime import UTC, datetime

import pytest

from api import Api, Json
from esimhooks.server.jobs.scheduler import QueueMetrics
from esimhooks.server.store.database import Database
from web.routes import is_field, is_problem

SECRETS = {"accessCode": "access-code-that-nobody-sees", "secretKey": "secret-key-that-nobody-sees"}
BODY = {"kind": "esimaccess", "baseUrl": "https://api.example.com", "settings": {"confirm": "never"}}


async def put(operator: Api, **fields: Json) -> Json:
    return await operator.put("/v1/providers/upstream", BODY | {"credentials": SECRETS} | fields)


async def test_a_provider_is_shown_with_the_names_of_its_credentials_only(operator: Api) -> None:
    made = await put(operator)

    assert made["name"] == "upstream"
    assert made["credentialsSet"] == ["accessCode", "secretKey"]
    assert made["settings"] == {"confirm": "never"}
    assert made["inboundUrl"].startswith(f"{operator.url}/providers/upstream/")
    shown = await operator.get("/v1/providers/upstream")
    listed = await operator.get("/v1/providers")
    assert shown == made
    assert listed == {"data": [made], "nextCursor": None}
    assert [secret for secret in SECRETS.values() if secret in json.dumps([made, shown, listed])] == []


async def test_the_health_of_a_provider_is_the_same_in_the_api_and_in_the_metrics(
    operator: Api, database: Database
) -> None:
    made = await put(operator)
    assert made["health"]["state"] == "new"
    path = made["inboundUrl"].removeprefix(operator.url)
    await operator.raw("POST", path, b"no JSON", content_type="application/json")
    health = (await operator.get("/v1/providers/upstream"))["health"]
    assert (health["state"], health["received"], health["invalid"]) == ("invalid", 1, 1)
    assert health["since"] == health["lastHeardAt"]
    [listed] = (await operator.get("/v1/providers"))["data"]
    assert listed["health"] == health

    await QueueMetrics(database, clock=lambda: datetime.now(UTC)).refresh()
    text = (await operator.raw("GET", "/metrics", b"")).body
    states = dict(re.findall(r'esimhooks_provider_state\{provider="upstream",state="(\w+)"\} (\S+)', text))
    assert {state for state, value in states.items() if float(value)} == {"invalid"}


async def test_providers_come_in_pages_by_name(operator: Api) -> None:
    names = ["b" * 63, "a", "a-1", "c", "a1"]
    for name in names:
        await operator.put(f"/v1/providers/{name}", BODY)

    first = await operator.get("/v1/providers?limit=4")
    second = await operator.get(f"/v1/providers?limit=4&cursor={first['nextCursor']}")

    assert [row["name"] for row in (*first["data"], *second["data"])] == sorted(names)
    assert (len(first["data"]), second["nextCursor"]) == (4, None)
    is_field(await operator.call("GET", "/v1/providers?limit=0"), "query:limit", "1 to 100")


async def test_the_inbound_address_works_and_stays_the_same(operator: Api) -> None:
    first = await put(operator)
    second = await put(operator, settings={"confirm": "always"}, credentials={"accessCode": "another"})

    assert second["inboundUrl"] == first["inboundUrl"]
    assert second["settings"] == {"confirm": "always"}
    assert second["credentialsSet"] == ["accessCode"]
    path = first["inboundUrl"].removeprefix(operator.url)
    answer = await operator.raw("POST", path, b'{"notifyType": "CHECK_HEALTH"}', content_type="application/json")
    assert answer.status == 200
    [entry] = (await operator.get("/v1/notifications?source=upstream"))["data"]
    whole = await operator.get(f"/v1/notifications/{entry['id']}")
    assert whole["body"] == '{"notifyType": "CHECK_HEALTH"}'
    assert "authorization" not in whole["headers"]
    assert path.rpartition("/")[2] not in json.dumps(whole)


async def test_a_query_string_does_not_change_where_a_notification_came_in(operator: Api) -> None:
    path = (await put(operator))["inboundUrl"].removeprefix(operator.url)

    await operator.call("POST", f"{path}?rest=/made/up", {"notifyType": "CHECK_HEALTH"})

    [entry] = (await operator.get("/v1/notifications"))["data"]
    assert (await operator.get(f"/v1/notifications/{entry['id']}"))["query"] == "rest=/made/up"


@pytest.mark.parametrize(
    "changed", [lambda path: path + "x", lambda path: path[:-1], lambda path: path.replace("upstream", "other")]
)
async def test_any_other_inbound_address_is_a_401(changed: Json, operator: Api) -> None:
    path = (await put(operator))["inboundUrl"].removeprefix(operator.url)

    is_problem(await operator.call("POST", changed(path), {"notifyType": "CHECK_HEALTH"}), 401)
    assert (await operator.get("/v1/notifications"))["data"] == []


async def test_a_deleted_provider_is_gone_and_its_address_with_it(operator: Api) -> None:
    path = (await put(operator))["inboundUrl"].removeprefix(operator.url)

    assert (await operator.call("DELETE", "/v1/providers/upstream")).status == 204

    is_problem(await operator.call("GET", "/v1/providers/upstream"), 404)
    is_problem(await operator.call("DELETE", "/v1/providers/upstream"), 404)
    is_problem(await operator.call("POST", path, {"notifyType": "CHECK_HEALTH"}), 401)
    again = await put(operator)
    assert again["inboundUrl"].removeprefix(operator.url) != path


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"kind": "nope"}, "/kind"),
        ({"settings": {"confrim": "always"}}, "/settings/confrim"),
        ({"settings": {"a/b~": 1}}, "/settings/a~1b~0"),
        ({"settings": {"confirm": "sometimes"}}, "/settings/confirm"),
        ({"credentials": {"password": "x"}}, "/credentials/password"),
        ({"credentials": {"accessCode": "with blank"}}, "/credentials/accessCode"),
        ({"baseUrl": "ftp://example.com"}, "/baseUrl"),
    ],
)
async def test_bad_fields_are_named_and_secrets_not_repeated(fields: Json, pointer: str, operator: Api) -> None:
    answer = await operator.call("PUT", "/v1/providers/upstream", BODY | fields)

    is_field(answer, pointer)
    assert "with blank" not in json.dumps(answer.body)
    is_problem(await operator.call("GET", "/v1/providers/upstream"), 404)

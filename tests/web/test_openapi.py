"""The documents: they are valid, describe every operation, and their examples run; `/docs` loads nothing from elsewhere."""

import re
from typing import Any

import msgspec
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from api import Api, Json, a_merchant
from esimhooks.vocabulary.events import EventType
from receiver import Receiver
from web.described import Document
from web.routes import API, WITH_BODY


async def openapi(api: Api) -> Json:
    return await api.get("/openapi.json")


def refused_by(document: Json) -> list[str]:
    return [f"{list(error.path)}: {error.message[:200]}" for error in OpenAPIV31SpecValidator(document).iter_errors()]


async def test_the_document_is_valid_openapi(operator: Api) -> None:
    async with operator.as_key("none") as stranger:
        document = await openapi(stranger)

    assert document["openapi"].startswith("3.1")
    assert refused_by(document) == []


async def test_every_operation_is_described(operator: Api) -> None:
    paths = (await openapi(operator))["paths"]
    names = []
    for route in API:
        operation = paths[route.path][route.method.lower()]
        assert operation["summary"]
        assert ("requestBody" in operation) == route.takes_body, route
        assert operation.get("requestBody", {}).get("required", False) is route.needs_body, route
        assert {"401", "422", "429", "503"} <= operation["responses"].keys()
        assert "content" not in operation["responses"].get("204", {}), route
        names.append(operation["operationId"])
    assert len(set(names)) == len(names)


async def test_a_picture_is_described_as_one(operator: Api) -> None:
    operation = (await openapi(operator))["paths"]["/v1/esims/{esim_id}/qr.png"]["get"]

    assert list(operation["responses"]["200"]["content"]) == ["image/png"]


async def test_what_is_counted_and_what_is_begun_are_both_described(operator: Api) -> None:
    paths = (await openapi(operator))["paths"]
    for path, counted, begun in (
        ("/v1/esims/requery", "MatchedView", "BulkRequeryView"),
        ("/v1/endpoints/{endpoint_id}/recover", "CountView", "RecoveryView"),
    ):
        responses = paths[path]["post"]["responses"]
        shown = {
            status: responses[status]["content"]["application/json"]["schema"]["$ref"] for status in ("200", "202")
        }
        assert shown == {"200": f"#/components/schemas/{counted}", "202": f"#/components/schemas/{begun}"}


async def test_webhooks_are_described_with_examples_that_fit(operator: Api) -> None:
    document = await openapi(operator)
    assert list(document["webhooks"]) == list(EventType)
    schema: dict[str, Any] = {
        "$ref": "#/components/schemas/Envelope",
        "components": {"schemas": document["components"]["schemas"]},
    }
    for item in document["webhooks"].values():
        content = item["post"]["requestBody"]["content"]["application/json"]
        Draft202012Validator(schema).validate(content["examples"]["example"]["value"])


async def test_every_operation_with_a_body_has_an_example_that_runs(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url("/esims"))
    query = f"?account={merchant.account}&mode=test"
    keys = await operator.get(f"/v1/accounts/{merchant.account}/keys")
    event = await operator.post(f"/v1/test-events{query}", {"event": "esim.activated"})
    own = {"account": merchant.account, "endpoint": merchant.endpoint}
    values = {
        "account_id": merchant.account,
        "endpoint_id": str(merchant.endpoint),
        "event_id": event["id"],
        "key_id": keys["data"][0]["id"],
        "name": "upstream",
    }
    examples = {(one.method, one.path): one.example for one in Document().operations}
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    own_key = await operator.post("/v1/operator-keys", {"name": "Ana", "role": "read"})
    for route in WITH_BODY:
        if route.path.startswith("/v1/operator-keys"):
            values["key_id"] = own_key["id"]
        body = examples[route.method, route.path]
        assert body, route
        sent = body | {name: value for name, value in own.items() if name in body}
        answer = await operator.call(route.method, route.at(**values) + (query if route.of_tenant else ""), sent)
        assert answer.status in (200, 201, 202), (route, answer)


async def test_asyncapi_has_the_same_events(operator: Api) -> None:
    document = await operator.get("/asyncapi.json")

    assert document["asyncapi"] == "3.0.0"
    assert [message["name"] for message in document["components"]["messages"].values()] == list(EventType)
    references = set(re.findall(r'"\$ref":"(#/[^"]+)"', msgspec.json.encode(document).decode()))
    for reference in references:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


async def test_the_reference_is_one_page_that_loads_nothing(operator: Api) -> None:
    async with operator.as_key("none") as stranger, stranger.page("/docs") as answer:
        page = await answer.text()

    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert re.findall(r"<(?:script|link|img|iframe)\b|\ssrc=|@import|url\(", page) == []
    for route in API:
        assert f"{route.method} {route.path}" in page
    for event in EventType:
        assert f'id="{event.value}"' in page

"""The table of resources against the API that it describes: nothing that the API can do is missing on the command line."""

import re
from collections.abc import Iterator
from typing import Any

from api import Api
from esimhooks.cli.app import tree
from esimhooks.cli.messages import option_of
from esimhooks.cli.resources import KINDS, RESOURCES, SHIPPED
from esimhooks.server.providers import registry

BY_HAND = {
    "GET /v1/stream": "listen",
    "GET /v1/trace/{}": "trace",
    "POST /v1/test-events": "trigger",
    "POST /v1/esims/requery": "esims requery",
    "POST /v1/esims/{}/requery": "esims requery",
    "GET /v1/esims/{}/qr.png": "esims qr",
    "POST /v1/endpoints/{}/recover": "recover",
    "POST /v1/updates": "updates",
}
"""Operations whose commands make more than one request."""
AS_ARGUMENT = {("trigger", "event"), ("updates", "updates")}
TEST_MODE_ONLY = {("trigger", "mode")}
HEADERS = {"Prefer": "--no-wait", "Idempotency-Key": "--idempotency-key", "Last-Event-ID": ""}
"""Which option sends a header; `listen` goes on behind the last event by itself."""
ONE_AT_A_TIME = {"recover", "esims requery", "trigger"}
"""They wait for what they have begun, of which an endpoint or account has one at a time; a test event is no business."""


def commands(group: Any, *above: str) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *above, name)
    if not hasattr(group, "commands"):
        yield " ".join(above), group


COMMANDS = dict(commands(tree()))
COMMAND_OF = BY_HAND | {
    re.sub(r"\{\w+\}", "{}", verb.call): f"{resource.name} {verb.name}"
    for resource in RESOURCES
    for verb in resource.verbs
}


def flags(command: str) -> set[str]:
    return {flag for option in COMMANDS[command].params for flag in option.opts}


def operations(document: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/v1/") and method in ("get", "post", "put", "patch", "delete"):
                yield f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path)}", operation


def fields(document: Any, operation: Any) -> Iterator[str]:
    """The parameters of the query, and the members of the body."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query":
            yield parameter["name"]
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    yield from schema.get("properties", {})


def headers(operation: Any) -> Iterator[str]:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "header":
            yield HEADERS[parameter["name"]]


async def test_every_operation_of_the_api_is_a_command_with_all_of_its_options(operator: Api) -> None:
    document = await operator.get("/openapi.json")
    described = dict(operations(document))

    missing = [
        f"{command}: {option_of(f'/{field}')}"
        for call, operation in described.items()
        if (command := COMMAND_OF.get(call)) is not None
        for field in fields(document, operation)
        if (command, field) not in AS_ARGUMENT | TEST_MODE_ONLY and option_of(f"/{field}") not in flags(command)
    ]

    missing += [
        f"{COMMAND_OF[call]}: {flag}"
        for call, operation in described.items()
        for flag in headers(operation)
        if flag and flag not in flags(COMMAND_OF[call]) and (COMMAND_OF[call] not in ONE_AT_A_TIME)
    ]

    assert described.keys() == COMMAND_OF.keys()
    assert missing == []


def test_the_kinds_of_providers_are_those_that_the_server_has() -> None:
    assert sorted((*KINDS, *SHIPPED)) == sorted(registry.KINDS)

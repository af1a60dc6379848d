"""The OpenAPI 3.1 document: made of the routes and the types that they are declared with, so that it cannot differ.

The table of routes comes in, one document goes out. Summaries are the docstrings of handlers.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any

import msgspec

from esimhooks.server.api.http import Response, Stream
from esimhooks.server.api.lists import Listed
from esimhooks.server.api.parameters import path_names
from esimhooks.server.api.problems import PROBLEM, Problem
from esimhooks.server.api.router import Route
from esimhooks.version import __version__
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.statuses import Mode

Json = dict[str, Any]
TEMPLATE = "#/components/schemas/{name}"
ID_PATTERN = "^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"
OPEN = ("/healthz", "/readyz", "/schemas")
LEFT_OUT = ("/providers/", "/openapi.json", "/asyncapi.json", "/docs")
DESCRIPTION = """Turns eSIM lifecycle notifications into signed webhooks. Operators' keys (`esim_admin_...`) act for an account
given by `?account=` and `?mode=`; merchants' keys act for their own account and mode. Lists are paged, newest first."""
ERRORS = {
    "400": "The request or its JSON is malformed.",
    "401": "There is no valid API key.",
    "403": "This key may not do this.",
    "404": "There is no such object, or it belongs to another account.",
    "405": "This path does not support this method.",
    "408": "The body did not arrive in time.",
    "409": "The object's state or a quota does not allow it, or a request with the same Idempotency-Key is still running.",
    "413": "The body is larger than 256 KiB.",
    "415": "The body is not application/json.",
    "422": "Fields or parameters are invalid; `errors` names them.",
    "429": "Too many requests; retry after `Retry-After` seconds.",
    "503": "The database or a provider does not answer; retry after `Retry-After` seconds.",
}
OF_EVENTS: dict[Any, Any] = {msgspec.Raw: Envelope, Listed[msgspec.Raw]: Listed[Envelope]}
"""Events are answered in the bytes of their webhooks."""
TAGS = {
    "accounts": "Merchants and their API keys; for operators.",
    "deliveries": "One event for one endpoint, with every attempt.",
    "endpoints": "A merchant's webhook URLs: secrets, tests, recovery, statistics.",
    "esims": "eSIMs with their current state and events; requeries.",
    "event-types": "The eight events: meaning, schema, example.",
    "events": "Events that were raised, also for pulling.",
    "healthz": "Liveness.",
    "notifications": "The journal of what providers sent; for operators.",
    "orders": "Orders of eSIMs; for operators.",
    "providers": "Upstream providers and their credentials, which are never shown; for operators.",
    "readyz": "Readiness.",
    "schemas": "JSON Schemas of the events.",
    "stream": "Events of an account as they happen.",
    "test-events": "Test events.",
    "updates": "Updates from your own integration; for operators.",
    "webhooks": "What endpoints receive.",
}
WITH_BODY_ONLY = frozenset({"408", "413", "415"})
SIGNED = {
    "webhook-id": "The event's id, the same on every attempt: deduplicate by it.",
    "webhook-timestamp": "Unix seconds at which this attempt was made.",
    "webhook-signature": "Standard Webhooks: `v1,` and the base64 HMAC-SHA256 of `{id}.{timestamp}.{body}`.",
    "webhook-event": "The event type.",
    "webhook-attempt": "Number of this attempt: 1, 2, ...",
}


def operations(table: Iterable[Route]) -> list[Route]:
    """Return the routes that are operations of the API, by path."""
    public = [one for one in table if one.path.startswith(("/v1/", *OPEN))]
    return sorted(public, key=lambda one: (one.path, one.method))


def document(table: Iterable[Route], *, public_url: str) -> Json:
    """Return the whole document."""
    known = operations(table)
    schemas, components = _schemas(known)
    paths: dict[str, Json] = {}
    for one in known:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "esimhooks",
            "version": __version__,
            "summary": "eSIM notifications in, signed webhooks out.",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url or "/"}],
        "security": [{"bearer": []}, {"header": []}],
        "tags": [
            {"name": name, "description": TAGS.get(name, f"Operations below /{name}.")}
            for name in dict.fromkeys([*(_tag(one.path) for one in known), "webhooks"])
        ],
        "paths": paths,
        "webhooks": {event.value: {"post": _webhook(event)} for event in EventType},
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, `esim_...`."},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "responses": {code: _problem(code, description) for code, description in ERRORS.items()},
        },
    }


def _schemas(known: Sequence[Route]) -> tuple[dict[Any, Json], dict[str, Json]]:
    """Return the schema of each type that is used, and the components that they refer to."""
    used: dict[str, Any] = {repr(kind): kind for kind in (Problem, Envelope, Mode)}
    for one in known:
        kinds = [one.takes.body, *_answers(one).values(), *(parameter.kind for parameter in one.takes.parameters)]
        used |= {repr(kind): kind for kind in kinds if kind is not None}
    schemas, components = msgspec.json.schema_components(
        list(used.values()), schema_hook=_anything, ref_template=TEMPLATE
    )
    for component in components.values():
        for member in component.get("properties", {}).values():
            _say_default(member)
    return dict(zip(used, schemas, strict=True)), dict(components)


def _say_default(member: Json) -> None:
    """Describe the default of a member in words: generators of clients take a member with a default as one that must be there."""
    default = member.pop("default", None)
    if default not in (None, [], {}):
        description = f"default: {msgspec.json.encode(default).decode()}"
        member["description"] = f"{member['description']}; {description}" if "description" in member else description


def _answers(one: Route) -> dict[str, Any]:
    """Return the type of each answer that is no refusal, by its status; None stands for no body."""
    if not isinstance(one.status, int):
        return {str(status): kind for kind, status in one.status.items()}
    kind = one.takes.returns
    if kind in (Response, Stream):
        kind = str
    return {str(one.status): None if kind is NoneType else OF_EVENTS.get(kind, kind)}


def _anything(_kind: type) -> Json:
    """Describe values of which nothing is promised; an empty schema would count as none."""
    return {"description": "any JSON value"}


def _operation(one: Route, schemas: Mapping[str, Json]) -> Json:
    summary, _, rest = inspect.cleandoc(one.handler.__doc__ or "").partition("\n\n")
    described: Json = {
        "operationId": one.handler.__name__ + ("" if one.path.startswith("/v1") else "_open"),
        "summary": " ".join(summary.split()).rstrip("."),
        "description": " ".join(f"{summary} {rest}".split()),
        "tags": [_tag(one.path)],
        "parameters": list(_parameters(one, schemas)),
        "responses": {status: _success(one, kind, schemas) for status, kind in _answers(one).items()} | _refusals(one),
    }
    if one.path.startswith(OPEN):
        described["security"] = []
    if one.takes.body is not None:
        content: Json = {"schema": schemas[repr(one.takes.body)]}
        if one.example is not None:
            content["examples"] = {"example": {"value": one.example}}
        described["requestBody"] = {"required": one.takes.needs_body, "content": {"application/json": content}}
    return described


def _parameters(one: Route, schemas: Mapping[str, Json]) -> Iterator[Json]:
    for name in path_names(one.path):
        schema: Json = {"type": "string"}
        converter = one.takes.in_path.get(name)
        if converter is not None and converter.prefix is not None:
            schema["pattern"] = ID_PATTERN.format(prefix=converter.prefix.value)
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for parameter in one.takes.parameters:
        described = {"name": parameter.name, "in": parameter.location, "schema": schemas[repr(parameter.kind)]}
        yield described | ({"description": parameter.description} if parameter.description else {})
    if one.takes.of_tenant:
        account = {"type": "string", "pattern": ID_PATTERN.format(prefix="acc")}
        yield {"name": "account", "in": "query", "schema": account, "description": "operators: the account to use"}
        yield {
            "name": "mode",
            "in": "query",
            "schema": schemas[repr(Mode)],
            "description": "operators: the mode to use, default live",
        }
    if one.method == "POST" and not one.only_reads:
        key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
        description = "for 24 h, the same key and request get the same answer"
        yield {"name": "Idempotency-Key", "in": "header", "schema": key, "description": description}


def _success(one: Route, kind: Any, schemas: Mapping[str, Json]) -> Json:
    if kind is None:
        return {"description": "Done."}
    if one.media_type == "image/png":
        return {"description": "Done.", "content": {one.media_type: {}}}
    return {"description": "Done.", "content": {one.media_type: {"schema": schemas[repr(kind)]}}}


def _refusals(one: Route) -> Json:
    codes = set(ERRORS) - (set() if one.takes.body is not None else WITH_BODY_ONLY)
    if one.path.startswith(OPEN):
        codes = {"400", "404", "405", "429", "503"}
    return {code: {"$ref": f"#/components/responses/{code}"} for code in sorted(codes)}


def _problem(code: str, description: str) -> Json:
    answer: Json = {
        "description": description,
        "content": {PROBLEM: {"schema": {"$ref": TEMPLATE.format(name="Problem")}}},
    }
    if code in ("429", "503"):
        seconds = {"type": "string", "pattern": "^[0-9]+$"}
        answer["headers"] = {"Retry-After": {"schema": seconds, "description": "seconds"}}
    return answer


def _webhook(event: EventType) -> Json:
    example = msgspec.to_builtins(example_of(event))
    headers = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": description}
        for name, description in SIGNED.items()
    ]
    return {
        "operationId": event.value.replace(".", "_"),
        "summary": event.value,
        "description": MEANINGS[event],
        "tags": ["webhooks"],
        "parameters": headers,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": TEMPLATE.format(name="Envelope")},
                    "examples": {"example": {"value": example}},
                }
            },
        },
        "responses": {
            "2XX": {"description": "Delivered."},
            "410": {"description": "The endpoint is gone and is disabled."},
            "429": {"description": "Too fast: not before `Retry-After`."},
        },
    }


def _tag(path: str) -> str:
    return path.split("/")[2 if path.startswith("/v1/") else 1]

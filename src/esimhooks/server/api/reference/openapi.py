"""The OpenAPI 3.1 document: made of the routes and the types that they are declared with, so that it cannot differ.

Routes come in, one document goes out. Summaries are the docstrings of handlers, examples those of `examples.py`.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter, QueryParameter
from litestar.routes import HTTPRoute
from msgspec import Struct

from esimhooks.server.api.entry import needs_body, query_name
from esimhooks.server.api.lists import Listed
from esimhooks.server.api.problems import PROBLEM, Problem
from esimhooks.server.api.reference.examples import BODIES
from esimhooks.server.domain.ids import Prefix
from esimhooks.version import __version__
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.statuses import Mode

Json = dict[str, Any]
TEMPLATE = "#/components/schemas/{name}"
ID_PATTERN = "^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"
IDS = {f"{prefix.name.lower()}_id": prefix for prefix in Prefix}
OPEN = ("/healthz", "/readyz", "/schemas")
LEFT_OUT = ("/providers/", "/openapi.json", "/asyncapi.json", "/docs")
STREAM = "/v1/stream"
DESCRIPTION = """Turns what happens to eSIMs into signed webhooks. Keys of operators (`esim_admin_...`) act for an account
with `?account=` and `?mode=`; keys of merchants act for their own. Lists are newest first, in pages."""
ERRORS = {
    "400": "The request could not be read, or its JSON is malformed.",
    "401": "No valid API key was presented.",
    "403": "This key may not do this.",
    "404": "There is no such row, or it belongs to another account.",
    "405": "This address does not take this method.",
    "408": "The body did not come in time.",
    "409": "The state of the row does not allow it, or a request with the same Idempotency-Key is being carried out.",
    "413": "The body is larger than 256 KiB.",
    "415": "The body is not application/json.",
    "422": "A field or parameter does not hold what was expected; `errors` names it.",
    "429": "Too many requests; `Retry-After` says when to come again.",
    "503": "The database or a provider does not answer; `Retry-After` says when to come again.",
}
OF_EVENTS: dict[Any, Any] = {msgspec.Raw: Envelope, Listed[msgspec.Raw]: Listed[Envelope]}
"""Events are answered in the bytes of their webhooks."""
TAGS = {
    "accounts": "Merchants and their API keys; for operators.",
    "deliveries": "One event for one endpoint, with every attempt.",
    "endpoints": "A merchant's webhook URLs: secrets, tests, recovery, figures.",
    "esims": "eSIMs as they are now, their events, and asking the provider again.",
    "event-types": "The eight events: meaning, schema, example.",
    "events": "What merchants were told, also to be pulled.",
    "healthz": "Whether the process lives.",
    "notifications": "The journal of what providers sent; for operators.",
    "orders": "eSIMs that were ordered; for operators.",
    "providers": "Upstream providers and their credentials, which are never shown; for operators.",
    "readyz": "Whether the process can work.",
    "schemas": "JSON Schemas of the events.",
    "stream": "Events of an account as they happen.",
    "test-events": "Events made of examples, in test mode.",
    "updates": "Changes that an operator's own integration tells; for operators.",
    "webhooks": "What endpoints receive.",
}
WITH_BODY_ONLY = frozenset({"408", "413", "415"})
SIGNED = {
    "webhook-id": "Id of the event, the same at every attempt: deduplicate by it.",
    "webhook-timestamp": "Unix seconds of this attempt.",
    "webhook-signature": "Standard Webhooks: `v1,` and the base64 HMAC-SHA256 of `{id}.{timestamp}.{body}`.",
    "webhook-event": "The event type.",
    "webhook-attempt": "1, 2, ...",
}


class Operation(Struct, frozen=True):
    """One method at one path, and the handler that serves it."""

    method: str
    path: str
    handler: HTTPRouteHandler

    @property
    def body(self) -> Any:
        """Return the type of its body, or None."""
        declared = self.handler.parsed_fn_signature.parameters.get("data")
        return self.handler.opt.get("body") if declared is None else declared.annotation

    @property
    def needs_body(self) -> bool:
        """Return whether it refuses a request without a body."""
        return needs_body(self.handler) or "body" in self.handler.opt

    @property
    def answers(self) -> dict[str, Any]:
        """Return the type of each answer that is no refusal, by its status; None stands for no body."""
        kind = self.handler.parsed_fn_signature.return_type.annotation
        status = str(self.handler.status_code)
        if kind in OF_EVENTS:
            return {status: OF_EVENTS[kind]}
        if kind is NoneType:
            return {status: None}
        if get_origin(kind) is Response and isinstance(get_args(kind)[0], UnionType):
            counted, begun = get_args(get_args(kind)[0])
            return {"200": counted, status: begun}
        is_response = inspect.isclass(get_origin(kind) or kind) and issubclass(get_origin(kind) or kind, Response)
        return {status: Json if is_response else kind}


def operations(app: Litestar) -> list[Operation]:
    """Return all operations of the API, by path."""
    found = [
        Operation(method, route.path_format, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path_format.startswith(("/v1/", *OPEN))
        for handler in route.route_handlers
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"})
    ]
    return sorted(found, key=lambda one: (one.path, one.method))


def document(app: Litestar, *, public_url: str) -> Json:
    """Return the whole document."""
    known = operations(app)
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
            {"name": name, "description": TAGS.get(name, f"What stands below /{name}.")}
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
            "responses": {code: _problem(code, said) for code, said in ERRORS.items()},
        },
    }


def _schemas(known: Sequence[Operation]) -> tuple[dict[Any, Json], dict[str, Json]]:
    """Return the schema of each type that is used, and the components that they refer to."""
    kinds: dict[str, Any] = {}
    for one in known:
        told = [one.body, *one.answers.values(), *(kind for *_, kind in _arguments(one))]
        kinds |= {repr(kind): kind for kind in told if kind is not None}
    kinds |= {repr(kind): kind for kind in (Problem, Envelope, Mode)}
    schemas, components = msgspec.json.schema_components(
        list(kinds.values()), schema_hook=_anything, ref_template=TEMPLATE
    )
    return dict(zip(kinds, schemas, strict=True)), dict(components)


def _anything(_kind: type) -> Json:
    """Describe values of which nothing is promised; an empty schema would count as none."""
    return {"description": "any JSON value"}


def _arguments(one: Operation) -> Iterator[tuple[str, str, str | None, Any]]:
    """Yield place, name, description and type of each parameter in the query and the headers."""
    for name, field in one.handler.parsed_fn_signature.parameters.items():
        declared = field.kwarg_definition
        kind = one.handler.signature_model.__annotations__.get(name)
        if isinstance(declared, QueryParameter):
            yield "query", query_name(one.handler, name), declared.description, kind
        elif isinstance(declared, HeaderParameter):
            yield "header", declared.name or name, declared.description, kind


def _operation(one: Operation, schemas: Mapping[str, Json]) -> Json:
    summary, _, rest = inspect.cleandoc(one.handler.fn.__doc__ or "").partition("\n\n")
    described: Json = {
        "operationId": one.handler.fn.__name__ + ("" if one.path.startswith("/v1") else "_open"),
        "summary": " ".join(summary.split()).rstrip("."),
        "description": " ".join(f"{summary} {rest}".split()),
        "tags": [_tag(one.path)],
        "parameters": list(_parameters(one, schemas)),
        "responses": {status: _success(one, kind, schemas) for status, kind in one.answers.items()} | _refusals(one),
    }
    if one.path.startswith(OPEN):
        described["security"] = []
    if one.body is not None:
        content: Json = {"schema": schemas[repr(one.body)]}
        if (one.method, one.path) in BODIES:
            content["examples"] = {"example": {"value": BODIES[one.method, one.path]}}
        described["requestBody"] = {"required": one.needs_body, "content": {"application/json": content}}
    return described


def _parameters(one: Operation, schemas: Mapping[str, Json]) -> Iterator[Json]:
    for name in [part[1:-1] for part in one.path.split("/") if part.startswith("{")]:
        schema: Json = {"type": "string"}
        if name in IDS:
            schema["pattern"] = ID_PATTERN.format(prefix=IDS[name].value)
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for place, name, said, kind in _arguments(one):
        yield {"name": name, "in": place, "schema": schemas[repr(kind)]} | ({"description": said} if said else {})
    if "tenant" in one.handler.parsed_fn_signature.parameters:
        account = {"type": "string", "pattern": ID_PATTERN.format(prefix="acc")}
        yield {"name": "account", "in": "query", "schema": account, "description": "for whom an operator acts"}
        yield {"name": "mode", "in": "query", "schema": schemas[repr(Mode)], "description": "operators: default live"}
    if one.method == "POST":
        key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
        said = "the same key and request get the same answer for 24 h"
        yield {"name": "Idempotency-Key", "in": "header", "schema": key, "description": said}


def _success(one: Operation, kind: Any, schemas: Mapping[str, Json]) -> Json:
    if kind is None:
        return {"description": "Done."}
    if one.path.endswith(".png"):
        return {"description": "Done.", "content": {"image/png": {}}}
    media_type = {STREAM: "text/event-stream", "/schemas/{name}": "application/schema+json"}.get(
        one.path, "application/json"
    )
    schema = {"type": "string"} if one.path == STREAM else schemas[repr(kind)]
    return {"description": "Done.", "content": {media_type: {"schema": schema}}}


def _refusals(one: Operation) -> Json:
    codes = set(ERRORS) - (set() if one.body is not None else WITH_BODY_ONLY)
    if one.path.startswith(OPEN):
        codes = {"400", "404", "405", "429", "503"}
    return {code: {"$ref": f"#/components/responses/{code}"} for code in sorted(codes)}


def _problem(code: str, said: str) -> Json:
    answer: Json = {
        "description": said,
        "content": {PROBLEM: {"schema": {"$ref": TEMPLATE.format(name="Problem")}}},
    }
    if code in ("429", "503"):
        seconds = {"type": "string", "pattern": "^[0-9]+$"}
        answer["headers"] = {"Retry-After": {"schema": seconds, "description": "seconds"}}
    return answer


def _webhook(event: EventType) -> Json:
    example = msgspec.to_builtins(example_of(event))
    headers = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": said}
        for name, said in SIGNED.items()
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

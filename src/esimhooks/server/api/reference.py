"""Where the documents are served: `/openapi.json`, `/asyncapi.json` and `/docs`, a page without scripts, for all.

Nothing on the page is loaded from elsewhere; its style stands in it and is allowed by its digest alone.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache

import msgspec
from jinja2 import Environment, PackageLoader, select_autoescape

from esimhooks.server.api import openapi
from esimhooks.server.api.access import OPEN
from esimhooks.server.api.http import Response
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.openapi import Json
from esimhooks.server.api.router import Route, Routes
from esimhooks.version import __version__
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of

PAGES = Environment(
    loader=PackageLoader("esimhooks.server.api", "templates"),
    autoescape=select_autoescape(default=True),
    trim_blocks=True,
    lstrip_blocks=True,
)
STYLE = PAGES.get_template("reference.css").render()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def reference_routes(table: Sequence[Route]) -> list[Route]:
    """Return the routes that serve the documents of the routes in the table."""
    routes = Routes(OPEN)

    @cache
    def described(public_url: str) -> Json:
        return openapi.document(table, public_url=public_url)

    @routes.get("/openapi.json")
    async def show_openapi(installation: Installation) -> Json:
        """Show the OpenAPI document."""
        return described(installation.public_url)

    @routes.get("/asyncapi.json")
    async def show_asyncapi() -> Json:
        """Show the AsyncAPI document."""
        return asyncapi_document()

    @routes.get("/docs")
    async def show_reference(installation: Installation) -> Response:
        """Show the reference as a page."""
        document = described(installation.public_url)
        shown = PAGES.get_template("reference.html").render(document=document, style=STYLE, pretty=_pretty)
        return Response(200, shown.encode(), "text/html; charset=utf-8", dict(HEADERS))

    return routes.all


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def asyncapi_document() -> Json:
    """Return the AsyncAPI 3 document: the eight events as messages that the server sends to endpoints."""
    _, components = msgspec.json.schema_components((Envelope,), ref_template=openapi.TEMPLATE)
    names = {event: event.value.replace(".", "_") for event in EventType}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "esimhooks",
            "version": __version__,
            "description": "Signed webhooks about eSIMs.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "endpoint": {
                "description": "An endpoint of a merchant: each event is a POST, signed by Standard Webhooks.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names.values()},
            }
        },
        "operations": {
            "deliver": {
                "action": "send",
                "summary": "Deliver an event to an endpoint, again and again until it answers in 2xx.",
                "channel": {"$ref": "#/channels/endpoint"},
                "messages": [{"$ref": f"#/channels/endpoint/messages/{name}"} for name in names.values()],
            }
        },
        "components": {
            "messages": {name: _asyncapi_message(event) for event, name in names.items()},
            "schemas": components,
        },
    }


def _asyncapi_message(event: EventType) -> Json:
    return {
        "name": event.value,
        "title": event.value,
        "summary": MEANINGS[event],
        "contentType": "application/json",
        "payload": {"$ref": openapi.TEMPLATE.format(name="Envelope")},
        "examples": [{"name": "example", "payload": msgspec.to_builtins(example_of(event))}],
    }

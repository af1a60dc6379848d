"""Where the documents are served: `/openapi.json`, `/asyncapi.json` and `/docs`, a page without scripts, for all.

Nothing on the page is loaded from elsewhere; its style stands in it and is allowed by its digest alone.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache

import msgspec
from jinja2 import Environment, PackageLoader, select_autoescape

from esimhooks.server.api import asyncapi, openapi
from esimhooks.server.api.access import OPEN
from esimhooks.server.api.http import Response
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Route, Routes

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
    def described(public_url: str) -> openapi.Json:
        return openapi.document(table, public_url=public_url)

    @routes.get("/openapi.json")
    async def show_openapi(installation: Installation) -> openapi.Json:
        """Show the OpenAPI document."""
        return described(installation.public_url)

    @routes.get("/asyncapi.json")
    async def show_asyncapi() -> openapi.Json:
        """Show the AsyncAPI document."""
        return asyncapi.document()

    @routes.get("/docs")
    async def show_reference(installation: Installation) -> Response:
        """Show the reference as a page."""
        document = described(installation.public_url)
        shown = PAGES.get_template("reference.html").render(document=document, style=STYLE, pretty=_pretty)
        return Response(200, shown.encode(), "text/html; charset=utf-8", dict(HEADERS))

    return routes.all


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

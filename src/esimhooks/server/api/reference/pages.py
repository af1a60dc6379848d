"""Where the documents are served: `/openapi.json`, `/asyncapi.json` and `/docs`, a page without scripts, for all.

Nothing on the page is loaded from elsewhere; its style stands in it and is allowed by its digest alone.
"""

import base64
import hashlib
from functools import cache

import msgspec
from jinja2 import Environment, PackageLoader, select_autoescape
from litestar import Litestar, Response, get

from esimhooks.server.api.auth import AnyRequest
from esimhooks.server.api.given import InContext
from esimhooks.server.api.reference import asyncapi, openapi

PAGES = Environment(
    loader=PackageLoader("esimhooks.server.api", "reference"),
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


@get("/openapi.json")
async def show_openapi(request: AnyRequest, context: InContext) -> Response[bytes]:
    """Show the OpenAPI document."""
    return Response(_openapi(request.app, context.public_url), media_type="application/json")


@get("/asyncapi.json")
async def show_asyncapi() -> Response[bytes]:
    """Show the AsyncAPI document."""
    return Response(msgspec.json.encode(asyncapi.document()), media_type="application/json")


@get("/docs")
async def show_reference(request: AnyRequest, context: InContext) -> Response[bytes]:
    """Show the reference as a page."""
    return Response(_page(request.app, context.public_url), media_type="text/html", headers=HEADERS)


@cache
def _openapi(app: Litestar, public_url: str) -> bytes:
    return msgspec.json.encode(openapi.document(app, public_url=public_url))


@cache
def _page(app: Litestar, public_url: str) -> bytes:
    document = openapi.document(app, public_url=public_url)
    shown = PAGES.get_template("reference.html").render(document=document, style=STYLE, pretty=_pretty)
    return shown.encode()


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

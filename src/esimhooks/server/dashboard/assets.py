"""Scripts and styles: read once at start, served from memory under an address that changes with their content."""

import hashlib
from pathlib import Path

from esimhooks.server.api.access import OPEN
from esimhooks.server.api.http import Response
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.errors import Refused

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FILES = {
    path.name: (path.read_bytes(), TYPES[path.suffix]) for path in sorted(FOLDER.rglob("*")) if path.suffix in TYPES
}
VERSION = hashlib.sha256(b"".join(body for body, _ in FILES.values())).hexdigest()[:12]


routes = Routes(OPEN)


@routes.get("/static/{version}/{name}")
async def static_file(version: str, name: str) -> Response:
    """Return a script or a style."""
    if name not in FILES:
        raise Refused.not_found("there is nothing at this address")
    body, media_type = FILES[name]
    headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(200, body, media_type, headers)

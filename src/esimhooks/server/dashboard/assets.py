"""Scripts and styles: read once at start, served from memory under an address that changes with their content."""

import hashlib
from pathlib import Path

from litestar import Response, get
from litestar.params import FromPath

from esimhooks.server.domain.errors import Refused

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript"}
FILES = {
    path.name: (path.read_bytes(), TYPES[path.suffix]) for path in sorted(FOLDER.rglob("*")) if path.suffix in TYPES
}
VERSION = hashlib.sha256(b"".join(body for body, _ in FILES.values())).hexdigest()[:12]


@get("/static/{version:str}/{name:str}")
async def static_file(version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """Return a script or a style."""
    if name not in FILES:
        raise Refused.not_found("there is nothing at this address")
    body, media_type = FILES[name]
    headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(body, media_type=media_type, headers=headers)

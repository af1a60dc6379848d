"""Pages: a template and its values in, an answer with strict headers out. Everything is escaped unless it is markup."""

from collections.abc import Mapping
from pathlib import Path

import jinja2
import msgspec

from esimhooks.server.api.http import Request, Response
from esimhooks.server.dashboard import formats
from esimhooks.server.dashboard.assets import VERSION
from esimhooks.server.dashboard.visitor import Visitor
from esimhooks.server.domain.errors import NotNow, Refused, Undecryptable
from esimhooks.server.domain.ids import Prefix, made_at, text_of
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.observe.log import get_logger

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

log = get_logger("web")

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {
    "moment": formats.moment,
    "span": formats.span,
    "ago": formats.ago,
    "pretty": formats.pretty,
    "told": formats.told,
    "json": lambda value: msgspec.json.encode(value).decode(),
    "made_at": made_at,
    "short": lambda text: text if len(text) <= 18 else f"{text[:9]}…{text[-6:]}",
}
ENVIRONMENT.tests["unreadable"] = lambda row: isinstance(row, Unreadable)
ENVIRONMENT.globals |= {
    "assets": VERSION,
    "id": lambda kind, value: text_of(Prefix(kind), value),
}


def page(template: str, visitor: Visitor | None, values: Mapping[str, object], *, status: int = 200) -> Response:
    """Return the page. `visitor` None: a person who has not signed in."""
    text = ENVIRONMENT.get_template(template).render(**values, visitor=visitor)
    return Response(status, text.encode(), "text/html; charset=utf-8", dict(HEADERS))


def show_error(request: Request, error: Exception) -> Response:
    """Return a page that says what went wrong; nothing of the inside."""
    visitor: Visitor | None = request.visitor
    status, detail = 500, "Something broke on our side; it is in the log."
    if isinstance(error, Refused):
        fields = "; ".join(f"{one.pointer.lstrip('/')}: {one.detail}" for one in error.errors)
        status, detail = error.status, fields or error.detail
    elif isinstance(error, NotNow):
        status, detail = 503, "The database does not answer at the moment. Try again in a few seconds."
    else:
        log.error("request.failed", method=request.method, path=request.path, exc_info=error)
        if isinstance(error, Undecryptable):
            detail = "What is stored here cannot be decrypted; the log names it."
    return page(
        "error.html", visitor, {"title": "That did not work", "status": status, "detail": detail}, status=status
    )

"""Which headers an endpoint may have of its own: nothing that frames the request, or that is ours to set. Pure."""

import re

MOST_HEADERS = 20
LONGEST_NAME = 100
LONGEST_VALUE = 2000

FRAMING = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
OURS = frozenset({"content-type", "cookie", "date", "forwarded", "range", "traceparent", "tracestate", "user-agent"})
PREFIXES = ("if-", "proxy-", "sec-", "svix-", "webhook-", "x-forwarded-")

_name = re.compile(rf"[a-z0-9!#$%&'*+.^_`|~-]{{1,{LONGEST_NAME}}}")
_value = re.compile(rf"[\x21-\x7e]([\x20-\x7e]{{0,{LONGEST_VALUE - 2}}}[\x21-\x7e])?")


def unfit_header(name: str, value: str) -> str | None:
    """Return what was expected of a header instead, None where it may be sent. `name` is in lower case."""
    if not _name.fullmatch(name):
        return f"expected the name of a header, of at most {LONGEST_NAME} letters, digits and hyphens"
    if name in FRAMING or name in OURS or name.startswith(PREFIXES):
        return "expected another header: this one frames the request or is set by the server"
    if not _value.fullmatch(value):
        return f"expected 1 to {LONGEST_VALUE} printable ASCII characters, with no space at either end"
    return None

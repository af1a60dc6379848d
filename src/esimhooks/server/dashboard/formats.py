"""How values are written for people: times, spans, volumes, JSON. Pure; whatever comes out is escaped by the templates."""

import json
import re
from datetime import datetime

from markupsafe import Markup, escape

SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86_400
_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_half = re.compile("[\ud800-\udfff]")
"""One half of a pair of surrogates, which is no character and cannot be encoded."""
_token = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d[\d.eE+-]*)')


def time_text(value: datetime | None) -> str:
    """Return a time in UTC to the second."""
    return "\u2013" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"


def span(seconds: float | None) -> str:
    """Return a span of time in its largest fitting unit."""
    if seconds is None:
        return "\u2013"
    if seconds < SECOND:
        return f"{seconds * 1000:.0f} ms"
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def percent(share: float | None) -> str:
    """Return a share of 100, a dash for none."""
    return "\u2013" if share is None else f"{share:.2f}%"


def many(number: int) -> str:
    """Return a number that was counted up to 1000 at most."""
    return "1,000+" if number > 1000 else f"{number:,}"


def byte_size(number: int) -> str:
    """Return a number of bytes in its largest fitting unit of 1024."""
    size = float(number)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def value_text(value: object) -> str:
    """Return a value of a payload: a dash for none, times in UTC to the second, the rest as it is."""
    if value is None:
        return "\u2013"
    text = str(value)
    return f"{text[:10]} {text[11:19]}" if _time.fullmatch(text) else text


def pretty(body: bytes | str) -> Markup:
    """Return JSON indented and coloured, and anything else as the text that it is; always escaped.

    Half a character, which JSON can name with an escape but no page can hold, stays that escape.
    """
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        text = _half.sub(_escape_of, json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return escape(text)
    out, end = Markup(), 0
    for found in _token.finditer(text):
        out += text[end : found.start()]
        string, colon, word, _ = found.groups()
        kind = "key" if colon else "str" if string else "word" if word else "num"
        out += Markup('<span class="j-{}">{}</span>{}').format(kind, string or found.group(), colon or "")
        end = found.end()
    return out + text[end:]


def _escape_of(half: re.Match[str]) -> str:
    return f"\\u{ord(half[0]):04x}"

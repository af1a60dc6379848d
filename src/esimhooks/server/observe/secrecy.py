"""What may be written down: values of any shape come in, the same without credentials and personal data go out.

By structure first: the name of a field decides, at any depth. Text that came from elsewhere is searched besides for
what has the form of a credential. Of a foreign exception only what cannot be a value is kept.
"""

import re
from collections.abc import Mapping
from datetime import date
from enum import Enum, auto
from functools import lru_cache
from pathlib import PurePath
from types import TracebackType
from typing import Any
from uuid import UUID

from esimhooks.server.domain.errors import EsimhooksError

HIDDEN = "[redacted]"
MAX_DEPTH = 8
MAX_ITEMS = 100
MAX_TEXT = 4_000

SECRET_NAMES = frozenset(
    {"ac", "body", "pin", "pin1", "pin2", "puk", "puk1", "puk2", "qrcode", "qrcodeurl", "shorturl", "inboundurl"}
)
SECRET_PARTS = re.compile(
    r"secret|token|passw|authorization|credential|accesscode|activationcode|confirmationcode|matchingid|cookie|"
    r"signature|payload|key$"
)
PERSONAL_NAMES = re.compile(r"iccid|imsi|msisdn|eid|eids")
PLAIN_NAMES = frozenset(
    {"event", "level", "component", "timestamp", "event_type", "outcome", "delivery_status", "loop", "rate_limit_key"}
)
"""Constants of this program; besides them everything that ends with `_id`, which holds ids of our own."""

_URL = re.compile(r"\b([a-z][a-z0-9+.-]*://)(?:[^\s/?#\"'@]*@)?([^\s/?#\"']*)([^\s\"'<>]*)", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"LPA:[^\s\"'<>]*|\b1\$[\w.-]*\$[^\s\"'<>]*"
    r"|\b(?:esim_(?:admin|live|test)|whsec|whsk)_[\w+/=-]+"
    r"|(?<=\bbearer )\S+|(?<=\bbasic )\S+"
    r"|(?<=/providers/)[^\s\"']+|(?<=/qr/)[^\s\"']+",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?<![\da-z_])\+?\d{6,}(\d{4})F?(?![\da-z_])")
_QUOTED = re.compile(r"(?:(?<![a-zA-Z])|(?<=\bb))[\"'].*", re.DOTALL)


class _Name(Enum):
    """What the name of a field says of its value."""

    PLAIN = auto()
    OPEN = auto()
    PERSONAL = auto()
    SECRET = auto()


_PLAIN, _OPEN = _Name.PLAIN, _Name.OPEN
_ATOMS = frozenset({bool, int, float, type(None)})


def fields(line: Mapping[str, object]) -> dict[str, Any]:
    """Return what may be written of the fields of a log line."""
    safe: dict[str, Any] = {}
    for name, value in line.items():
        kind = _of_name(name)
        cls = value.__class__
        # Nearly all fields of the lines that are written thousands of times a second end here.
        plain = (kind is _PLAIN and (cls is str or cls in _ATOMS)) or (kind is _OPEN and cls in _ATOMS)
        safe[name] = value if plain else redact(name, value)
    return safe


@lru_cache(maxsize=4_096)  # names in foreign JSON are without number
def _of_name(name: str) -> _Name:
    if name in PLAIN_NAMES or name.endswith("_id"):
        return _Name.PLAIN
    bare = re.sub(r"[\W_]", "", name.lower())
    if bare in SECRET_NAMES or SECRET_PARTS.search(bare):
        return _Name.SECRET
    return _Name.PERSONAL if PERSONAL_NAMES.fullmatch(bare) else _Name.OPEN


def redact(name: str, value: object, depth: int = 0) -> Any:
    """Return what may be written of a field's value: plain JSON values only."""
    kind = _of_name(name)
    if kind is _Name.SECRET:
        return HIDDEN if value else value
    if kind is _Name.PERSONAL:
        return _last_four(value)
    if value is None or isinstance(value, bool | int | float) or (kind is _Name.PLAIN and type(value) is str):
        return value
    return _any(name, value, depth)


def text(raw: str) -> str:
    """Return the text without what has the form of a credential, a personal number or the path of an address."""
    cut = raw if len(raw) <= MAX_TEXT else raw[:MAX_TEXT] + "..."
    if not cut.isascii():  # half a surrogate pair fits into no log
        cut = cut.encode(errors="backslashreplace").decode()
    without = _CREDENTIAL.sub(HIDDEN, _URL.sub(_origin, cut))
    return _DIGITS.sub(r"...\1", without)


def foreign_text(raw: str) -> str:
    """Return what is safe of a text that may quote values: all before the first quotation mark."""
    return text(_QUOTED.sub("'...'", raw, count=1))


def failure(error: BaseException) -> str:
    """Return an exception in one line. Our own say what we wrote; others may quote what they were given."""
    if isinstance(error, EsimhooksError):
        return text(str(error))
    try:
        message = foreign_text(str(error))
    except Exception as unreadable:  # noqa: BLE001 - it is the code of others
        message = f"its text cannot be made ({type(unreadable).__name__})"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def traceback(error: BaseException) -> list[dict[str, Any]]:
    """Return the exception and those behind it, newest first, with places in the code and without any values."""
    found: list[dict[str, Any]] = []
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen and len(found) < MAX_ITEMS:
        seen.add(id(one))
        shown_error: dict[str, Any] = {
            "error": failure(one),
            "type": type(one).__qualname__,
            "at": _frames(one.__traceback__),
        }
        if isinstance(one, BaseExceptionGroup):
            shown_error["group"] = [traceback(inner) for inner in one.exceptions[:MAX_ITEMS]]
        found.append(shown_error)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return found


def _frames(trace: TracebackType | None) -> list[str]:
    frames: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return frames[-MAX_ITEMS:]


def _any(name: str, value: object, depth: int) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, BaseException):
        return failure(value)
    if isinstance(value, UUID | date | PurePath | Enum):
        return text(str(value.value if isinstance(value, Enum) else value))
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {text(str(key)): redact(str(key), inner, depth + 1) for key, inner in list(value.items())[:MAX_ITEMS]}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [redact(name, inner, depth + 1) for inner in list(value)[:MAX_ITEMS]]
    return f"<{type(value).__name__}>"  # what an object says of itself holds its fields


def _last_four(value: object) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_last_four(inner) for inner in list(value)[:MAX_ITEMS]]
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, str | int):
        return HIDDEN
    digits = str(value)
    return f"...{digits[-4:]}" if len(digits) > 4 else "..."


def _origin(found: re.Match[str]) -> str:
    return found[1] + found[2] + ("/..." if len(found[3]) > 1 else found[3])

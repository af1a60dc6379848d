"""Bytes of a request or an answer become the members of an object; JSON, form and query string.

Anything that two readers could understand differently is `Unparsable`: repeated names, NaN, text that is no UTF-8,
lone surrogates, nesting and sizes beyond reason. What the members mean is not decided here.
"""

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from urllib.parse import parse_qsl

from esimhooks.server.providers.port import Unparsable

MAX_NOTIFICATION_BYTES = 1_048_576
_MAX_FORM_FIELDS = 100
_FORM_NAME = re.compile(r"(\w+)\[(\w+)\]", re.ASCII)

Members = Mapping[str, object]


def read_json(raw: bytes, *, limit_bytes: int = MAX_NOTIFICATION_BYTES) -> Members:
    """Return the members of the JSON object in `raw`. Raises `Unparsable`, whatever the bytes are."""
    document = _read(raw, limit_bytes, number=float)
    if not isinstance(document, dict):
        raise Unparsable(f"expected a JSON object, got {type(document).__name__}")
    return document


def read_exact(raw: bytes, *, limit_bytes: int = MAX_NOTIFICATION_BYTES) -> object:
    """Return any JSON value, its numbers as integers and decimals, never as floats. Raises `Unparsable`."""
    return _read(raw, limit_bytes, number=Decimal)


def _read(raw: bytes, limit_bytes: int, *, number: Callable[[str], object]) -> object:
    _refuse_larger(raw, limit_bytes)
    try:
        text = raw.decode("utf-8")
        document: object = json.loads(
            text, object_pairs_hook=_members, parse_constant=_refuse_constant, parse_float=number
        )
        if "\\ud" in text.lower():
            json.dumps(document, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeError:
        raise Unparsable("expected UTF-8 text, got bytes or escapes that are not") from None
    except json.JSONDecodeError as error:
        raise Unparsable(f"expected JSON, got something else at character {error.pos}") from None
    except ValueError:
        raise Unparsable("expected JSON, got a number that is too long") from None
    except RecursionError:
        raise Unparsable("expected a JSON object, got too deep a nesting") from None
    return document


def read_form(raw: bytes, *, limit_bytes: int = MAX_NOTIFICATION_BYTES) -> Members:
    """Return the members of a form or query string; `content[orderNo]=1` becomes a member of `content`.

    Every value is text. Raises `Unparsable`.
    """
    _refuse_larger(raw, limit_bytes)
    try:
        pairs = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise Unparsable("expected a form of UTF-8 text, got something else") from None
    top: dict[str, object] = {}
    for name, value in pairs:
        outer, inner = _split(name)
        members = top if inner is None else top.setdefault(outer, {})
        if not isinstance(members, dict) or (inner or outer) in members:
            raise Unparsable(f"expected each name once, got {name[:80]!a} again")
        members[inner or outer] = value
    return top


def _refuse_larger(raw: bytes, limit_bytes: int) -> None:
    if len(raw) > limit_bytes:
        raise Unparsable(f"expected at most {limit_bytes} bytes, got {len(raw)}")


def _split(name: str) -> tuple[str, str | None]:
    found = _FORM_NAME.fullmatch(name)
    return (found[1], found[2]) if found else (name, None)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        last_index = {name: index for index, (name, _) in enumerate(pairs)}
        twice = next(name for index, (name, _) in enumerate(pairs) if last_index[name] != index)
        raise Unparsable(f"expected each name once, got {twice[:80]!a} again")
    return members


def _refuse_constant(constant: str) -> object:
    raise Unparsable(f"expected a number, got {constant}")

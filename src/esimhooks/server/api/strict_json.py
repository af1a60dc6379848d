"""JSON as strictly as the RFC and a little more: what two parsers could read differently is refused.

Raw bytes come in; nothing comes out but the certainty that the bytes are one JSON text without NaN, lone surrogates,
duplicate keys, NUL characters, numbers beyond 64 bits or nesting over 64 levels.
"""

import json
import re
from typing import NoReturn

from esimhooks.server.domain.errors import Refused

MAX_DEPTH = 64
INTEGERS = range(-(2**63), 2**63)
MAX_NUMBER = 400

_strings = re.compile(rb'"(?:[^"\\]|\\.)*"')
_depth_change = re.compile(rb"[\[\]{}]")


def check(raw: bytes) -> None:
    """Raise `Refused` (400) that says what is wrong with the text."""
    try:
        text = raw.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise _malformed("expected UTF-8") from None
    if text.startswith("\ufeff"):
        raise _malformed("expected JSON without a byte order mark")
    try:
        _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _malformed(f"not JSON at character {error.pos}") from None
    except RecursionError:
        raise _too_deep() from None
    _check_depth(raw)
    if "\\u" in text:
        _check_escapes(json.loads(text))


def _check_depth(raw: bytes) -> None:
    """Only for what is JSON: in a string that does not end, the search for one would take the square of its length."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth = deepest = 0
    for bracket in _depth_change.findall(_strings.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise _too_deep()


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise _malformed(f"the key {name[:50]!a} stands there twice")
        found[name] = value
    return found


def _no_constant(constant: str) -> NoReturn:
    raise _malformed(f"{constant} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER or int(digits) not in INTEGERS:
        raise _malformed("an integer does not fit into 64 bits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits) if len(digits) <= MAX_NUMBER else float("inf")
    if number in (float("inf"), float("-inf")):
        raise _malformed("a number is too large")
    return number


def _check_escapes(value: object) -> None:
    """Escapes can spell what the text itself could not hold: lone surrogates and NUL."""
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise _malformed("a string holds NUL or half of a surrogate pair")
    elif isinstance(value, list):
        for one in value:
            _check_escapes(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            _check_escapes(name)
            _check_escapes(one)


def _too_deep() -> Refused:
    return _malformed(f"nested deeper than {MAX_DEPTH} levels")


def _malformed(detail: str) -> Refused:
    return Refused(detail, status=400, code="MALFORMED_JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_without_duplicates, parse_constant=_no_constant, parse_int=_integer, parse_float=_number
)

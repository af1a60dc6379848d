"""Values from outside become typed ones: JSON or plain values and a type come in, an instance goes out, or a refusal.

Decoding is msgspec's. Only where it refuses, the value is compared with the type once more, to name every bad field and
what was expected there, in words of the API.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, inspect

from esimhooks.server.domain.errors import FieldError, Refused

END = r"$(?!\n)"
"""The very end: `$` alone lets a line break pass."""
CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
"""Control characters, ends of lines, and those that turn the direction of what follows: text could look like another."""
PRINTABLE = rf"^[^{CONTROLS}]*{END}"
"""Text without control characters; PostgreSQL holds no NUL."""

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=PRINTABLE)]
Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Url = Annotated[str, Meta(min_length=1, max_length=2048, pattern=PRINTABLE)]


Kind = TypeVar("Kind")

MAX_ERRORS = 20
MAX_NAME = 80
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # the first is also what does not fit
TIME = "a time with its zone such as 2026-04-22T17:27:44Z"

SIMPLE: dict[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.DateTimeType: TIME,
    inspect.DictType: "an object",
    inspect.FloatType: "a number",
    inspect.IntType: "an integer",
    inspect.NoneType: "null",
    inspect.StructType: "an object",
}


def decode(raw: bytes, kind: type[Kind]) -> Kind:
    """Return the JSON text as an instance of the type. Raises `Refused` (422) with the bad fields."""
    hashable: Any = kind
    decoder: msgspec.json.Decoder[Kind] = _decoder(hashable)
    try:
        return decoder.decode(raw)
    except UNDECODABLE:
        raise _refusal_of_text(raw, kind) from None


def convert(value: object, kind: type[Kind], *, below: str = "", strict: bool = True) -> Kind:
    """Return the plain value as an instance of the type. Raises `Refused` (422) with the bad fields.

    `below` is the pointer to where the value stands; where not `strict`, numbers may be text, as in forms.
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        raise _refusal(value, kind, below, strict=strict) from None


def expected(kind: Any) -> str:
    """Return what a value of this type is, as `expected ...`."""
    return _sentence(_described(kind))


def escape_pointer(name: str) -> str:
    """Return a name as one step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _refusal_of_text(raw: bytes, kind: Any) -> Refused:
    try:
        value = msgspec.json.decode(raw)
    except UNDECODABLE:
        return Refused.invalid("", "expected an object in JSON")
    return _refusal(value, kind, "")


def _refusal(value: object, kind: Any, below: str, *, strict: bool = True) -> Refused:
    found = tuple(islice(_bad_fields(value, _described(kind), below, strict=strict), MAX_ERRORS))
    return Refused(
        "one or more fields are invalid",
        status=422,
        code="INVALID_FIELD",
        errors=found or (FieldError(below, expected(kind)),),
    )


@cache
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)


@cache
def _described(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _bad_fields(value: object, kind: inspect.Type, pointer: str, *, strict: bool) -> Iterator[FieldError]:
    fitting = next((one for one in _alternatives(kind) if _is_of(value, one, strict=strict)), None)
    if fitting is None:
        yield FieldError(pointer, _sentence(kind))
    else:
        yield from _inside(value, fitting, pointer, strict=strict)


def _inside(value: object, kind: inspect.Type, pointer: str, *, strict: bool) -> Iterator[FieldError]:
    match kind, value:
        case inspect.StructType(), dict():
            yield from _members(value, kind, pointer, strict=strict)
        case inspect.DictType(), dict():
            # Names are the caller's here, and may be secrets in the wrong place: they are not repeated.
            if any(any(_bad_fields(name, kind.key_type, "", strict=strict)) for name in value):
                yield FieldError(pointer, f"in every name {_sentence(kind.key_type)}")
            if any(any(_bad_fields(one, kind.value_type, "", strict=strict)) for one in value.values()):
                yield FieldError(pointer, f"in every member {_sentence(kind.value_type)}")
        case ((inspect.ListType() | inspect.VarTupleType()), list()):
            for index, item in enumerate(value):
                yield from _bad_fields(item, kind.item_type, f"{pointer}/{index}", strict=strict)


def _members(value: dict[str, object], kind: inspect.StructType, pointer: str, *, strict: bool) -> Iterator[FieldError]:
    fields = {field.encode_name: field for field in kind.fields}
    if kind.forbid_unknown_fields:
        for name in value.keys() - fields.keys():
            yield FieldError(
                f"{pointer}/{escape_pointer(name[:MAX_NAME])}", f"expected no such field: only {', '.join(fields)}"
            )
    for name, field in fields.items():
        inner = f"{pointer}/{escape_pointer(name)}"
        if name in value:
            yield from _bad_fields(value[name], field.type, inner, strict=strict)
        elif field.required:
            yield FieldError(inner, f"expected this field: {_sentence(field.type)}")


def _is_of(value: object, kind: inspect.Type, *, strict: bool) -> bool:
    """Whether the value itself is of the type; what stands inside of it is not looked at."""
    match kind:
        case inspect.StructType():
            return isinstance(value, dict)
        case inspect.DictType() | inspect.ListType() | inspect.VarTupleType():
            whole = dict if isinstance(kind, inspect.DictType) else list
            return isinstance(value, whole) and _between(len(value), kind.min_length, kind.max_length)
        case inspect.StrType():
            return isinstance(value, str) and _is_text(value, kind)
        case inspect.EnumType():
            return value in [member.value for member in kind.cls]
        case inspect.LiteralType():
            return value in kind.values
        case _:
            return _is_scalar(value, kind, strict=strict)


def _is_scalar(value: object, kind: inspect.Type, *, strict: bool) -> bool:
    annotated: Any = Any
    match kind:
        case inspect.NoneType():
            annotated = None
        case inspect.BoolType():
            annotated = bool
        case inspect.IntType():
            annotated = Annotated[int, Meta(ge=kind.ge, le=kind.le)]
        case inspect.FloatType():
            annotated = Annotated[float, Meta(ge=kind.ge, le=kind.le)]
        case inspect.DateTimeType():
            annotated = Annotated[datetime, Meta(tz=kind.tz)]
    return _converts(value, annotated, strict=strict)


def _converts(value: object, kind: Any, *, strict: bool) -> bool:
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def _is_text(value: str, kind: inspect.StrType) -> bool:
    fits = kind.pattern is None or re.search(kind.pattern, value) is not None
    return fits and _between(len(value), kind.min_length, kind.max_length)


def _between(size: int, minimum: int | None, maximum: int | None) -> bool:
    return (minimum is None or size >= minimum) and (maximum is None or size <= maximum)


def _alternatives(kind: inspect.Type) -> Sequence[inspect.Type]:
    match kind:
        case inspect.UnionType():
            return [inner for one in kind.types for inner in _alternatives(one)]
        case inspect.Metadata():
            return _alternatives(kind.type)
        case _:
            return [kind]


def _sentence(kind: inspect.Type) -> str:
    return f"expected {' or '.join(dict.fromkeys(_word(one) for one in _alternatives(kind)))}"


def _word(kind: inspect.Type) -> str:
    match kind:
        case inspect.StrType():
            return _text(kind)
        case inspect.IntType() | inspect.FloatType():
            return f"{SIMPLE[type(kind)]}{_range(kind.ge, kind.le)}"
        case inspect.ListType() | inspect.VarTupleType() | inspect.DictType():
            return _container(kind)
        case inspect.EnumType():
            return f"one of {', '.join(str(member.value) for member in kind.cls)}"
        case inspect.LiteralType():
            return f"one of {', '.join(map(str, kind.values))}"
        case _:
            return SIMPLE.get(type(kind), "something else")


def _container(kind: inspect.ListType | inspect.VarTupleType | inspect.DictType) -> str:
    what, of = ("an object", "members") if isinstance(kind, inspect.DictType) else ("a list", "items")
    return f"{what}{_range(kind.min_length, kind.max_length, of=of)}"


def _text(kind: inspect.StrType) -> str:
    size = _range(kind.min_length, kind.max_length, of="characters")
    if kind.pattern is None:
        return f"text{size}"
    return f"text{size} without control characters" if kind.pattern == PRINTABLE else f"text that fits {kind.pattern}"


def _range(minimum: float | None, maximum: float | None, *, of: str = "") -> str:
    low, high = (None if bound is None else f"{bound:g}" for bound in (minimum, maximum))
    start, unit = (" of", f" {of}") if of else ("", "")
    if low is not None and high is not None:
        return f"{start} {low} to {high}{unit}" if of else f" from {low} to {high}"
    if high is not None:
        return f"{start} at most {high}{unit}"
    return f"{start} at least {low}{unit}" if low is not None else ""

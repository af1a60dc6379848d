"""What was expected of a field, in words of the API: a type and a place in it come in, a sentence goes out.

The types are those that bodies and parameters are declared with, so that the answer cannot differ from the check.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from esimhooks.server.domain.errors import FieldError, Refused
from esimhooks.server.domain.patterns import PRINTABLE

SHOWN = 80
MOMENT = "a time with its zone such as 2026-04-22T17:27:44Z"

SIMPLE: dict[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.DateTimeType: MOMENT,
    inspect.DictType: "an object",
    inspect.FloatType: "a number",
    inspect.IntType: "an integer",
    inspect.NoneType: "null",
    inspect.StructType: "an object",
}

_step = re.compile(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")
_missing = "Object missing required field `"
_unknown = "Object contains unknown field `"


def misfit(error: msgspec.ValidationError, kind: Any, *, below: str = "") -> Refused:
    """Return the refusal (422) for a body that is not of `kind`, with a pointer to the field (RFC 6901).

    `below` is the pointer to where the value of that kind stands.
    """
    said, _, path = str(error).rpartition(" - at `")
    if not said:
        said, path = path, "$"
    pointer: list[str] = []
    found: list[inspect.Type] = [_described(kind)]
    own = ""
    for name, index, member in _step.findall(path[path.find("$") :]):
        found = [inner for outer in found for inner in _inside(outer, name or index)]
        if member:  # of an object whose names are the caller's: msgspec does not tell which
            own = "in every member "
        elif not own:
            pointer.append(name or index)
    if path.startswith("key` in"):
        own, found = "in every name ", [one.key_type for one in found if isinstance(one, inspect.DictType)]
    detail = own + words(found)
    for opening, more in ((_missing, "expected this field"), (_unknown, "expected no such field")):
        if said.startswith(opening):
            name = said.removeprefix(opening).removesuffix("`")
            pointer.append(name[:SHOWN])
            inner = words([one for outer in found for one in _inside(outer, name)])
            detail = f"{more}: {inner or 'only ' + ', '.join(_names(found))}"
    return Refused(
        "a field does not hold what was expected",
        status=422,
        code="INVALID_FIELD",
        errors=(FieldError(below + "".join(f"/{escaped(one)}" for one in pointer), detail),),
    )


def expected(kind: Any) -> str:
    """Return what a value of this type is, as `expected ...`."""
    return words([_described(kind)])


def escaped(name: str) -> str:
    """Return one step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def words(found: Sequence[inspect.Type]) -> str:
    """Return the sentence for any of the types; empty for none."""
    told = dict.fromkeys(_word(one) for outer in found for one in _alternatives(outer))
    return f"expected {' or '.join(told)}" if told else ""


@cache
def _described(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _alternatives(found: inspect.Type) -> Iterator[inspect.Type]:
    match found:
        case inspect.UnionType():
            for one in found.types:
                yield from _alternatives(one)
        case inspect.Metadata():
            yield from _alternatives(found.type)
        case _:
            yield found


def _inside(found: inspect.Type, step: str) -> Iterator[inspect.Type]:
    for one in _alternatives(found):
        match one:
            case inspect.StructType():
                yield from (field.type for field in one.fields if field.encode_name == step)
            case inspect.ListType():
                yield one.item_type
            case inspect.DictType():
                yield one.value_type
            case _:
                pass


def _names(found: Sequence[inspect.Type]) -> list[str]:
    structs = [one for outer in found for one in _alternatives(outer) if isinstance(one, inspect.StructType)]
    return [field.encode_name for struct in structs for field in struct.fields]


def _word(found: inspect.Type) -> str:
    match found:
        case inspect.StrType():
            return _text(found)
        case inspect.IntType() | inspect.FloatType():
            return f"{SIMPLE[type(found)]}{_range(found.ge, found.le)}"
        case inspect.ListType():
            return f"a list{_range(found.min_length, found.max_length, of='items')}"
        case inspect.EnumType():
            return f"one of {', '.join(str(member.value) for member in found.cls)}"
        case inspect.LiteralType():
            return f"one of {', '.join(map(str, found.values))}"
        case _:
            return SIMPLE.get(type(found), "something else")


def _text(found: inspect.StrType) -> str:
    size = _range(found.min_length, found.max_length, of="characters")
    if found.pattern is None:
        return f"text{size}"
    return f"text{size} without control characters" if found.pattern == PRINTABLE else f"text that fits {found.pattern}"


def _range(least: float | None, most: float | None, *, of: str = "") -> str:
    low, high = (None if bound is None else f"{bound:g}" for bound in (least, most))
    start, unit = (" of", f" {of}") if of else ("", "")
    if low is not None and high is not None:
        return f"{start} {low} to {high}{unit}" if of else f" from {low} to {high}"
    if high is not None:
        return f"{start} at most {high}{unit}"
    return f"{start} at least {low}{unit}" if low is not None else ""

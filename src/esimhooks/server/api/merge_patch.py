"""JSON merge patch (RFC 7396) on typed bodies: what stands there and what was sent come in, what stands there now goes out.

A patch is a struct of its own whose fields are `... | UnsetType = UNSET`, so that absent, null and a value are told
apart by its type, and null is refused where nothing may be removed. Nothing is read or stored here.
"""

from collections.abc import Mapping
from typing import TypeVar

from msgspec import NODEFAULT, UNSET, Struct
from msgspec.structs import FieldInfo, fields, replace

Body = TypeVar("Body", bound=Struct)


def named(patch: Struct) -> dict[str, object]:
    """Return what a patch names, by the names of its attributes; null is None."""
    values = {field.name: getattr(patch, field.name) for field in fields(patch)}
    return {name: value for name, value in values.items() if value is not UNSET}


def merged(body: Body, patch: Struct) -> Body:
    """Return the body with what the patch names.

    Null puts a field back to what it is where nobody says anything; objects are merged member by member, null removes
    one. Fields of both have the same names.
    """
    defaults = {field.name: field for field in fields(body)}
    changes = {
        name: _default(defaults[name]) if value is None else _member(getattr(body, name), value)
        for name, value in named(patch).items()
    }
    return replace(body, **changes)


def _member(before: object, told: object) -> object:
    if isinstance(told, Struct):
        return merged(before, told) if isinstance(before, Struct) else told
    if not isinstance(told, Mapping):
        return told
    kept = dict(before) if isinstance(before, Mapping) else {}
    together = kept | {name: _member(kept.get(name), value) for name, value in told.items()}
    return {name: value for name, value in together.items() if value is not None}


def _default(field: FieldInfo) -> object:
    if field.default is not NODEFAULT:
        return field.default
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    raise TypeError(f"{field.name} cannot be removed: its patch must not allow null")

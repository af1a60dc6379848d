"""JSON merge patch (RFC 7396) on typed bodies: what stands there and what was sent come in, what stands there now goes out.

A patch is a struct of its own whose fields are `... | UnsetType = UNSET`, so that absent, null and a value are distinguished by
type, and null is refused where nothing may be removed. Nothing is read or stored here.
"""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar, get_args, get_origin

from msgspec import NODEFAULT, UNSET, Struct, UnsetType, defstruct, field
from msgspec.structs import FieldInfo, fields, replace

Body = TypeVar("Body", bound=Struct)


def patch_values(patch: Struct) -> dict[str, object]:
    """Return what a patch names, by the names of its attributes; null is None."""
    values = {field.name: getattr(patch, field.name) for field in fields(patch)}
    return {name: value for name, value in values.items() if value is not UNSET}


def merged(body: Body, patch: Struct, defaults: Struct | None = None) -> Body:
    """Return the body with what the patch names.

    Null puts a field back to what it is in `defaults`, or else where nobody says anything; objects are merged member by
    member, null removes one. Fields of all have the same names.
    """
    declared = {one.name: one for one in fields(body)}
    changes: dict[str, object] = {}
    for name, value in patch_values(patch).items():
        if value is not None:
            changes[name] = _member(getattr(body, name), value)
        else:
            changes[name] = _default(declared[name]) if defaults is None else getattr(defaults, name)
    return replace(body, **changes)


def patch_of(
    body: type[Struct], name: str, doc: str, *, never_null: Collection[str], required: bool, also: Mapping[str, Any]
) -> Any:
    """Return a struct for patches of the body: each of its fields may be absent, or null.

    Those `never_null` may not be null, and where `required` not be absent. Members of objects may be null. `also` names
    further types of fields.
    """
    members: list[tuple[str, Any, Any]] = []
    for one in fields(body):
        kind = _nullable_members(one.type)
        if one.name in also:
            kind |= also[one.name]
        if one.name not in never_null:
            members.append((one.name, kind | UnsetType | None, field(default=UNSET, name=one.encode_name)))
        elif required:
            members.append((one.name, kind, field(name=one.encode_name)))
        else:
            members.append((one.name, kind | UnsetType, field(default=UNSET, name=one.encode_name)))
    return defstruct(name, members, forbid_unknown_fields=True, kw_only=True, namespace={"__doc__": doc})


def shown_with(body: type[Struct], name: str, doc: str, **more: Any) -> Any:
    """Return a struct that shows all fields of the body, each of which is there, with some more before them."""
    own = [(one.name, one.type, field(name=one.encode_name)) for one in fields(body)]
    members: list[tuple[str, Any] | tuple[str, Any, Any]] = [*more.items(), *own]
    return defstruct(name, members, kw_only=True, rename="camel", namespace={"__doc__": doc})


def _nullable_members(kind: Any) -> Any:
    if get_origin(kind) is not dict:
        return kind
    names, values = get_args(kind)
    return dict[names, values | None]  # type: ignore[valid-type]


def _member(before: object, change: object) -> object:
    if isinstance(change, Struct):
        return merged(before, change) if isinstance(before, Struct) else change
    if not isinstance(change, Mapping):
        return change
    kept = dict(before) if isinstance(before, Mapping) else {}
    together = kept | {name: _member(kept.get(name), value) for name, value in change.items()}
    return {name: value for name, value in together.items() if value is not None}


def _default(field: FieldInfo) -> object:
    if field.default is not NODEFAULT:
        return field.default
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    raise TypeError(f"{field.name} cannot be removed: its patch must not allow null")

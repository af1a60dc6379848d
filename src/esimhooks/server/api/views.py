"""What answers are made of: a row comes in, the struct in which the API shows it goes out. Nothing is read or decided here."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import fields

from esimhooks.server.domain.ids import Prefix, text_or_none
from esimhooks.vocabulary.timestamps import timestamp

View = TypeVar("View", bound=Struct)


def view_of(view: type[View], row: Struct, **members: object) -> View:
    """Return the row as a `view`: members that both have are taken over, times as text and tuples as lists.

    Of `members`, a `Prefix` is the kind of an id: `esim=Prefix.ESIM` shows `esim_id` of the row, `id=` its own. Any other
    value is shown as it is.
    """
    shown = {name: _id(row, name, one) if isinstance(one, Prefix) else one for name, one in members.items()}
    taken = {one.name: _plain(getattr(row, one.name)) for one in fields(view) if one.name not in shown}
    return view(**shown, **taken)


def _id(row: Struct, name: str, prefix: Prefix) -> str | None:
    value: UUID | None = getattr(row, name if name == "id" or name.endswith("_id") else f"{name}_id")
    return text_or_none(prefix, value)


def _plain(value: object) -> object:
    match value:
        case datetime():
            return timestamp(value)
        case tuple():
            return list(value)
        case Mapping():
            return dict(value)
        case _:
            return value

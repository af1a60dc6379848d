"""What the address of a list asks for: filters and the place in the list. Values that are not known are refused."""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from msgspec import Struct

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.lists import from_cursor, to_cursor
from esimhooks.server.dashboard.period import Period, period_of
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import Visitor
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, made_at, parse_id
from esimhooks.server.domain.lists import Window
from esimhooks.server.store import accounts
from esimhooks.server.store.database import Session

ROWS = 25
MAX_TEXT = 200
Row = TypeVar("Row")
Word = TypeVar("Word", bound=StrEnum)


class Shown(Struct, frozen=True):
    """A part of a list and the cursor of the next, if there is one.

    `back_to` is how far a search looked that could not look at all rows at once.
    """

    rows: Sequence[object]
    cursor: str | None
    back_to: datetime | None = None
    is_later: bool = False
    """Whether newer rows come before this part."""


def text(request: Request, name: str) -> str | None:
    """Return what is asked for under the name, or None. Raises `Refused` (422) for more than 200 characters or others."""
    value = request.query.get(name, "").strip()
    if len(value) > MAX_TEXT or not value.isprintable():
        raise Refused.invalid(f"/{name}", f"expected at most {MAX_TEXT} characters that can be printed")
    return value or None


def joined(request: Request, name: str) -> str:
    """Return all that is asked for under the name, with commas in between."""
    return ",".join(value for one, value in request.query_pairs if one == name)


def word(request: Request, name: str, kind: type[Word]) -> Word | None:
    """Return the member that is asked for, or None. Raises `Refused` (422) for a value that is none of them."""
    value = one_of(request, name, list(kind))
    return None if value is None else kind(value)


def one_of(request: Request, name: str, values: Collection[str]) -> str | None:
    """Return which of the values is asked for, or None. Raises `Refused` (422) for any other."""
    value = text(request, name)
    if value is not None and value not in values:
        raise Refused.invalid(f"/{name}", f"expected one of {', '.join(values)}, not {value[:40]}")
    return value


def number(request: Request, name: str, *, least: int, most: int) -> int | None:
    """Return the number that is asked for, or None. Raises `Refused` (422) for what is none in these bounds."""
    value = text(request, name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or not least <= int(value[:9]) <= most:
        raise Refused.invalid(f"/{name}", f"expected a number from {least} to {most}")
    return int(value)


def row_id(request: Request, name: str, prefix: Prefix) -> UUID | None:
    """Return the id that is asked for, or None. Raises `Refused` (422) for one of another kind."""
    value = text(request, name)
    try:
        return None if value is None else parse_id(prefix, value)
    except Refused as refused:
        raise Refused.invalid(f"/{name}", refused.detail) from None


def period(request: Request) -> Period:
    """Return the time that is asked for. Raises `Refused` (422) for what is no time."""
    return period_of(request.query)


def window(request: Request) -> Window:
    """Return the part of the list, one row larger than is shown."""
    cursor = text(request, "cursor")
    return Window(before=from_cursor(cursor) if cursor else None, limit=ROWS + 1)


def shown(request: Request, rows: Sequence[Row], ids: Sequence[UUID], *, reached: UUID | None = None) -> Shown:
    """Return the part of the list for rows that were read through `window`; `reached` is where the search ended."""
    is_later = "cursor" in request.query
    if len(rows) > ROWS:
        return Shown(rows[:ROWS], to_cursor(ids[ROWS - 1]), is_later=is_later)
    if reached is None:
        return Shown(rows, None, is_later=is_later)
    return Shown(rows, to_cursor(reached), made_at(reached), is_later)


def tenant_of_page(visitor: Visitor) -> Tenant:
    """Return whose rows the page is about. Raises `Refused` (422) where an operator has chosen no account."""
    if visitor.tenant is None:
        raise Refused.invalid("/account", "choose an account first, at the top of the page")
    return visitor.tenant


async def choose_account(request: Request, db: Session, visitor: Visitor) -> Response | None:
    """Return the page on which an operator chooses an account, where none is chosen."""
    if visitor.tenant is not None:
        return None
    name = text(request, "name")
    rows = await accounts.page(db, **window(request), name=name)
    values = {
        "title": "Choose an account",
        "list": shown(request, rows, [row.id for row in rows]),
        "name": name,
        "path": request.path,
    }
    return page("choose.html", visitor, values)

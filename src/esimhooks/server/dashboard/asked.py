"""What the address of a list asks for: filters and the place in the list. A word that is not known is as if not asked."""

from collections.abc import Sequence
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
from esimhooks.server.manage.lists import Window
from esimhooks.server.store import accounts
from esimhooks.server.store.database import Session

ROWS = 25
Row = TypeVar("Row")
Word = TypeVar("Word", bound=StrEnum)


class Shown(Struct, frozen=True):
    """A part of a list and the cursor of the next, if there is one.

    `back_to` is how far a search looked that could not look at all rows at once.
    """

    rows: Sequence[object]
    cursor: str | None
    back_to: datetime | None = None


def text(request: Request, name: str) -> str | None:
    """Return what is asked for under the name, or None."""
    value = request.query.get(name, "").strip()[:200]
    return value if value.isprintable() and value else None


def joined(request: Request, name: str) -> str:
    """Return all that is asked for under the name, with commas in between."""
    return ",".join(value for one, value in request.query_pairs if one == name)


def word(request: Request, name: str, kind: type[Word]) -> Word | None:
    """Return the member that is asked for, or None."""
    value = text(request, name)
    return kind(value) if value in set(kind) else None


def row_id(request: Request, name: str, prefix: Prefix) -> UUID | None:
    """Return the id that is asked for, or None. Raises `Refused` (404) for one of another kind."""
    value = text(request, name)
    return None if value is None else parse_id(prefix, value)


def period(request: Request) -> Period:
    """Return the time that is asked for. Raises `Refused` (422) for what is no time."""
    return period_of(request.query)


def window(request: Request) -> Window:
    """Return the part of the list, one row larger than is shown."""
    cursor = text(request, "cursor")
    return Window(before=from_cursor(cursor) if cursor else None, limit=ROWS + 1)


def shown(rows: Sequence[Row], ids: Sequence[UUID], *, reached: UUID | None = None) -> Shown:
    """Return the part of the list for rows that were read through `window`; `reached` is where the search ended."""
    if len(rows) > ROWS:
        return Shown(rows[:ROWS], to_cursor(ids[ROWS - 1]))
    return Shown(rows, None) if reached is None else Shown(rows, to_cursor(reached), made_at(reached))


def tenant_of_page(visitor: Visitor) -> Tenant:
    """Return whose rows the page is about. Raises `Refused` (422) where an operator has chosen no account."""
    if visitor.tenant is None:
        raise Refused.invalid("/account", "choose an account first, at the top of the page")
    return visitor.tenant


async def choose_account(db: Session, visitor: Visitor, path: str) -> Response | None:
    """Return the page on which an operator chooses an account, where none is chosen."""
    if visitor.tenant is not None:
        return None
    rows = await accounts.page(db, **Window(before=None, limit=100))
    return page("choose.html", visitor, {"title": "Choose an account", "accounts": rows, "path": path})

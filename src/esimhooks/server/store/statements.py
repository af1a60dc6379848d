"""Statements that are put together: their parameters, many rows at once, and searches that scan a limited number of rows.

Values and columns come in; rows, and how far a search got, go out. A value never becomes part of a statement's text.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import count
from types import NoneType
from typing import Any, TypeVar, get_args
from uuid import UUID

import asyncpg
from msgspec import Struct, convert
from msgspec.structs import fields

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode

Shape = TypeVar("Shape", bound=Struct)


class Parameters:
    """The values of one statement, in their order."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object) -> str:
        """Add a value and return what stands for it in the statement, e.g. `$3`."""
        self.values.append(value)
        return f"${len(self.values)}"

    def between(self, *, first: UUID | None, last: UUID | None, before: UUID | None) -> list[str]:
        """Return the conditions for ids from `first` to before `last` and before `before`, leaving out those that are None."""
        bounds = (("id >=", first), ("id <", last), ("id <", before))
        return [f"{beyond} {self(bound)}" for beyond, bound in bounds if bound is not None]

    def equal(self, wanted: Mapping[str, object]) -> list[str]:
        """Return the conditions that columns have these values, leaving out those that are None."""
        return [f"{column} = {self(value)}" for column, value in wanted.items() if value is not None]


class Arrays:
    """The parameters of one statement that takes rows as arrays, one array a column; numbered as they are written."""

    def __init__(self) -> None:
        self._number = count(1)

    def __call__(self, kinds: Iterable[str]) -> str:
        """Return what stands for columns of these PostgreSQL types, e.g. `$3::uuid[], $4::text[]`."""
        return ", ".join(f"${next(self._number)}::{kind}[]" for kind in kinds)


def columns_of(rows: Sequence[Sequence[object]], width: int) -> list[Sequence[object]]:
    """Return rows as `width` columns, also where there is no row."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


AS_IT_IS = {UUID, str, int, float, bool, bytes, datetime, NoneType}
"""Members that the driver returns as they are; texts become members of enumerations, JSON becomes structs."""


@cache
def _members(kind: type[Struct]) -> Mapping[str, Any]:
    """Return what the columns of a struct become, None for those that stay as they are."""
    return {one.name: None if {*(get_args(one.type) or [one.type])} <= AS_IT_IS else one.type for one in fields(kind)}


def struct_of(kind: type[Shape], row: asyncpg.Record, /, **members: object) -> Shape:
    """Return the row as a struct, whose members are the columns of the same name, but for those that are given."""
    known = _members(kind)
    for name in (known.keys() - members.keys()).intersection(row.keys()):
        members[name] = row[name] if known[name] is None else convert(row[name], known[name])
    return kind(**members)


def tenant_of(row: asyncpg.Record) -> Tenant:
    """Return whose a row is."""
    return Tenant(row["account_id"], Mode(row["mode"]))


class Columns:
    """The columns of a table that are written together, with their PostgreSQL types.

    Many rows take one round trip and one plan, whatever their number.
    """

    def __init__(self, table: str, columns: Mapping[str, str]) -> None:
        self.names = tuple(columns)
        names = ", ".join(columns)
        arrays = ", ".join(f"${i}::{kind}[]" for i, kind in enumerate(columns.values(), 1))
        key, *others = columns
        assignments = ", ".join(f"{name} = new.{name}" for name in others)
        self._insert = f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"
        self._update = (
            f"UPDATE {table} SET {assignments} FROM unnest({arrays}) AS new ({names}) WHERE {table}.{key} = new.{key}"
        )

    async def insert(self, db: Session, rows: Sequence[Sequence[object]]) -> None:
        """Insert the rows, values in the order of the columns."""
        if rows:
            await db.conn.execute(self._insert, *zip(*rows, strict=True))

    async def update(self, db: Session, rows: Sequence[Sequence[object]]) -> None:
        """Overwrite the rows with the same first column."""
        if rows:
            await db.conn.execute(self._update, *zip(*rows, strict=True))


async def bounded_scan(  # noqa: PLR0913
    db: Session,
    table: str,
    *,
    parameters: Parameters,
    indexed: Sequence[str],
    wanted: Mapping[str, object],
    limit: int,
    max_scanned: int | None,
    order: str = "id DESC",
    also: str = "",
) -> tuple[Sequence[asyncpg.Record], UUID | None]:
    """Return up to `limit` rows, newest first, and the last one scanned where there may be older ones that fit.

    The newest `max_scanned` rows (None for all) that meet the conditions `indexed`, whose values are in `parameters`, are
    scanned; of these the ones fit that have the `wanted` values, where None is any. So no filter makes a list slow. `order`
    is newest first, in the words of the index that is to serve it. `also` are columns more, of the row `fitting`.
    """
    count = len(parameters.values)
    newest = f"FROM {table} WHERE {' AND '.join(indexed) or 'true'} ORDER BY {order}"
    fits = parameters.equal(wanted)
    rows = await db.conn.fetch(
        f"""
        SELECT fitting.*{also} FROM (SELECT * {newest} LIMIT {parameters(max_scanned)}) fitting
        WHERE {" AND ".join(fits) or "true"} ORDER BY {order} LIMIT {parameters(limit)}
        """,
        *parameters.values,
    )
    reached: UUID | None = None
    if max_scanned is not None and fits and len(rows) < limit:
        reached = await db.conn.fetchval(
            f"SELECT id {newest} OFFSET {max_scanned - 1} LIMIT 1", *parameters.values[:count]
        )
    return rows, reached

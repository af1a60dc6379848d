"""Statements for many rows at once: one round trip and one plan, whatever the number of rows."""

from collections.abc import Mapping, Sequence

from esimhooks.server.store.database import Session


class Columns:
    """The columns of a table that are written together, with their PostgreSQL types."""

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

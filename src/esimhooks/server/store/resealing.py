"""Resealing: what lies sealed with an older key is sealed with the newest, some rows at a time.

How far it got is told by the rows themselves, as each says which key sealed it: a run that was killed is begun again and
goes over what is left. Rows are locked in the order of their keys, as everywhere.
"""

from collections.abc import Sequence

from msgspec import Struct

from esimhooks.server.store.database import Session

ROWS = 500


class Place(Struct, frozen=True, kw_only=True):
    """A sealed column. `keys` are the columns of the primary key with their types; `row` is what a value is bound to."""

    table: str
    column: str
    row: str
    keys: tuple[tuple[str, str], ...] = (("id", "uuid"),)


PLACES = (
    Place(table="attempts", column="sealed_body", row="attempts.body.{id}"),
    Place(table="endpoint_secrets", column="sealed_secret", row="endpoint_secrets.secret.{id}"),
    Place(table="endpoints", column="sealed_headers", row="endpoints.headers.{id}"),
    Place(table="esims", column="sealed_credentials", row="esims.credentials.{id}"),
    Place(table="esims", column="sealed_held", row="esims.held.{id}"),
    Place(table="events", column="sealed_body", row="events.body.{id}"),
    Place(
        table="idempotent_answers",
        column="sealed_answer",
        row="idempotent_answers.answer.{account_id}.{mode}.{key}",
        keys=(("account_id", "uuid"), ("mode", "text"), ("key", "text")),
    ),
    Place(table="notifications", column="sealed_body", row="notifications.body.{id}"),
    Place(table="providers", column="sealed_credentials", row="providers.credentials.{name}", keys=(("name", "text"),)),
    Place(table="providers", column="sealed_token", row="providers.token.{name}", keys=(("name", "text"),)),
)
"""All sealed columns but the canaries, which are of one key each."""

Key = tuple[object, ...]


async def reseal(db: Session, place: Place, *, after: Key | None) -> tuple[int, Key | None]:
    """Reseal the next rows behind the key `after`; return how many, and the last key, None at the end.

    Needs a transaction. Raises `Broken` for a value that no key opens.
    """
    names = ", ".join(_names(place))
    marks = ", ".join(f"${number}::{kind}" for number, (_, kind) in enumerate(place.keys, 2))
    behind = f"AND ({names}) > ({marks})" if after is not None else ""
    # Names come from PLACES alone.
    rows = await db.conn.fetch(
        f"""
        SELECT {names}, {place.column} AS sealed FROM {place.table}
        WHERE {place.column} IS NOT NULL AND substring({place.column} FROM 1 FOR length($1::bytea)) <> $1::bytea {behind}
        ORDER BY {names} LIMIT {ROWS} FOR NO KEY UPDATE
        """,
        db.sealer.head,
        *(after or ()),
    )
    if not rows:
        return 0, None
    keys = [tuple(row[name] for name in _names(place)) for row in rows]
    sealed = [_resealed(db, row["sealed"], place.row.format(**dict(row))) for row in rows]
    await _write(db, place, keys, sealed)
    return len(rows), keys[-1]


async def left(db: Session, place: Place) -> bool:
    """Whether a row is still sealed with an older key."""
    return bool(
        await db.conn.fetchval(
            f"""
            SELECT EXISTS (SELECT FROM {place.table}
                           WHERE substring({place.column} FROM 1 FOR length($1::bytea)) <> $1::bytea)
            """,
            db.sealer.head,
        )
    )


def _names(place: Place) -> list[str]:
    return [name for name, _ in place.keys]


def _resealed(db: Session, sealed: bytes, row: str) -> bytes:
    return db.sealer.seal(db.sealer.open(sealed, row=row), row=row)


async def _write(db: Session, place: Place, keys: Sequence[Key], sealed: Sequence[bytes]) -> None:
    columns = ", ".join(_names(place))
    marks = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(place.keys, 2))
    same = " AND ".join(f"t.{name} = n.{name}" for name in _names(place))
    await db.conn.execute(
        f"""
        UPDATE {place.table} t SET {place.column} = n.sealed
        FROM unnest($1::bytea[], {marks}) AS n (sealed, {columns}) WHERE {same}
        """,
        list(sealed),
        *(list(one) for one in zip(*keys, strict=True)),
    )

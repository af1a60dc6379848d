"""Resealing: what lies sealed with an older key is sealed with the newest, some rows at a time.

How far it got is told by the rows themselves, as each says which key sealed it: a run that was killed is begun again and
goes over what is left. Rows are locked in the order of their keys, as everywhere.
"""

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from esimhooks.server.domain.errors import Undecryptable
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


class Resealed(Struct, frozen=True, kw_only=True):
    """What became of some rows: how many are sealed anew, which could not be decrypted, and the last key, None at the end."""

    done: int = 0
    unreadable: Sequence[str] = ()
    after: Key | None = None


async def reseal(db: Session, place: Place, *, after: Key | None) -> Resealed:
    """Reseal the next rows behind the key `after`; those that cannot be decrypted stay as they are. Needs a transaction."""
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
        return Resealed()
    keys: list[Key] = []
    sealed: list[bytes] = []
    unreadable: list[str] = []
    for row in rows:
        name = place.row.format(**dict(row))
        try:
            sealed.append(db.sealer.seal(db.sealer.open(row["sealed"], row=name), row=name))
        except Undecryptable:
            unreadable.append(name)
        else:
            keys.append(_key(place, row))
    await _write(db, place, keys, sealed)
    return Resealed(done=len(keys), unreadable=unreadable, after=_key(place, rows[-1]))


async def left(db: Session, place: Place) -> int:
    """Return how many rows are still sealed with an older key."""
    number: int = await db.conn.fetchval(
        f"""
        SELECT count(*) FROM {place.table} WHERE substring({place.column} FROM 1 FOR length($1::bytea)) <> $1::bytea
        """,
        db.sealer.head,
    )
    return number


def _names(place: Place) -> list[str]:
    return [name for name, _ in place.keys]


def _key(place: Place, row: asyncpg.Record) -> Key:
    return tuple(row[name] for name in _names(place))


async def _write(db: Session, place: Place, keys: Sequence[Key], sealed: Sequence[bytes]) -> None:
    if not keys:
        return
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

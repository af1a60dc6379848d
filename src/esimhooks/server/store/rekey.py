"""Rekeying: what is encrypted with an older key is encrypted again with the newest, some rows at a time.

How far it got is in the rows themselves, as each says which key encrypted it: a run that was killed is started again and
goes over what is left. Rows are locked in the order of their keys, as everywhere.
"""

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from esimhooks.server.domain.errors import Undecryptable
from esimhooks.server.store.database import Session

ROWS = 500


class EncryptedColumn(Struct, frozen=True, kw_only=True):
    """An encrypted column. `keys` are the columns of the primary key with their types; `row` is what a value is bound to."""

    table: str
    name: str
    row: str
    keys: tuple[tuple[str, str], ...] = (("id", "uuid"),)


ENCRYPTED_COLUMNS = (
    EncryptedColumn(table="attempts", name="sealed_body", row="attempts.body.{id}"),
    EncryptedColumn(table="endpoint_secrets", name="sealed_secret", row="endpoint_secrets.secret.{id}"),
    EncryptedColumn(table="endpoints", name="sealed_headers", row="endpoints.headers.{id}"),
    EncryptedColumn(table="esims", name="sealed_credentials", row="esims.credentials.{id}"),
    EncryptedColumn(table="esims", name="sealed_held", row="esims.held.{id}"),
    EncryptedColumn(table="events", name="sealed_body", row="events.body.{id}"),
    EncryptedColumn(
        table="idempotent_answers",
        name="sealed_answer",
        row="idempotent_answers.answer.{account_id}.{mode}.{key}",
        keys=(("account_id", "uuid"), ("mode", "text"), ("key", "text")),
    ),
    EncryptedColumn(table="notifications", name="sealed_body", row="notifications.body.{id}"),
    EncryptedColumn(
        table="providers", name="sealed_credentials", row="providers.credentials.{name}", keys=(("name", "text"),)
    ),
    EncryptedColumn(
        table="providers", name="sealed_old_token", row="providers.old_token.{name}", keys=(("name", "text"),)
    ),
    EncryptedColumn(table="providers", name="sealed_token", row="providers.token.{name}", keys=(("name", "text"),)),
)
"""All encrypted columns but the canaries, which are of one key each."""

Key = tuple[object, ...]


class Rekeyed(Struct, frozen=True, kw_only=True):
    """What became of some rows: how many are encrypted again, which could not be decrypted, and the last key, None at the end."""

    done: int = 0
    unreadable: Sequence[str] = ()
    after: Key | None = None


async def rekey_rows(db: Session, column: EncryptedColumn, *, after: Key | None) -> Rekeyed:
    """Rekey the next rows behind the key `after`; those that cannot be decrypted stay as they are. Needs a transaction."""
    names = ", ".join(_names(column))
    marks = ", ".join(f"${number}::{kind}" for number, (_, kind) in enumerate(column.keys, 2))
    behind = f"AND ({names}) > ({marks})" if after is not None else ""
    # Names come from ENCRYPTED_COLUMNS alone.
    rows = await db.conn.fetch(
        f"""
        SELECT {names}, {column.name} AS encrypted FROM {column.table}
        WHERE {column.name} IS NOT NULL AND substring({column.name} FROM 1 FOR length($1::bytea)) <> $1::bytea {behind}
        ORDER BY {names} LIMIT {ROWS} FOR NO KEY UPDATE
        """,
        db.cipher.head,
        *(after or ()),
    )
    if not rows:
        return Rekeyed()
    keys: list[Key] = []
    encrypted: list[bytes] = []
    unreadable: list[str] = []
    for row in rows:
        name = column.row.format(**dict(row))
        try:
            encrypted.append(db.cipher.encrypt(db.cipher.decrypt(row["encrypted"], row=name), row=name))
        except Undecryptable:
            unreadable.append(name)
        else:
            keys.append(_key(column, row))
    await _write(db, column, keys, encrypted)
    return Rekeyed(done=len(keys), unreadable=unreadable, after=_key(column, rows[-1]))


async def count_left(db: Session, column: EncryptedColumn) -> int:
    """Return how many rows are still encrypted with an older key."""
    number: int = await db.conn.fetchval(
        f"""
        SELECT count(*) FROM {column.table} WHERE substring({column.name} FROM 1 FOR length($1::bytea)) <> $1::bytea
        """,
        db.cipher.head,
    )
    return number


def _names(column: EncryptedColumn) -> list[str]:
    return [name for name, _ in column.keys]


def _key(column: EncryptedColumn, row: asyncpg.Record) -> Key:
    return tuple(row[name] for name in _names(column))


async def _write(db: Session, column: EncryptedColumn, keys: Sequence[Key], encrypted: Sequence[bytes]) -> None:
    if not keys:
        return
    columns = ", ".join(_names(column))
    marks = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(column.keys, 2))
    same = " AND ".join(f"t.{name} = n.{name}" for name in _names(column))
    await db.conn.execute(
        f"""
        UPDATE {column.table} t SET {column.name} = n.encrypted
        FROM unnest($1::bytea[], {marks}) AS n (encrypted, {columns}) WHERE {same}
        """,
        list(encrypted),
        *(list(one) for one in zip(*keys, strict=True)),
    )

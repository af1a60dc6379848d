"""Answers to requests with an `Idempotency-Key`, encrypted, because they may hold a secret that is shown once."""

import zlib
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from esimhooks.server.store.database import Session

LOCK = 0x6964656D
RETENTION = timedelta(hours=24)


class IdempotencyKey(Struct, frozen=True):
    """Whose key: of an account in a mode, of operators under the account 0. `key` is as the caller chose it."""

    account_id: UUID
    mode: str
    key: str


class StoredAnswer(Struct, frozen=True):
    """The answer, and the digest of the request."""

    fingerprint: bytes
    answer: bytes


async def try_lock(db: Session, key: IdempotencyKey) -> bool:
    """Take the key until the transaction ends; false where another request has it."""
    return bool(await db.conn.fetchval("SELECT pg_try_advisory_xact_lock($1, $2)", LOCK, _lock_id(key)))


async def lock(db: Session, key: IdempotencyKey) -> None:
    """Take the key until the transaction ends, once no other request has it."""
    await db.conn.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK, _lock_id(key))


def _lock_id(key: IdempotencyKey) -> int:
    return zlib.crc32(f"{key.account_id} {key.mode} {key.key}".encode()) - 2**31


async def find(db: Session, key: IdempotencyKey, *, since: datetime) -> StoredAnswer | None:
    """Return what was answered since then, or None."""
    row = await db.conn.fetchrow(
        """
        SELECT fingerprint, sealed_answer FROM idempotent_answers
        WHERE account_id = $1 AND mode = $2 AND key = $3 AND created_at > $4
        """,
        key.account_id,
        key.mode,
        key.key,
        since,
    )
    return (
        None
        if row is None
        else StoredAnswer(row["fingerprint"], db.cipher.decrypt(row["sealed_answer"], row=_row(key)))
    )


async def store(db: Session, key: IdempotencyKey, answer: StoredAnswer, *, now: datetime) -> None:
    """Store an answer; it replaces one that has aged."""
    await db.conn.execute(
        """
        INSERT INTO idempotent_answers (account_id, mode, key, fingerprint, sealed_answer, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (account_id, mode, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, sealed_answer = excluded.sealed_answer, created_at = excluded.created_at
        """,
        key.account_id,
        key.mode,
        key.key,
        answer.fingerprint,
        db.cipher.encrypt(answer.answer, row=_row(key)),
        now,
    )


async def delete_before(db: Session, *, before: datetime) -> None:
    """Delete answers given before that time (aware UTC)."""
    await db.conn.execute("DELETE FROM idempotent_answers WHERE created_at < $1", before)


def _row(key: IdempotencyKey) -> str:
    return f"idempotent_answers.answer.{key.account_id}.{key.mode}.{key.key}"

"""Accounts: a row for each merchant, and what counts against its quotas."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from esimhooks.server.domain.account import BURST_S, OPERATOR, Account, Quotas, Rate, Usage
from esimhooks.server.store.database import Session
from esimhooks.server.store.statements import struct_of

READ = """
SELECT a.id, a.name, a.created_at, a.updated_at, q.quotas, f.frozen_at
FROM accounts a LEFT JOIN account_quotas q ON q.account_id = a.id LEFT JOIN frozen_accounts f ON f.account_id = a.id
"""


async def insert(db: Session, account: Account) -> None:
    """Store a new account."""
    await db.conn.execute(
        "INSERT INTO accounts (id, name, created_at, updated_at) VALUES ($1, $2, $3, $4)",
        account.id,
        account.name,
        account.created_at,
        account.updated_at,
    )


async def ensure(db: Session, account: Account) -> None:
    """Store the account where there is none of its id, and lock it; needs a transaction."""
    await db.conn.execute(
        """
        INSERT INTO accounts (id, name, created_at, updated_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO UPDATE SET name = accounts.name
        """,
        account.id,
        account.name,
        account.created_at,
        account.updated_at,
    )


async def find(db: Session, account_id: UUID) -> Account | None:
    """Return the account, or None."""
    row = await db.conn.fetchrow(f"{READ} WHERE a.id = $1", account_id)
    return None if row is None else _account(row)


async def lock(db: Session, account_id: UUID) -> Account | None:
    """Return the account, locked against other changes until the end of the transaction, or None."""
    row = await db.conn.fetchrow(f"{READ} WHERE a.id = $1 FOR NO KEY UPDATE OF a", account_id)
    return None if row is None else _account(row)


async def lock_shared(db: Session, account_id: UUID) -> Account | None:
    """Return the account, which cannot be deleted before the end of the transaction, or None."""
    row = await db.conn.fetchrow(f"{READ} WHERE a.id = $1 FOR KEY SHARE OF a", account_id)
    return None if row is None else _account(row)


async def existing(db: Session, account_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the ids that name a merchant's account."""
    rows = await db.conn.fetch("SELECT id FROM accounts WHERE id = ANY($1)", list(account_ids))
    return {row["id"] for row in rows} - {OPERATOR.account_id}


async def names_of(db: Session, account_ids: Collection[UUID | None]) -> dict[UUID, str]:
    """Return the names of these accounts; those that were deleted are missing."""
    rows = await db.conn.fetch("SELECT id, name FROM accounts WHERE id = ANY($1)", list(account_ids))
    return {row["id"]: row["name"] for row in rows}


async def page(db: Session, *, before: UUID | None, limit: int, name: str | None = None) -> Sequence[Account]:
    """Return accounts, newest first, older than the id `before`, and with `name` in their name."""
    rows = await db.conn.fetch(
        f"""
        {READ}
        WHERE ($1::uuid IS NULL OR a.id < $1) AND ($3::text IS NULL OR strpos(lower(a.name), lower($3)) > 0)
        ORDER BY a.id DESC LIMIT $2
        """,
        before,
        limit,
        name,
    )
    return [_account(row) for row in rows]


async def rename(db: Session, account_id: UUID, *, name: str, now: datetime) -> Account | None:
    """Give the account another name; None where there is no such account."""
    await db.conn.execute("UPDATE accounts SET name = $2, updated_at = $3 WHERE id = $1", account_id, name, now)
    return await find(db, account_id)


async def change_quotas(db: Session, account_id: UUID, *, quotas: Quotas, now: datetime) -> Account | None:
    """Give the account other quotas; None where there is no such account. Needs a transaction."""
    await db.conn.execute("UPDATE accounts SET updated_at = $2 WHERE id = $1", account_id, now)
    await db.conn.execute(
        """
        INSERT INTO account_quotas (account_id, quotas) SELECT id, $2 FROM accounts WHERE id = $1
        ON CONFLICT (account_id) DO UPDATE SET quotas = excluded.quotas
        """,
        account_id,
        quotas,
    )
    return await find(db, account_id)


async def delete(db: Session, account_id: UUID) -> bool:
    """Delete the account with its keys, endpoints, orders and eSIMs; its history stays until retention ends it.

    Needs a transaction. Account, endpoints and lanes are locked first, by id (docs/decisions/0020): the cascade has an
    order of its own.
    """
    await db.conn.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", account_id)
    await db.conn.execute("SELECT FROM endpoints WHERE account_id = $1 ORDER BY id FOR UPDATE", account_id)
    await db.conn.execute(
        """
        SELECT FROM lanes l WHERE l.endpoint_id IN (SELECT id FROM endpoints WHERE account_id = $1)
        ORDER BY l.endpoint_id FOR UPDATE
        """,
        account_id,
    )
    return await db.conn.fetchval("DELETE FROM accounts WHERE id = $1 RETURNING true", account_id) or False


def _account(row: asyncpg.Record) -> Account:
    return struct_of(Account, row, quotas=msgspec.convert(row["quotas"] or {}, Quotas))


async def quota_usage(db: Session, account_id: UUID) -> Usage:
    """Return what the account has now."""
    row = await db.conn.fetchrow(
        """
        SELECT count(*) AS endpoints, coalesce(sum(header_bytes), 0)::bigint AS endpoint_header_bytes,
               (SELECT count(*) FROM jobs WHERE account_id = $1 AND kind = 'recovery' AND finished_at IS NULL) AS recoveries
        FROM endpoints WHERE account_id = $1
        """,
        account_id,
    )
    return Usage(**row)


async def recoveries_of(db: Session, account_id: UUID, endpoint_id: UUID) -> int:
    """Return how many recoveries of the endpoint are under way."""
    number: int = await db.conn.fetchval(
        """
        SELECT count(*) FROM jobs
        WHERE account_id = $1 AND endpoint_id = $2 AND kind = 'recovery' AND finished_at IS NULL
        """,
        account_id,
        endpoint_id,
    )
    return number


async def take_from_quota(db: Session, account_id: UUID, rate: Rate, per_second: int) -> bool:
    """Take one of what the account may do `per_second`; false where nothing is left. Needs a transaction."""
    return bool(
        await db.conn.fetchval(
            """
            INSERT INTO quota_buckets AS b (account_id, rate, tokens, filled_at)
            SELECT $1, $2, $3 - 1, clock_timestamp() WHERE $3 >= 1
            ON CONFLICT (account_id, rate) DO UPDATE
            SET tokens = least($3, b.tokens + $4 * extract(epoch FROM clock_timestamp() - b.filled_at)::float8) - 1,
                filled_at = clock_timestamp()
            WHERE least($3, b.tokens + $4 * extract(epoch FROM clock_timestamp() - b.filled_at)::float8) >= 1
            RETURNING true
            """,
            account_id,
            rate.value,
            float(per_second * BURST_S),
            float(per_second),
        )
    )

"""Frozen accounts: those that move to another installation. Nothing of theirs is taken in, changed or sent here.

An account and a session come in. Freezing waits for the transactions that have asked whether it is frozen, so that a
snapshot that is taken afterwards has all that was acknowledged. What is in flight is waited for by the caller.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.update import Identity
from esimhooks.server.store import stored_first
from esimhooks.server.store.database import Session

LOCK = 1718774117
"""The advisory lock that `read_frozen_accounts` (migrations) shares."""
LOCK_WAITS_MS = 1000
"""Intake waits behind whoever waits for the lock, so it gives up soon and is tried again."""
IS_OPEN = "account_id NOT IN (SELECT account_id FROM frozen_accounts)"
"""The condition for rows whose account is not frozen: what falls due by time waits until the account goes on."""
MOVING = "the account is being moved to another installation"
RETRY_AFTER_S = 30.0


async def freeze(db: Session, account_id: UUID) -> bool:
    """Freeze the account, in a transaction of its own; false where it is frozen already.

    Raises `NotNow` where a transaction does not end within a second, or notifications of its eSIMs are stored and not yet
    applied.
    """
    await db.conn.execute(f"SET LOCAL lock_timeout = '{LOCK_WAITS_MS}ms'")
    try:
        await db.conn.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    except asyncpg.LockNotAvailableError as error:
        raise NotNow("a transaction that began before has not ended yet", retry_after_s=1.0) from error
    if await stored_first.waits(db, account_id):
        raise NotNow("notifications that were stored first are still to be applied", retry_after_s=1.0)
    return bool(
        await db.conn.fetchval(
            "INSERT INTO frozen_accounts (account_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true", account_id
        )
    )


async def frozen_at(db: Session, account_id: UUID) -> datetime | None:
    """Return since when the account is frozen, aware UTC by the database's clock; None where it is not."""
    since: datetime | None = await db.conn.fetchval(
        "SELECT frozen_at FROM frozen_accounts WHERE account_id = $1", account_id
    )
    return since


async def close_lanes(db: Session, account_id: UUID) -> None:
    """Have nothing more started in the account's lanes; needs a transaction."""
    await _lock_lanes(db, account_id)
    await db.conn.execute("UPDATE lanes SET open = false WHERE account_id = $1", account_id)


async def in_flight(db: Session, account_id: UUID) -> int:
    """Return how many of the account's deliveries a dispatcher has claimed under a lease that is still valid."""
    count: int = await db.conn.fetchval(
        """
        SELECT count(*) FROM lanes l JOIN queue q USING (endpoint_id)
        WHERE l.account_id = $1 AND l.leased_until > now() AND q.claim_token = l.lease_token
        """,
        account_id,
    )
    return count


async def end_leases(db: Session, account_id: UUID) -> None:
    """End the leases of the account's lanes; what their holders still write is dropped. Needs a transaction."""
    await _lock_lanes(db, account_id)
    await db.conn.execute(
        """
        UPDATE lanes SET lease_token = lease_token + 1, leased_by = NULL, leased_until = NULL WHERE account_id = $1
        """,
        account_id,
    )


async def unfreeze(db: Session, account_id: UUID) -> bool:
    """Let the account go on here; false where it was not frozen. Needs a transaction."""
    await _restart_waiting(db, account_id)
    await _lock_lanes(db, account_id)
    await db.conn.execute(
        """
        UPDATE lanes l SET open = e.enabled AND NOT e.paused
        FROM endpoints e WHERE e.id = l.endpoint_id AND l.account_id = $1
        """,
        account_id,
    )
    return bool(await db.conn.fetchval("DELETE FROM frozen_accounts WHERE account_id = $1 RETURNING true", account_id))


async def _restart_waiting(db: Session, account_id: UUID) -> None:
    """Give what has waited while the account was frozen the time that it has after a pause."""
    await db.conn.execute("SELECT FROM endpoints WHERE account_id = $1 ORDER BY id FOR NO KEY UPDATE", account_id)
    await db.conn.execute(
        "UPDATE endpoints SET switched_at = now() WHERE account_id = $1 AND enabled AND NOT paused", account_id
    )


async def any_frozen(db: Session, named: Sequence[tuple[str, Identity]]) -> bool:
    """Return whether one of the providers, each with what it names, means an eSIM of a frozen account."""
    return bool(
        await db.conn.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
                    AS n (provider, esim_tran_no, order_no, transaction_id)
                JOIN esims e ON e.provider = n.provider AND (e.esim_tran_no = n.esim_tran_no
                    OR e.order_no = n.order_no OR e.transaction_id = n.transaction_id)
                WHERE e.account_id IN (SELECT account_id FROM frozen_accounts)
            )
            """,
            [provider for provider, _ in named],
            [one.esim_tran_no for _, one in named],
            [one.order_no for _, one in named],
            [one.transaction_id for _, one in named],
        )
    )


async def _lock_lanes(db: Session, account_id: UUID) -> None:
    await db.conn.execute("SELECT FROM lanes WHERE account_id = $1 ORDER BY endpoint_id FOR NO KEY UPDATE", account_id)

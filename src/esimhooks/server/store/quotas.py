"""What counts against an account's quotas: rows that it has, and one token bucket for each rate, shared by all nodes.

Whoever takes from a bucket holds the account's row, then the bucket until the end of the transaction, in that order and
before any other row of the account (docs/decisions/0020); what is undone was not taken.
"""

from uuid import UUID

from esimhooks.server.domain.account import BURST_S, Rate, Usage
from esimhooks.server.store.database import Session


async def usage(db: Session, account_id: UUID) -> Usage:
    """Return what the account has at the moment."""
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


async def take(db: Session, account_id: UUID, rate: Rate, per_second: int) -> bool:
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

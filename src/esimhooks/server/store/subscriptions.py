"""Subscriptions: which events endpoints want, read without anything that is encrypted.

An endpoint whose headers cannot be decrypted therefore holds up nothing: its deliveries are made like all others.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

from esimhooks.server.domain.account import OPERATOR
from esimhooks.server.domain.endpoint import Ordering, Tenant
from esimhooks.server.domain.endpoint_rules import EVERYTHING
from esimhooks.server.store.database import Session
from esimhooks.server.store.statements import tenant_of


class Subscription(Struct, frozen=True):
    """What an endpoint wants: types and a filter (None = all), and whether its deliveries keep the order of each eSIM.

    `stored_at` is when it was made, `disabled_at` since when it is disabled, aware UTC by the database's clock; None where
    nobody asks, and `disabled_at` where it is enabled.
    """

    endpoint_id: UUID
    event_types: Sequence[str] | None
    ordering: Ordering
    filter: str | None = None
    enabled: bool = True
    stored_at: datetime | None = None
    disabled_at: datetime | None = None


async def find(db: Session, tenant: Tenant, endpoint_id: UUID, *, lock: bool = False) -> Subscription | None:
    """Return what the tenant's endpoint wants, or None; with `lock`, locked until the end of the transaction."""
    row = await db.conn.fetchrow(
        f"""
        SELECT id, event_types, ordering, filter, enabled FROM endpoints WHERE account_id = $1 AND mode = $2 AND id = $3
        {"FOR NO KEY UPDATE" if lock else ""}
        """,
        *tenant,
        endpoint_id,
    )
    if row is None:
        return None
    return Subscription(row["id"], row["event_types"], Ordering(row["ordering"]), row["filter"], row["enabled"])


async def of_tenants(db: Session, tenants: Iterable[Tenant]) -> dict[Tenant, list[Subscription]]:
    """Return what the enabled endpoints of the tenants want."""
    wanted = list(tenants)
    rows = await db.conn.fetch(
        """
        SELECT e.account_id, e.mode, e.id, e.event_types, e.ordering, e.stored_at, e.filter
        FROM endpoints e JOIN unnest($1::uuid[], $2::text[]) AS t (account_id, mode) USING (account_id, mode)
        WHERE e.enabled
        """,
        [tenant.account_id for tenant in wanted],
        [tenant.mode for tenant in wanted],
    )
    found: dict[Tenant, list[Subscription]] = defaultdict(list)
    for row in rows:
        tenant = tenant_of(row)
        found[tenant].append(_subscription(row, tenant))
    return found


async def page_after(
    db: Session, tenant: Tenant, after: UUID | None, *, enabled_at: datetime | None, limit: int
) -> Sequence[Subscription]:
    """Return what endpoints of a tenant want, in the order of their ids, the next after `after`.

    That is those that are enabled, and those that were disabled after `enabled_at` (aware UTC).
    """
    rows = await db.conn.fetch(
        """
        SELECT id, event_types, ordering, stored_at, filter, CASE WHEN NOT enabled THEN disabled_at END AS disabled_at
        FROM endpoints
        WHERE account_id = $1 AND mode = $2 AND (enabled OR disabled_at > $5) AND ($3::uuid IS NULL OR id > $3)
        ORDER BY id LIMIT $4
        """,
        *tenant,
        after,
        limit,
        enabled_at,
    )
    return [_subscription(row, tenant, disabled_at=row["disabled_at"]) for row in rows]


def _subscription(row: asyncpg.Record, tenant: Tenant, *, disabled_at: datetime | None = None) -> Subscription:
    types = row["event_types"] if tenant != OPERATOR else row["event_types"] or EVERYTHING
    return Subscription(
        row["id"],
        types,
        Ordering(row["ordering"]),
        row["filter"],
        stored_at=row["stored_at"],
        disabled_at=disabled_at,
    )

"""Lanes and their leases: leasing, renewing, releasing, and the dispatchers that share the lanes.

All times are the database's clock. A lease carries a fencing token: what its holder writes after the lease has passed to
another is dropped. Lanes are locked in the order of their endpoints, so that two statements cannot deadlock.
Nodes notify each other (`NOTIFY`) that something is due; a notification that is lost costs a poll.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.breaker import BreakerState
from esimhooks.server.observe.metrics import QueueStats
from esimhooks.server.store.database import Session, connection

FIRST_OF_EACH = """
    (SELECT endpoint_id, due_at FROM queue ORDER BY endpoint_id, due_at LIMIT 1)
    UNION ALL
    SELECT n.endpoint_id, n.due_at FROM waiting w CROSS JOIN LATERAL (
        SELECT endpoint_id, due_at FROM queue WHERE endpoint_id > w.endpoint_id ORDER BY endpoint_id, due_at LIMIT 1
    ) n
"""
"""The first delivery of every lane that is not empty, for `WITH RECURSIVE waiting AS (...)`: found by skipping from one
lane to the next in the index, however long each is."""


SILENT_S = 2.5
SETTLE_S = 5.0
"""For how long a dispatcher must have had its connection before it takes others for dead: after a failover the connections
of all have ended, and those that come back a moment later have results to write for what they have sent."""
DEAD = f"""
    d.backend_pid IS NOT NULL AND d.seen_until < now() + make_interval(secs => {{seconds}} - {SILENT_S})
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_stat_activity a
        WHERE a.pid = d.backend_pid AND coalesce(a.backend_start = d.backend_started_at, true)
    )
"""
"""Whether a dispatcher `d` has missed two reports and its connection has ended."""


class Lease(Struct, frozen=True):
    """The right to send the deliveries of a lane until the lease ends."""

    endpoint_id: UUID
    token: int


class Leased(Struct, frozen=True):
    """A lane that was leased, and how its endpoint has done lately."""

    lease: Lease
    breaker: BreakerState


async def lease(db: Session, *, holder: UUID, seconds: float, share_of: int, limit: int) -> list[Leased]:
    """Lease enabled lanes that have work due, are not cooling down and are not leased; the longest waiting come first.

    A dispatcher, being one of `share_of`, leases its share of all lanes that have work due, those it has leased already
    included; beyond its share only lanes that have not been leased for a second. Lanes with pending work are found by skipping
    from one to the next in the index, however long each is.
    """
    rows = await db.conn.fetch(
        f"""
        WITH RECURSIVE waiting AS (
            {FIRST_OF_EACH}
        ), busy AS (
            SELECT * FROM waiting WHERE due_at <= now()
        ), unleased AS (
            SELECT b.endpoint_id, b.due_at, row_number() OVER (ORDER BY b.due_at) AS place
            FROM busy b JOIN lanes l USING (endpoint_id)
            WHERE l.open AND (l.leased_until IS NULL OR l.leased_until <= now())
              AND (l.held_until IS NULL OR l.held_until <= now())
        ), mine AS (
            SELECT count(*) AS number FROM busy b JOIN lanes l USING (endpoint_id)
            WHERE l.leased_by = $1 AND l.leased_until > now()
        ), free AS (
            SELECT l.endpoint_id FROM unleased u JOIN lanes l USING (endpoint_id)
            WHERE l.open AND (l.leased_until IS NULL OR l.leased_until <= now())
              AND (u.place <= ceil((SELECT count(*) FROM busy)::float8 / $4) - (SELECT number FROM mine)
                   OR u.due_at <= now() - interval '1 second')
            ORDER BY u.due_at LIMIT $3 FOR UPDATE OF l SKIP LOCKED
        )
        UPDATE lanes l
        SET lease_token = l.lease_token + 1, leased_by = $1, leased_until = now() + make_interval(secs => $2)
        FROM free WHERE l.endpoint_id = free.endpoint_id
        RETURNING l.endpoint_id, l.lease_token, l.failures, l.allowed
        """,
        holder,
        seconds,
        limit,
        share_of,
    )
    return [
        Leased(Lease(row["endpoint_id"], row["lease_token"]), BreakerState(row["failures"], row["allowed"]))
        for row in rows
    ]


async def next_due_in_s(db: Session) -> float | None:
    """Return the seconds until the next delivery is due in a lane that may be leased then; None where none will be.

    Zero or less where one is due already that is not leased. What another dispatcher has leased and is due is its own.
    """
    in_s: float | None = await db.conn.fetchval(
        f"""
        WITH RECURSIVE waiting AS (
            {FIRST_OF_EACH}
        ), next AS (
            SELECT greatest(w.due_at, l.held_until) AS due_at, l.leased_until > now() AS is_leased
            FROM waiting w JOIN lanes l USING (endpoint_id) WHERE l.open AND w.due_at < 'infinity'
        )
        SELECT extract(epoch FROM min(due_at) - now())::float8 FROM next WHERE due_at > now() OR is_leased IS NOT TRUE
        """
    )
    return in_s


class Presence(Struct, frozen=True):
    """How many dispatchers are alive, and how many lanes they have leased together."""

    dispatchers: int
    lanes: int
    some_dead: bool = False
    """Whether some dispatcher has died without releasing its leases."""


class Backend(Struct, frozen=True):
    """The process of PostgreSQL that serves a connection which a dispatcher keeps open for as long as it lives."""

    pid: int
    started_at: datetime


async def heartbeat(db: Session, *, holder: UUID, seconds: float, backend: Backend | None) -> Presence:
    """Report that this dispatcher is alive, for `seconds`, and return how many are; dead ones are deleted.

    With `backend` others notice sooner that it has died, and it that others have, once it has had it for a while: see
    `release_dead`. One whose connection has ended keeps the last that it had, so that it, too, may be noticed.
    """
    row = await db.conn.fetchrow(
        f"""
        WITH me AS (
            INSERT INTO dispatchers (holder, seen_until, backend_pid, backend_started_at)
            VALUES ($1, now() + make_interval(secs => $2), $3, $4)
            ON CONFLICT (holder) DO UPDATE
            SET seen_until = excluded.seen_until,
                backend_pid = coalesce(excluded.backend_pid, dispatchers.backend_pid),
                backend_started_at = CASE WHEN excluded.backend_pid IS NULL THEN dispatchers.backend_started_at
                                          ELSE excluded.backend_started_at END
        ), deleted AS (
            DELETE FROM dispatchers WHERE seen_until < now() - interval '1 minute' AND holder <> $1
        )
        SELECT (SELECT count(*) FROM dispatchers WHERE holder <> $1 AND seen_until > now()) + 1 AS dispatchers,
               (SELECT count(*) FROM lanes WHERE leased_until > now()) AS lanes,
               $4::timestamptz < now() - make_interval(secs => {SETTLE_S})
               AND EXISTS (SELECT FROM dispatchers d WHERE d.holder <> $1 AND {DEAD.format(seconds="$2::float8")}) AS some_dead
        """,
        holder,
        seconds,
        backend and backend.pid,
        backend and backend.started_at,
    )
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return Presence(row["dispatchers"], row["lanes"], some_dead=row["some_dead"] or False)


async def release_dead(db: Session, *, seconds: float) -> int:
    """Release the leases of dispatchers that have died, so that their lanes do not wait until they expire; return how many.

    One is dead that has been silent and whose connection has ended, as it does with its process. What a live one that
    was taken for dead writes is dropped by its tokens. `seconds` is for how long dispatchers report to be alive.
    """
    rows = await db.conn.fetch(
        f"""
        WITH dead AS (
            DELETE FROM dispatchers d WHERE {DEAD.format(seconds="$1::float8")} RETURNING d.holder
        ), lost AS (
            SELECT l.endpoint_id FROM lanes l WHERE l.leased_by IN (SELECT holder FROM dead)
            ORDER BY l.endpoint_id FOR NO KEY UPDATE OF l
        ), released AS (
            UPDATE lanes l SET leased_by = NULL, leased_until = NULL FROM lost WHERE l.endpoint_id = lost.endpoint_id
        )
        SELECT holder FROM dead
        """,
        seconds,
    )
    return len(rows)


async def deregister(db: Session, *, holder: UUID) -> None:
    """Report that this dispatcher ends, so that the others lease its share at once."""
    await db.conn.execute("DELETE FROM dispatchers WHERE holder = $1", holder)


async def renew(db: Session, leases: Sequence[Lease], *, seconds: float) -> set[UUID]:
    """Renew leases; return the endpoints of those that are still valid and whose lane is still enabled."""
    rows = await db.conn.fetch(
        """
        WITH valid AS (
            SELECT endpoint_id FROM lanes
            JOIN unnest($1::uuid[], $2::bigint[]) AS h (endpoint_id, lease_token) USING (endpoint_id, lease_token)
            WHERE open ORDER BY endpoint_id FOR NO KEY UPDATE OF lanes
        )
        UPDATE lanes l SET leased_until = now() + make_interval(secs => $3)
        FROM valid WHERE l.endpoint_id = valid.endpoint_id RETURNING l.endpoint_id
        """,
        [lease.endpoint_id for lease in leases],
        [lease.token for lease in leases],
        seconds,
    )
    return {row["endpoint_id"] for row in rows}


class LaneStatus(Struct, frozen=True):
    """Whether a lane is enabled, and the present version of its endpoint."""

    endpoint_id: UUID
    is_enabled: bool
    version: int


async def statuses(db: Session, endpoint_ids: Sequence[UUID]) -> Sequence[LaneStatus]:
    """Return the status of the lanes of these endpoints; deleted ones are missing."""
    rows = await db.conn.fetch(
        """
        SELECT l.endpoint_id, l.open, e.version FROM lanes l JOIN endpoints e ON e.id = l.endpoint_id
        WHERE l.endpoint_id = ANY($1)
        """,
        endpoint_ids,
    )
    return [LaneStatus(row["endpoint_id"], row["open"], row["version"]) for row in rows]


async def release(db: Session, leases: Sequence[Lease]) -> None:
    """Release leases, so that others need not wait until they expire."""
    await db.conn.execute(
        """
        WITH valid AS (
            SELECT endpoint_id FROM lanes
            JOIN unnest($1::uuid[], $2::bigint[]) AS h (endpoint_id, lease_token) USING (endpoint_id, lease_token)
            ORDER BY endpoint_id FOR NO KEY UPDATE OF lanes
        )
        UPDATE lanes l SET leased_by = NULL, leased_until = NULL FROM valid WHERE l.endpoint_id = valid.endpoint_id
        """,
        [lease.endpoint_id for lease in leases],
        [lease.token for lease in leases],
    )


async def release_others(db: Session, *, holder: UUID, known: Sequence[Lease]) -> None:
    """Release all leases of a dispatcher but those that it knows of."""
    await db.conn.execute(
        """
        WITH unknown AS (
            SELECT l.endpoint_id FROM lanes l
            WHERE l.leased_by = $1 AND NOT EXISTS (
                SELECT FROM unnest($2::uuid[], $3::bigint[]) AS k (endpoint_id, lease_token)
                WHERE k.endpoint_id = l.endpoint_id AND k.lease_token = l.lease_token
            )
            ORDER BY l.endpoint_id FOR NO KEY UPDATE OF l
        )
        UPDATE lanes l SET leased_by = NULL, leased_until = NULL FROM unknown WHERE l.endpoint_id = unknown.endpoint_id
        """,
        holder,
        [one.endpoint_id for one in known],
        [one.token for one in known],
    )


async def switch(db: Session, endpoint_id: UUID, *, is_enabled: bool) -> None:
    """Enable a lane, with its breaker reset, or disable it; its deliveries stay."""
    await db.conn.execute(
        """
        UPDATE lanes
        SET open = $2, failures = CASE WHEN $2 THEN 0 ELSE failures END,
            allowed = CASE WHEN $2 THEN NULL ELSE allowed END, held_until = CASE WHEN $2 THEN NULL ELSE held_until END,
            failing_since = CASE WHEN $2 THEN NULL ELSE failing_since END,
            alerted_at = CASE WHEN $2 THEN NULL ELSE alerted_at END
        WHERE endpoint_id = $1
        """,
        endpoint_id,
        is_enabled,
    )


async def end_cooldown(db: Session, endpoint_id: UUID | None) -> None:
    """Have a lane that cools down probed at once; the failures that it has counted stay."""
    await db.conn.execute("UPDATE lanes SET held_until = NULL WHERE endpoint_id = $1", endpoint_id)


CHANNEL = "esimhooks_due"
ALIVE_EVERY_S = 5.0


async def notify(db: Session, *, sender: UUID) -> None:
    """Notify all nodes that something is due; by `sender` a node knows its own notifications."""
    await db.conn.execute("SELECT pg_notify($1, $2)", CHANNEL, str(sender))


async def listen(
    dsn: str, notified: Callable[[], None], *, sender: UUID, connected: Callable[[Backend | None], None]
) -> None:
    """Call `notified` for every notification of another node, until cancelled. Raises `NotNow` when the connection ends.

    `connected` is called with what serves the connection, and None once it has ended.
    """
    try:
        await _listen(dsn, notified, sender=sender, connected=connected)
    finally:
        connected(None)


async def _listen(
    dsn: str, notified: Callable[[], None], *, sender: UUID, connected: Callable[[Backend | None], None]
) -> None:
    async with connection(dsn) as conn:
        own = await conn.fetchrow("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        connected(None if own is None else Backend(own["pid"], own["backend_start"]))
        await conn.add_listener(CHANNEL, lambda *said: notified() if said[-1] != str(sender) else None)
        while True:
            await asyncio.sleep(ALIVE_EVERY_S)
            await conn.fetchval("SELECT 1", timeout=ALIVE_EVERY_S)


async def queue_stats(db: Session) -> QueueStats:
    """Return the present figures. Lanes are found by skipping in the index, however long each is."""
    row = await db.conn.fetchrow(
        f"""
        WITH RECURSIVE waiting AS (
            {FIRST_OF_EACH}
        ), due AS (
            SELECT w.due_at, l.held_until > now() AS cools_down FROM waiting w JOIN lanes l USING (endpoint_id)
            WHERE w.due_at <= now() AND l.open
        )
        SELECT (SELECT count(*) FROM queue) AS pending,
               (SELECT count(*) FROM due) AS lanes_due,
               (SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8 FROM due WHERE cools_down IS NOT TRUE)
                   AS oldest_due_s,
               (SELECT count(*) FROM lanes WHERE open AND held_until > now()) AS lanes_cooling_down,
               (SELECT count(*) FROM backlog) AS backlog,
               (SELECT count(*) FROM backlog WHERE due_at = 'infinity') AS stored,
               (SELECT coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8 FROM backlog
                WHERE due_at = 'infinity') AS oldest_stored_s,
               (SELECT count(*) FROM dispatchers WHERE seen_until > now()) AS dispatchers
        """
    )
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return QueueStats(**dict(row))

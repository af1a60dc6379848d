"""Notifications that are answered once they are stored, and wait in the backlog until they are applied.

One statement stores any number, another returns the next ones, of each account its share. Each has a lane: the account of
the eSIM that it speaks of. Those of a lane are applied in the order of their arrival by the database's clock, so that
whatever is sent after an answer comes after what was answered. One that may speak of eSIMs of several accounts is in all
lanes: it comes after all that arrived before it, and before all that arrived after it.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.notification import JournalEntry
from esimhooks.server.domain.update import Identity
from esimhooks.server.store import journal
from esimhooks.server.store.database import Session
from esimhooks.server.store.journal import Waiting
from esimhooks.server.store.statements import Arrays, columns_of

MAX_LANES = 50
"""How many accounts have their share of one batch; the others of the next."""
ALL_LANES = UUID(int=2**128 - 1)


class Stored(Struct, frozen=True, kw_only=True):
    """A notification that is stored first; `identity` is what it says of the first eSIM that it speaks of.

    `replaces` is the key of the eSIM that this one takes the place of. `identities` are those of all its eSIMs, where they may
    belong to several accounts. Those of one `request_no` are stored together or not at all.
    """

    entry: JournalEntry
    identity: Identity = Identity()
    replaces: str | None = None
    identities: tuple[Identity, ...] = ()
    request_no: int = 0


class BacklogSize(Struct, frozen=True):
    """How many are stored and not yet applied, and how many seconds the oldest has waited (0 where there is none)."""

    count: int
    oldest_s: float


_NAMES = ("esim_tran_no", "order_no", "transaction_id", "iccid", "replaces")
_arrays = Arrays()
_KINDS = [*journal.COLUMNS.values(), *("text" for _ in _NAMES), "jsonb", "integer"]
_OF_SOURCE = f"(g.source = '{journal.UPDATES_SOURCE}' OR e.provider = g.source)"


def _known_by(name: str, given: str) -> str:
    """Return the query for the eSIM that has what a notification says: with its ICCID, where several have."""
    return f"""
        (SELECT e.account_id, e.esim_tran_no, e.order_no, e.transaction_id FROM esims e
         WHERE e.{name} = g.{given} AND {_OF_SOURCE} ORDER BY (e.iccid = g.iccid) IS TRUE DESC, e.account_id LIMIT 1)"""


_STORE = f"""
    WITH given AS (
        SELECT * FROM unnest({_arrays(_KINDS)}) AS u ({
    ", ".join((*journal.COLUMNS, *_NAMES, "identities", "request_no"))
})
    ), frozen AS MATERIALIZED (
        SELECT array_agg(account_id) AS ids FROM read_frozen_accounts() AS f (account_id)
    ), laned AS MATERIALIZED (
    SELECT g.*, CASE WHEN g.account_id IS NULL AND g.identities IS NOT NULL THEN '{ALL_LANES}'
           ELSE coalesce(g.account_id, known.account_id, earlier.lane, '00000000-0000-0000-0000-000000000000') END AS lane,
           CASE WHEN g.account_id IS NULL AND (known.account_id IS NOT NULL OR earlier.lane IS NOT NULL)
           THEN nullif(array_remove(ARRAY[
               CASE WHEN g.esim_tran_no IS DISTINCT FROM known.esim_tran_no THEN 'key ' || g.esim_tran_no END,
               CASE WHEN g.order_no IS DISTINCT FROM known.order_no THEN 'order ' || g.order_no END,
               CASE WHEN g.transaction_id IS DISTINCT FROM known.transaction_id THEN 'transaction ' || g.transaction_id END
           ], NULL), '{{}}') END AS new_names
    FROM given g LEFT JOIN LATERAL (
        SELECT * FROM (
            {
    " UNION ALL ".join(
        (
            _known_by("esim_tran_no", "esim_tran_no"),
            _known_by("order_no", "order_no"),
            _known_by("transaction_id", "transaction_id"),
            _known_by("esim_tran_no", "replaces"),
        )
    )
}
        ) by_name WHERE g.account_id IS NULL LIMIT 1
    ) known ON true LEFT JOIN LATERAL (
        SELECT b.lane FROM backlog b
        WHERE g.account_id IS NULL AND known.account_id IS NULL AND b.due_at = 'infinity' AND b.source = g.source
          AND b.new_names && ARRAY['key ' || g.esim_tran_no, 'order ' || g.order_no,
                                   'transaction ' || g.transaction_id, 'key ' || g.replaces]
        LIMIT 1
    ) earlier ON true
    ), closed AS MATERIALIZED (
        SELECT l.request_no FROM laned l, frozen f WHERE l.lane = ANY (f.ids) OR f.ids IS NOT NULL AND EXISTS (
            SELECT FROM jsonb_to_recordset(l.identities) AS i (esim_tran_no text, order_no text, transaction_id text)
            JOIN esims e ON e.esim_tran_no = i.esim_tran_no OR e.order_no = i.order_no OR e.transaction_id = i.transaction_id
            WHERE e.account_id = ANY (f.ids) AND (l.source = '{journal.UPDATES_SOURCE}' OR e.provider = l.source)
        )
    ), open AS MATERIALIZED (
        SELECT * FROM laned WHERE request_no NOT IN (SELECT request_no FROM closed)
    ), entries AS (
        INSERT INTO notifications ({", ".join(journal.COLUMNS)})
        SELECT {", ".join("now()" if name == "received_at" else name for name in journal.COLUMNS)} FROM open
    ), waiting AS (
        INSERT INTO backlog (notification_id, source, received_at, due_at, stored_first, lane, new_names)
        SELECT id, source, now(), 'infinity', true, lane, new_names FROM open
    )
    SELECT id FROM laned WHERE request_no IN (SELECT request_no FROM closed)
"""


async def store(db: Session, stored: Sequence[Stored]) -> frozenset[UUID]:
    """Write the journal of these notifications and have them applied; one statement, which needs no transaction.

    Returns the ids of those that were not stored, as they, or others of their request, speak of an account that is frozen.
    """
    rows = [
        (
            *journal.row_of(db, one.entry),
            one.identity.esim_tran_no,
            one.identity.order_no,
            one.identity.transaction_id,
            one.identity.iccid,
            one.replaces,
            one.identities or None,
            one.request_no,
        )
        for one in stored
    ]
    return frozenset(row["id"] for row in await db.conn.fetch(_STORE, *columns_of(rows, len(_KINDS))))


async def waits(db: Session, lane: UUID) -> bool:
    """Return whether notifications of this account's eSIMs are stored and not yet applied."""
    return bool(
        await db.conn.fetchval(
            "SELECT EXISTS (SELECT FROM backlog WHERE due_at = 'infinity' AND lane = ANY ($1))", [lane, ALL_LANES]
        )
    )


async def next_ones(db: Session, *, after: UUID | None, limit: int) -> tuple[Sequence[Waiting], UUID | None]:
    """Return about `limit` of the oldest, of each lane the same number, and the last lane where there are more lanes.

    `after` is the lane that had its turn last. Nothing passes one that is in all lanes: what is older than it comes first, and
    once it is the oldest, the oldest of all lanes together are returned.
    """
    rows = await db.conn.fetch(
        f"""
        WITH RECURSIVE wall AS MATERIALIZED (
            SELECT received_at, notification_id FROM backlog WHERE due_at = 'infinity' AND lane = '{ALL_LANES}'
            ORDER BY received_at, notification_id LIMIT 1
        ), open AS NOT MATERIALIZED (
            SELECT b.* FROM backlog b WHERE b.due_at = 'infinity' AND NOT EXISTS (
                SELECT FROM wall w WHERE (w.received_at, w.notification_id) <= (b.received_at, b.notification_id)
            )
        ), lanes AS (
            (SELECT lane FROM open WHERE $1::uuid IS NULL OR lane > $1 ORDER BY lane LIMIT 1)
            UNION ALL
            SELECT n.lane FROM lanes l CROSS JOIN LATERAL (
                SELECT lane FROM open b WHERE b.lane > l.lane ORDER BY lane LIMIT 1
            ) n
        ), turns AS MATERIALIZED (
            SELECT lane FROM lanes LIMIT $3
        ), fair AS MATERIALIZED (
            SELECT b.notification_id, b.received_at, b.tries, t.lane FROM turns t CROSS JOIN LATERAL (
                SELECT notification_id, received_at, tries FROM open
                WHERE lane = t.lane ORDER BY lane, received_at, notification_id
                LIMIT ($2 - 1) / (SELECT count(*) FROM turns) + 1
            ) b
        ), oldest AS (
            SELECT notification_id, received_at, tries, NULL::uuid AS lane FROM backlog
            WHERE due_at = 'infinity' AND $1::uuid IS NULL AND EXISTS (SELECT FROM wall) AND NOT EXISTS (SELECT FROM fair)
            ORDER BY received_at, notification_id LIMIT $2
        )
        SELECT * FROM fair UNION ALL SELECT * FROM oldest ORDER BY received_at, notification_id
        """,
        after,
        limit,
        MAX_LANES,
    )
    lanes = {row["lane"] for row in rows}
    waiting = [Waiting(row["notification_id"], row["received_at"], row["tries"] + 1, stored_first=True) for row in rows]
    return waiting, max(lanes) if len(lanes) == MAX_LANES else None


async def backlog_size(db: Session) -> BacklogSize:
    """Return how much is stored and not yet applied."""
    row = await db.conn.fetchrow(
        """
        SELECT count(*) AS count, coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8 AS oldest_s
        FROM backlog WHERE due_at = 'infinity'
        """
    )
    assert row is not None  # noqa: S101 - an aggregate has one row
    return BacklogSize(row["count"], row["oldest_s"])

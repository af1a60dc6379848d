"""eSIMs: finding, locking and writing their state. What a person could use to install one is sealed."""

import zlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import Esim, EsimFilter
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.update import Identity
from esimhooks.server.store.batches import Columns
from esimhooks.server.store.database import Session
from esimhooks.server.store.given import Given
from esimhooks.server.store.sealing import readable
from esimhooks.vocabulary.statuses import EsimStatus, Mode, SmdpStatus

PLAIN = {
    "id": "uuid",
    "account_id": "uuid",
    "mode": "text",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "order_id": "uuid",
    "provider": "text",
    "transaction_id": "text",
    "order_no": "text",
    "esim_tran_no": "text",
    "package_code": "text",
    "package_name": "text",
    "iccid": "text",
    "imsi": "text",
    "msisdn": "text",
    "eid": "text",
    "apn": "text",
    "status": "text",
    "status_at": "timestamptz",
    "smdp_status": "text",
    "smdp_at": "timestamptz",
    "smdp_sequence": "bigint",
    "smdp_unnumbered": "boolean",
    "total_bytes": "bigint",
    "used_bytes": "bigint",
    "usage_at": "timestamptz",
    "total_days": "integer",
    "activate_at": "timestamptz",
    "expire_at": "timestamptz",
    "validity_at": "timestamptz",
    "sequence": "integer",
    "usage_told_at": "timestamptz",
    "validity_days_noticed": "integer",
}
CREDENTIALS = ("ac", "qr_code_url", "short_url")
CREATION_LOCK = 0x6573696D
CREATION_LOCKS = 1024
COLUMNS = Columns("esims", PLAIN | {"sealed_credentials": "bytea", "sealed_held": "bytea"})


class Scope(Struct, frozen=True):
    """Among whose eSIMs an update may find its own: those of a provider, of a tenant, or (neither) of the operator."""

    provider: str | None = None
    tenant: Tenant | None = None


async def lock_matching(db: Session, wanted: Sequence[tuple[Scope, Identity]]) -> tuple[list[UUID | None], list[Esim]]:
    """Find the eSIM of each identity and lock those found until the transaction ends.

    Found by the provider's key, then order number and ICCID, then transaction and ICCID, then the transaction alone
    if only one eSIM has it; never by an eSIM that is known under another key. Locks are taken in the order of ids, so
    that two transactions cannot wait for each other.
    """
    rows = await db.conn.fetch(
        """
        SELECT w.i, (
            SELECT c.id FROM (
                SELECT e.id, 1 AS rank FROM esims e
                WHERE e.esim_tran_no = w.esim_tran_no
                  AND (e.provider = w.provider OR (e.account_id = w.account_id AND e.mode = w.mode) OR w.anywhere)
                UNION ALL
                SELECT e.id, 2 FROM esims e
                WHERE e.order_no = w.order_no AND e.iccid = w.iccid
                  AND (e.provider = w.provider OR (e.account_id = w.account_id AND e.mode = w.mode) OR w.anywhere)
                  AND (e.esim_tran_no = w.esim_tran_no) IS NOT FALSE
                UNION ALL
                SELECT e.id, 3 FROM esims e
                WHERE e.transaction_id = w.transaction_id AND e.iccid = w.iccid
                  AND (e.provider = w.provider OR (e.account_id = w.account_id AND e.mode = w.mode) OR w.anywhere)
                  AND (e.esim_tran_no = w.esim_tran_no) IS NOT FALSE
                UNION ALL
                SELECT min(e.id::text)::uuid, 4 FROM esims e
                WHERE e.transaction_id = w.transaction_id
                  AND (e.provider = w.provider OR (e.account_id = w.account_id AND e.mode = w.mode) OR w.anywhere)
                HAVING count(*) = 1
                   AND bool_and((e.esim_tran_no = w.esim_tran_no) IS NOT FALSE AND (e.iccid = w.iccid) IS NOT FALSE)
            ) c ORDER BY c.rank, c.id DESC LIMIT 1
        ) AS id
        FROM (
            SELECT *, provider IS NULL AND account_id IS NULL AS anywhere
            FROM unnest($1::int[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
                 AS u (i, provider, account_id, mode, esim_tran_no, order_no, transaction_id, iccid)
        ) w
        """,
        list(range(len(wanted))),
        [scope.provider for scope, _ in wanted],
        [scope.tenant and scope.tenant.account_id for scope, _ in wanted],
        [scope.tenant and scope.tenant.mode for scope, _ in wanted],
        [identity.esim_tran_no for _, identity in wanted],
        [identity.order_no for _, identity in wanted],
        [identity.transaction_id for _, identity in wanted],
        [identity.iccid for _, identity in wanted],
    )
    ids: list[UUID | None] = [None] * len(wanted)
    for row in rows:
        ids[row["i"]] = row["id"]
    return ids, await lock(db, [esim_id for esim_id in ids if esim_id is not None])


async def lock(db: Session, esim_ids: Sequence[UUID]) -> list[Esim]:
    """Lock and return the eSIMs; needs a transaction."""
    if not esim_ids:
        return []
    rows = await db.conn.fetch("SELECT * FROM esims WHERE id = ANY($1) ORDER BY id FOR UPDATE", esim_ids)
    return [esim_of(db, row) for row in rows]


async def lock_of_order(db: Session, order_id: UUID) -> list[Esim]:
    """Lock and return the eSIMs of an order; needs a transaction."""
    rows = await db.conn.fetch("SELECT * FROM esims WHERE order_id = $1 ORDER BY id FOR UPDATE", order_id)
    return [esim_of(db, row) for row in rows]


async def of_order(db: Session, tenant: Tenant, order_id: UUID) -> list[Esim | Unreadable]:
    """Return the eSIMs of the tenant's order, in the order they were made."""
    rows = await db.conn.fetch(
        "SELECT * FROM esims WHERE account_id = $1 AND mode = $2 AND order_id = $3 ORDER BY id",
        tenant.account_id,
        tenant.mode,
        order_id,
    )
    return listed(db, rows)


async def lock_expired(db: Session, *, limit: int) -> list[Esim]:
    """Lock and return eSIMs whose validity is over, by the database's clock, and whose provider has said nothing since.

    Rows that another node works on are passed over; needs a transaction.
    """
    rows = await db.conn.fetch(
        """
        SELECT * FROM esims
        WHERE status IN ('CREATED', 'ACTIVATED', 'IN_USE', 'SUSPENDED', 'USED_UP') AND expire_at <= now()
          AND (status_at IS NULL OR status_at <= expire_at)
        ORDER BY expire_at LIMIT $1 FOR UPDATE SKIP LOCKED
        """,
        limit,
    )
    return [esim_of(db, row) for row in rows]


async def lock_transactions(db: Session, transactions: Collection[tuple[Tenant, str]]) -> None:
    """Keep other transactions from creating eSIMs under the same transaction ids; needs a transaction.

    Different ids may share a lock: PostgreSQL has room for some thousand locks, a request for a thousand ids.
    """
    places = {
        zlib.crc32(f"{tenant.account_id} {tenant.mode} {transaction_id}".encode()) % CREATION_LOCKS
        for tenant, transaction_id in transactions
    }
    # Taken in ascending order, so that two transactions cannot wait for each other.
    await db.conn.execute(
        "SELECT pg_advisory_xact_lock($1, place) FROM unnest($2::int[]) AS u (place)", CREATION_LOCK, sorted(places)
    )


async def of_transactions(
    db: Session, transactions: Collection[tuple[Tenant, str]]
) -> dict[tuple[Tenant, str], list[Identity]]:
    """Return what identifies the eSIMs that the transactions have already."""
    rows = await db.conn.fetch(
        """
        SELECT account_id, mode, transaction_id, esim_tran_no, order_no, iccid FROM esims
        JOIN unnest($1::uuid[], $2::text[], $3::text[]) AS t (account_id, mode, transaction_id)
             USING (account_id, mode, transaction_id)
        """,
        [tenant.account_id for tenant, _ in transactions],
        [tenant.mode for tenant, _ in transactions],
        [transaction_id for _, transaction_id in transactions],
    )
    found: dict[tuple[Tenant, str], list[Identity]] = defaultdict(list)
    for row in rows:
        tenant, transaction_id = Tenant(row["account_id"], Mode(row["mode"])), row["transaction_id"]
        found[tenant, transaction_id].append(
            Identity(
                esim_tran_no=row["esim_tran_no"],
                order_no=row["order_no"],
                transaction_id=transaction_id,
                iccid=row["iccid"],
            )
        )
    return found


async def insert(db: Session, esims: Sequence[Esim]) -> None:
    """Store new eSIMs."""
    await COLUMNS.insert(db, [_values(db, esim) for esim in esims])


async def update(db: Session, esims: Sequence[Esim]) -> None:
    """Overwrite eSIMs that this transaction has locked."""
    await COLUMNS.update(db, [_values(db, esim) for esim in esims])


async def find(db: Session, tenant: Tenant, esim_id: UUID) -> Esim | None:
    """Return the tenant's eSIM, or None."""
    row = await db.conn.fetchrow(
        "SELECT * FROM esims WHERE account_id = $1 AND mode = $2 AND id = $3", tenant.account_id, tenant.mode, esim_id
    )
    return None if row is None else esim_of(db, row)


async def find_any(db: Session, esim_id: UUID) -> Esim | None:
    """Return an eSIM of any tenant, or None; for operators, and for who proves by its address that it is theirs."""
    row = await db.conn.fetchrow("SELECT * FROM esims WHERE id = $1", esim_id)
    return None if row is None else esim_of(db, row)


async def page(
    db: Session, tenant: Tenant, where: EsimFilter, *, before: UUID | None, limit: int
) -> Sequence[Esim | Unreadable]:
    """Return the tenant's eSIMs, newest first, older than the id `before`. There is an index for each filter."""
    given = Given()
    asked = {
        "account_id": tenant.account_id,
        "mode": tenant.mode,
        "status": where.status,
        "iccid": where.iccid,
        "transaction_id": where.transaction_id,
        "order_no": where.order_no,
    }
    conditions = given.equal(asked)
    conditions += given.between(first=None, last=None, before=before)
    rows = await db.conn.fetch(
        f"SELECT * FROM esims WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT {given(limit)}", *given.values
    )
    return listed(db, rows)


def _values(db: Session, esim: Esim) -> list[object]:
    plain: list[object] = [getattr(esim, name) for name in PLAIN]
    credentials = {name: value for name in CREDENTIALS if (value := getattr(esim, name)) is not None}
    return [
        *plain,
        _sealed(db, credentials, _row(esim.id, "credentials")),
        _sealed(db, esim.held, _row(esim.id, "held")),
    ]


def _sealed(db: Session, values: dict[str, object] | dict[str, str] | object, row: str) -> bytes | None:
    return db.sealer.seal(msgspec.json.encode(values), row=row) if values else None


def _opened(db: Session, sealed: bytes | None, row: str) -> dict[str, object]:
    return {} if sealed is None else msgspec.json.decode(db.sealer.open(sealed, row=row), type=dict[str, object])


def _row(esim_id: UUID, column: str) -> str:
    return f"esims.{column}.{esim_id}"


def listed(db: Session, rows: Sequence[asyncpg.Record]) -> list[Esim | Unreadable]:
    """Return the eSIMs of rows that have all columns; for lists, which must show the others where one is unreadable."""
    return readable(rows, lambda row: esim_of(db, row), _unreadable)


def esim_of(db: Session, row: asyncpg.Record) -> Esim:
    """Return the eSIM of a row that has all of its columns."""
    values = {name: row[name] for name in PLAIN}
    values["mode"] = Mode(row["mode"])
    values["status"] = None if row["status"] is None else EsimStatus(row["status"])
    values["smdp_status"] = None if row["smdp_status"] is None else SmdpStatus(row["smdp_status"])
    values |= _opened(db, row["sealed_credentials"], _row(row["id"], "credentials"))
    values["held"] = _opened(db, row["sealed_held"], _row(row["id"], "held"))
    return Esim(**values)


def _unreadable(row: asyncpg.Record) -> Unreadable:
    return Unreadable(name=text_of(Prefix.ESIM, row["id"]), id=row["id"])

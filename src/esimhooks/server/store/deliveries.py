"""Deliveries and attempts as they are read: one delivery carries its whole history. Lists are newest first.

A list looks at a bounded number of rows and says how far it came, so no filter makes it slow: the filter that narrows most
and has an index chooses the rows that are looked at, the others are applied to these.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from esimhooks.server.domain.delivery import Attempt, Delivery, DeliveryFilter, DeliveryStatus
from esimhooks.server.domain.endpoint import Ordering, Tenant
from esimhooks.server.domain.errors import Undecryptable
from esimhooks.server.domain.event import event_type_of
from esimhooks.server.domain.ids import Prefix, first_id_beside, text_of
from esimhooks.server.domain.lists import ScanResult
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store.database import Session
from esimhooks.server.store.statements import Columns, Parameters, bounded_scan, struct_of, tenant_of

log = get_logger("store")

WITHIN_BODY: dict[str, str] = {}
"""Stands in `response_headers` where the headers are encrypted together with the body; a list are headers in clear."""

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(tuple[list[tuple[str, str]], bytes])

DELIVERIES = Columns(
    "deliveries",
    {
        "id": "uuid",
        "account_id": "uuid",
        "mode": "text",
        "event_id": "uuid",
        "event_type": "text",
        "esim_id": "uuid",
        "endpoint_id": "uuid",
        "status": "text",
    },
)


async def insert(db: Session, deliveries: Sequence[Delivery]) -> None:
    """Store new deliveries, pending and due at once."""
    await DELIVERIES.insert(
        db,
        [
            (
                delivery.id,
                *delivery.tenant,
                delivery.event_id,
                delivery.event_type,
                delivery.esim_id,
                delivery.endpoint_id,
                delivery.status,
            )
            for delivery in deliveries
        ],
    )


async def reopen(db: Session, delivery_ids: Sequence[UUID], *, ordering: Ordering) -> list[Delivery]:
    """Make finished deliveries of an endpoint, which is locked, pending again; return them, for the queue."""
    rows = await db.conn.fetch(
        """
        UPDATE deliveries SET status = 'pending', finished_at = NULL, outcome = NULL, status_code = NULL
        WHERE id = ANY($1) AND status <> 'pending' RETURNING *, NULL::timestamptz AS due_at
        """,
        delivery_ids,
    )
    keeps_order = ordering is Ordering.ESIM
    return [replace(one, ordered=keeps_order and one.esim_id is not None) for one in map(delivery_of, rows)]


async def find(db: Session, tenant: Tenant, delivery_id: UUID) -> Delivery | None:
    """Return the tenant's delivery, or None."""
    row = await db.conn.fetchrow(
        """
        SELECT d.*, nullif(q.due_at, 'infinity') AS due_at FROM deliveries d LEFT JOIN queue q ON q.delivery_id = d.id
        WHERE d.id = $3 AND d.account_id = $1 AND d.mode = $2
        """,
        *tenant,
        delivery_id,
    )
    return None if row is None else delivery_of(row)


async def of_events(db: Session, tenant: Tenant, event_ids: Sequence[UUID]) -> Sequence[Delivery]:
    """Return the tenant's deliveries of these events, newest first."""
    rows = await db.conn.fetch(
        """
        SELECT d.*, nullif(q.due_at, 'infinity') AS due_at FROM deliveries d LEFT JOIN queue q ON q.delivery_id = d.id
        WHERE d.event_id = ANY($3) AND d.account_id = $1 AND d.mode = $2 ORDER BY d.id DESC
        """,
        *tenant,
        event_ids,
    )
    return [delivery_of(row) for row in rows]


async def attempts_of(db: Session, tenant: Tenant, delivery_id: UUID) -> Sequence[Attempt]:
    """Return the attempts of a delivery, first to last."""
    rows = await db.conn.fetch(
        "SELECT * FROM attempts WHERE delivery_id = $1 AND account_id = $2 AND id >= $3 ORDER BY number, id",
        delivery_id,
        tenant.account_id,
        first_id_beside(delivery_id),
    )
    return [attempt_of(db, row) for row in rows]


def response_row(attempt_id: UUID) -> str:
    """Return what the encrypted answer of a receiver is bound to; receivers echo what they got."""
    return f"attempts.body.{attempt_id}"


def encrypt_answer(db: Session, attempt_id: UUID, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """Return what `sealed_body` holds where `response_headers` says `WITHIN_BODY`: headers and body of an answer."""
    return db.cipher.encrypt(_encode((headers, body)), row=response_row(attempt_id))


def _answer_of(db: Session, row: asyncpg.Record) -> tuple[list[tuple[str, str]], bytes]:
    opened = db.cipher.decrypt(row["sealed_body"], row=response_row(row["id"]))
    if row["response_headers"] == WITHIN_BODY:
        return _decoder.decode(opened)
    # Of an attempt that had no answer, or was written before headers were encrypted.
    return [(name, value) for name, value in row["response_headers"]], opened


def attempt_of(db: Session, row: asyncpg.Record) -> Attempt:
    """Return the attempt of a row that has all of its columns; what an attempt was stands in clear beside its answer."""
    unreadable = False
    try:
        headers, body = _answer_of(db, row)
    except Undecryptable as error:
        log.error("row.unreadable", row=text_of(Prefix.ATTEMPT, row["id"]), reason=str(error))  # noqa: TRY400 - all there is
        headers, body, unreadable = [], b"", True
    return struct_of(Attempt, row, response_headers=headers, response_body=body, unreadable=unreadable)


def delivery_of(row: asyncpg.Record) -> Delivery:
    """Return the delivery of a row that has `due_at` of the queue."""
    return struct_of(
        Delivery,
        row,
        tenant=tenant_of(row),
        event_type=event_type_of(row["event_type"]),
        next_attempt_at=row["due_at"],
    )


ENDED_BADLY = (DeliveryStatus.FAILED, DeliveryStatus.STOPPED, DeliveryStatus.CANCELLED)
"""What the partial index deliveries_not_delivered holds."""


MAX_PRESET = 1000
MAX_RECENT = 20_000
HAS_FAILED = "(status IN ('failed', 'stopped') OR attempts > (status = 'delivered')::int)"


async def page(
    db: Session,
    tenant: Tenant,
    where: DeliveryFilter,
    *,
    before: UUID | None,
    limit: int,
    max_scanned: int | None = None,
) -> ScanResult[Delivery]:
    """Return the tenant's deliveries older than the id `before`; `max_scanned` is how many rows are looked at, None for all."""
    if where.status is DeliveryStatus.PENDING and where.outcome is None and where.status_code is None:
        return ScanResult(await _pending(db, tenant, where, before=before, limit=limit))
    parameters = Parameters()
    indexed, order = _indexed(parameters, tenant, where, before)
    due = ", (SELECT nullif(due_at, 'infinity') FROM queue WHERE delivery_id = fitting.id) AS due_at"
    rows, reached = await bounded_scan(
        db,
        "deliveries",
        parameters=parameters,
        indexed=indexed,
        wanted=_wanted(where),
        limit=limit,
        max_scanned=max_scanned,
        order=order,
        also=due,
    )
    return ScanResult([delivery_of(row) for row in rows], reached)


def _indexed(
    parameters: Parameters, tenant: Tenant, where: DeliveryFilter, before: UUID | None
) -> tuple[list[str], str]:
    """Return the conditions of the rows that are looked at, and their order, newest first."""
    order = "id DESC"
    conditions = [f"account_id = {parameters(tenant.account_id)}", f"mode = {parameters(tenant.mode)}"]
    conditions += parameters.between(first=where.first_id, last=where.last_id, before=before)
    if where.event_id is not None:
        conditions.append(f"event_id = {parameters(where.event_id)}")
    elif where.esim_id is not None:
        # Chosen by id, which both indexes of ids hold: with the events instead, a plan for eSIMs of any kind reads all of
        # the tenant's deliveries in their order.
        own = f"SELECT d.id FROM events e JOIN deliveries d ON d.event_id = e.id WHERE e.esim_id = {parameters(where.esim_id)}"
        conditions.append(f"id = ANY (ARRAY({own}))")
    elif where.status in ENDED_BADLY:
        conditions.append(f"status IN ({', '.join(repr(status.value) for status in ENDED_BADLY)})")
    elif where.endpoint_id is not None:
        # Known to be one value only, the endpoint would go from the order, and the index of all ids would serve it too:
        # a plan for endpoints of any size takes that, which reads all other endpoints' rows for those of a quiet one.
        conditions.append(f"endpoint_id = ANY (ARRAY[{parameters(where.endpoint_id)}::uuid])")
        order = "endpoint_id DESC, id DESC"
    return conditions, order


def _wanted(where: DeliveryFilter) -> dict[str, object]:
    return {
        "esim_id": where.esim_id,
        "endpoint_id": where.endpoint_id,
        "event_type": where.event_type,
        "status": where.status,
        "status_code": where.status_code,
        "outcome": where.outcome,
        HAS_FAILED: where.failed,
    }


async def _pending(
    db: Session, tenant: Tenant, where: DeliveryFilter, *, before: UUID | None, limit: int
) -> Sequence[Delivery]:
    """Return what is in the queue, which holds the pending ones and nothing else."""
    parameters = Parameters()
    account = parameters(tenant.account_id)
    bounds = parameters.between(first=where.first_id, last=where.last_id, before=before)
    conditions = [f"account_id = {account}", *(f"delivery_{bound}" for bound in bounds)]
    conditions += parameters.equal(
        {
            "endpoint_id": where.endpoint_id,
            "event_id": where.event_id,
            "event_type": where.event_type,
            "esim_id": where.esim_id,
        }
    )
    conditions += parameters.equal({"(attempts > 0)": where.failed})
    rows = await db.conn.fetch(
        f"""
        SELECT d.*, nullif(q.due_at, 'infinity') AS due_at FROM (
            SELECT delivery_id, due_at FROM queue
            WHERE {" AND ".join(conditions)} AND endpoint_id = ANY (
                ARRAY(SELECT id FROM endpoints WHERE account_id = {account} AND mode = {parameters(tenant.mode)}))
            ORDER BY delivery_id DESC LIMIT {parameters(limit)}
        ) q JOIN deliveries d ON d.id = q.delivery_id ORDER BY d.id DESC
        """,
        *parameters.values,
    )
    return [delivery_of(row) for row in rows]


async def preset_counts(db: Session, tenant: Tenant) -> Mapping[str, int]:
    """Return how many of the tenant's deliveries retry, were given up, and have failed at least once.

    Each is counted up to one more than `MAX_PRESET`, and the last two among the newest `MAX_RECENT`.
    """
    row = await db.conn.fetchrow(
        f"""
        SELECT
            (SELECT count(*) FROM (
                SELECT FROM queue WHERE attempts_this_round > 0
                AND endpoint_id = ANY (ARRAY(SELECT id FROM endpoints WHERE account_id = $1 AND mode = $2)) LIMIT $3
            ) counted) AS retrying,
            (SELECT count(*) FROM (
                SELECT FROM (
                    SELECT status FROM deliveries WHERE account_id = $1 AND mode = $2
                    AND status IN ('failed', 'stopped', 'cancelled') ORDER BY id DESC LIMIT $4
                ) newest WHERE status = 'failed' LIMIT $3
            ) counted) AS failed,
            (SELECT count(*) FROM (
                SELECT FROM (
                    SELECT status, attempts FROM deliveries WHERE account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT $4
                ) newest WHERE {HAS_FAILED} LIMIT $3
            ) counted) AS has_failed
        """,
        *tenant,
        MAX_PRESET + 1,
        MAX_RECENT,
    )
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return dict(row)

"""Lists of the journal, newest first. A search scans a bounded number of rows and says how far it came, so no filter makes it slow."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.lists import ScanResult, Unreadable
from esimhooks.server.domain.notification import JournalEntry, JournalFilter
from esimhooks.server.store.database import Session
from esimhooks.server.store.journal import listed
from esimhooks.server.store.statements import Parameters, bounded_scan

MAX_RECENT = 20_000
MAX_ABOUT = 1000
"""How many eSIMs a search by number looks at: those of the largest order."""
USUAL = (UpdateOutcome.APPLIED, UpdateOutcome.UNCHANGED, UpdateOutcome.DUPLICATE)
"""What the partial index notifications_to_look_at leaves out."""
UNUSUAL = f"outcome NOT IN ({', '.join(repr(outcome.value) for outcome in USUAL)})"


async def page(
    db: Session, where: JournalFilter, *, before: UUID | None, limit: int, max_scanned: int | None = None
) -> ScanResult[JournalEntry | Unreadable]:
    """Return entries older than the id `before`, for operators; `max_scanned` is how many rows are looked at, None for all."""
    if where.esim_id is not None or where.by_identity:
        return ScanResult(await _about(db, where, before=before, limit=limit))
    parameters = Parameters()
    indexed = _indexed(parameters, where, before)
    wanted = {"outcome": where.outcome}
    rows, reached = await bounded_scan(
        db, "notifications", parameters=parameters, indexed=indexed, wanted=wanted, limit=limit, max_scanned=max_scanned
    )
    return ScanResult(listed(db, rows), reached)


def _indexed(parameters: Parameters, where: JournalFilter, before: UUID | None) -> list[str]:
    conditions = parameters.between(first=where.first_id, last=where.last_id, before=before)
    if where.source is not None:
        conditions.append(f"source = {parameters(where.source)}")
    if where.outcome is not None and where.outcome not in USUAL:
        conditions.append(UNUSUAL)
    return conditions


async def _about(
    db: Session, where: JournalFilter, *, before: UUID | None, limit: int
) -> Sequence[JournalEntry | Unreadable]:
    """Return entries about some eSIMs, alone or among others, each found by its index, however long the journal is."""
    esim_ids, waiting_ids = await _find_subjects(db, where)
    parameters = Parameters()
    conditions = parameters.between(first=where.first_id, last=where.last_id, before=before)
    conditions += parameters.equal({"source": where.source, "outcome": where.outcome})
    return await about(
        db, esim_ids=esim_ids, ids=waiting_ids, limit=limit, parameters=parameters, conditions=conditions
    )


async def about(
    db: Session,
    *,
    esim_ids: Sequence[UUID],
    ids: Sequence[UUID] = (),
    limit: int,
    parameters: Parameters | None = None,
    conditions: Sequence[str] = (),
) -> Sequence[JournalEntry | Unreadable]:
    """Return the newest entries about these eSIMs, and those with these ids, that meet the conditions; for operators."""
    values = parameters or Parameters()
    narrowed = " AND ".join(["true", *conditions])
    last, meant = values(limit), values(esim_ids)
    rows = await db.conn.fetch(
        f"""
        SELECT * FROM notifications WHERE id = ANY (ARRAY(
            SELECT found.id FROM unnest({meant}::uuid[]) AS esim (id) CROSS JOIN LATERAL (
                SELECT id FROM notifications WHERE esim_id = esim.id AND {narrowed} ORDER BY id DESC LIMIT {last}
            ) found
            UNION ALL
            (SELECT id FROM (SELECT id FROM notifications WHERE esim_ids && {meant}::uuid[] AND {narrowed} OFFSET 0) one
             ORDER BY id DESC LIMIT {last})
            UNION ALL SELECT * FROM unnest({values(ids)}::uuid[])
        )) AND {narrowed} ORDER BY id DESC LIMIT {last}
        """,
        *values.values,
    )
    return listed(db, rows)


async def _find_subjects(db: Session, where: JournalFilter) -> tuple[Sequence[UUID], Sequence[UUID]]:
    """Return the eSIMs that are meant, and the notifications that name them and still wait for an eSIM."""
    filters = {"iccid": where.iccid, "transaction_id": where.transaction_id, "order_no": where.order_no}
    numbers = {name: value for name, value in filters.items() if value is not None}
    if not numbers:
        return [where.esim_id] if where.esim_id else [], []
    # Only what is asked for stands in the statement, so that each number is found by its index.
    wanted = " AND ".join(f"{name} = ${index}" for index, name in enumerate(numbers, 2))
    known = await db.conn.fetch(f"SELECT id FROM esims WHERE {wanted} LIMIT $1", MAX_ABOUT, *numbers.values())
    esim_ids = [row["id"] for row in known if where.esim_id in (None, row["id"])]
    if where.iccid is not None or where.esim_id is not None:
        return esim_ids, []  # what waits is not kept by its ICCID: providers re-use them
    waiting = await db.conn.fetch(
        f"SELECT notification_id FROM unmatched_notifications WHERE {wanted} LIMIT $1", MAX_ABOUT, *numbers.values()
    )
    return esim_ids, [row["notification_id"] for row in waiting]


async def preset_counts(db: Session) -> Mapping[str, int]:
    """Return how many of the newest `MAX_RECENT` unusual notifications have each outcome."""
    rows = await db.conn.fetch(
        f"""
        SELECT outcome, count(*) FROM (
            SELECT outcome FROM notifications WHERE {UNUSUAL} ORDER BY id DESC LIMIT $1) newest GROUP BY outcome
        """,
        MAX_RECENT,
    )
    return dict(rows)

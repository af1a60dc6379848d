"""Lists of deliveries, newest first. A search looks at so many rows and says how far it came, so no filter makes it slow.

The filter that narrows most and has an index chooses the rows that are looked at; the others are applied to these.
"""

from collections.abc import Sequence
from uuid import UUID

from esimhooks.server.domain.delivery import Delivery, DeliveryFilter, DeliveryStatus
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.lists import Looked
from esimhooks.server.store.database import Session
from esimhooks.server.store.deliveries import delivery_of
from esimhooks.server.store.given import Given
from esimhooks.server.store.looking import look

ENDED_BADLY = (DeliveryStatus.FAILED, DeliveryStatus.STOPPED, DeliveryStatus.CANCELLED)
"""What the partial index deliveries_not_delivered holds."""


async def page(
    db: Session, tenant: Tenant, where: DeliveryFilter, *, before: UUID | None, limit: int, most: int | None = None
) -> Looked[Delivery]:
    """Return the tenant's deliveries older than the id `before`; `most` is how many rows are looked at, None for all."""
    if where.status is DeliveryStatus.PENDING:
        return Looked(await _pending(db, tenant, where, before=before, limit=limit))
    given = Given()
    looked_at, order = _looked_at(given, tenant, where, before)
    due = ", (SELECT nullif(due_at, 'infinity') FROM queue WHERE delivery_id = fitting.id) AS due_at"
    rows, reached = await look(
        db,
        "deliveries",
        given=given,
        looked_at=looked_at,
        wanted=_wanted(where),
        limit=limit,
        most=most,
        order=order,
        also=due,
    )
    return Looked([delivery_of(row) for row in rows], reached)


def _looked_at(given: Given, tenant: Tenant, where: DeliveryFilter, before: UUID | None) -> tuple[list[str], str]:
    """Return the conditions of the rows that are looked at, and their order, newest first."""
    order = "id DESC"
    conditions = [f"account_id = {given(tenant.account_id)}", f"mode = {given(tenant.mode)}"]
    conditions += given.between(first=where.first_id, last=where.last_id, before=before)
    if where.event_id is not None:
        conditions.append(f"event_id = {given(where.event_id)}")
    elif where.esim_id is not None:
        conditions.append(f"event_id = ANY (ARRAY(SELECT id FROM events WHERE esim_id = {given(where.esim_id)}))")
    elif where.status in ENDED_BADLY:
        conditions.append(f"status IN ({', '.join(repr(status.value) for status in ENDED_BADLY)})")
    elif where.endpoint_id is not None:
        # Known to be one value only, the endpoint would go from the order, and the index of all ids would serve it too:
        # a plan for endpoints of any size takes that, which reads all other endpoints' rows for those of a quiet one.
        conditions.append(f"endpoint_id = ANY (ARRAY[{given(where.endpoint_id)}::uuid])")
        order = "endpoint_id DESC, id DESC"
    return conditions, order


def _wanted(where: DeliveryFilter) -> dict[str, object]:
    return {
        "esim_id": where.esim_id,
        "endpoint_id": where.endpoint_id,
        "event_type": where.event_type,
        "status": where.status,
    }


async def _pending(
    db: Session, tenant: Tenant, where: DeliveryFilter, *, before: UUID | None, limit: int
) -> Sequence[Delivery]:
    """Return what is in the queue, which holds the pending ones and nothing else."""
    given = Given()
    account = given(tenant.account_id)
    bounds = given.between(first=where.first_id, last=where.last_id, before=before)
    conditions = [f"account_id = {account}", *(f"delivery_{bound}" for bound in bounds)]
    conditions += given.equal(
        {
            "endpoint_id": where.endpoint_id,
            "event_id": where.event_id,
            "event_type": where.event_type,
            "esim_id": where.esim_id,
        }
    )
    rows = await db.conn.fetch(
        f"""
        SELECT d.*, nullif(q.due_at, 'infinity') AS due_at FROM (
            SELECT delivery_id, due_at FROM queue
            WHERE {" AND ".join(conditions)} AND endpoint_id = ANY (
                ARRAY(SELECT id FROM endpoints WHERE account_id = {account} AND mode = {given(tenant.mode)}))
            ORDER BY delivery_id DESC LIMIT {given(limit)}
        ) q JOIN deliveries d ON d.id = q.delivery_id ORDER BY d.id DESC
        """,
        *given.values,
    )
    return [delivery_of(row) for row in rows]

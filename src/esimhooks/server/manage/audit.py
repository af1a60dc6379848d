"""The audit log as a merchant reads it, who does not learn which operator acted."""

from collections.abc import Sequence

from msgspec import structs

from esimhooks.server.domain.audit import Actor, ActorKind, AuditEntry, AuditFilter
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.lists import Window
from esimhooks.server.store import audit
from esimhooks.server.store.database import Session


async def of_tenant(db: Session, tenant: Tenant, where: AuditFilter, window: Window) -> Sequence[AuditEntry]:
    """Return a tenant's entries; of operators it is not told who they are and from where they act."""
    rows = await audit.page(db, tenant, where, **window)
    return [structs.replace(row, actor=_for_merchants(row.actor)) for row in rows]


def _for_merchants(actor: Actor) -> Actor:
    return actor if actor.kind is ActorKind.MERCHANT else Actor(kind=actor.kind)

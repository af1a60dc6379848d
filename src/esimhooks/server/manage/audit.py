"""The audit log as it is read: by a merchant, who does not learn which operator acted, and by operators."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import structs

from esimhooks.server.domain.audit import Actor, ActorKind, AuditEntry, AuditFilter
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.manage.queries import Window
from esimhooks.server.store import audit
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import Mode


class AuditLog:
    """Reads the log. Raises `NotNow` where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_tenant(self, tenant: Tenant, where: AuditFilter, window: Window) -> Sequence[AuditEntry]:
        """Return a tenant's entries; of operators it is not told who they are and from where they act."""
        async with self._database.session() as db:
            rows = await audit.page(db, tenant, where, before=window.before, limit=window.limit)
        return [structs.replace(row, actor=_for_merchants(row.actor)) for row in rows]

    async def for_operators(
        self, account_id: UUID | None, mode: Mode | None, where: AuditFilter, window: Window
    ) -> Sequence[AuditEntry]:
        """Return entries of all accounts and the installation, or of one account."""
        async with self._database.session() as db:
            return await audit.page_for_operators(db, account_id, mode, where, before=window.before, limit=window.limit)


def _for_merchants(actor: Actor) -> Actor:
    return actor if actor.kind is ActorKind.MERCHANT else Actor(kind=actor.kind)

"""The audit log: whoever acts is named once for a request, and each change notes itself in its own transaction.

The actor goes with the request's task, as its transaction does under an idempotency key, so that no command can be
called without one and none has to pass it on. What nobody asked for over the API is the server's own doing.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from uuid import UUID

from msgspec import structs

from esimhooks.server.engine.queries import Window
from esimhooks.server.model.audit import Action, Actor, ActorKind, AuditEntry, AuditFilter, ChangedField
from esimhooks.server.model.endpoint import Tenant
from esimhooks.server.model.ids import new_id
from esimhooks.server.store import audit
from esimhooks.server.store.database import Database, Session
from esimhooks.vocabulary.statuses import Mode

_actor: ContextVar[Actor | None] = ContextVar("actor", default=None)
ITSELF = Actor(kind=ActorKind.SYSTEM)


def act_as(actor: Actor) -> None:
    """Have the changes that follow in this task noted as this actor's."""
    _actor.set(actor)


async def note(
    db: Session,
    action: Action,
    subject: str,
    *,
    whose: Tenant | UUID | None,
    changes: Mapping[str, ChangedField] | None = None,
) -> None:
    """Write down that the present actor did this; `whose` is a tenant, an account, or None for the installation."""
    await audit.insert(
        db,
        AuditEntry(
            id=new_id(),
            account_id=whose.account_id if isinstance(whose, Tenant) else whose,
            mode=whose.mode if isinstance(whose, Tenant) else None,
            actor=_actor.get() or ITSELF,
            action=action,
            subject=subject,
            changes=changes or {},
        ),
    )


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

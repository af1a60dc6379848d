"""The audit log: rows that are written once, read in pages, and deleted after their retention.

Every command takes who acts, and records it in its own transaction.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from esimhooks.server.domain.audit import Action, Actor, ActorKind, AuditEntry, AuditFilter, ChangedField
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.ids import new_id, text_of
from esimhooks.server.store.database import Session, row_count
from esimhooks.server.store.freezing import MOVING, RETRY_AFTER_S
from esimhooks.server.store.statements import struct_of
from esimhooks.vocabulary.statuses import Mode


async def record_action(
    db: Session,
    actor: Actor,
    action: Action,
    subject: UUID | str,
    *,
    owner: Tenant | UUID | None,
    changes: Mapping[str, ChangedField] | None = None,
) -> None:
    """Write down that the actor did this to a row (`subject` is its id) or to something else, which has a name.

    `owner` is a tenant, an account, or None for the installation.

    Raises `NotNow` where the account is frozen, so that nothing of it is changed meanwhile: every change is recorded.
    """
    entry = AuditEntry(
        id=new_id(),
        account_id=owner.account_id if isinstance(owner, Tenant) else owner,
        mode=owner.mode if isinstance(owner, Tenant) else None,
        actor=actor,
        action=action,
        subject=text_of(action.of, subject) if isinstance(subject, UUID) else subject,
        changes=changes or {},
    )
    if not await insert(db, entry):
        raise NotNow(MOVING, retry_after_s=RETRY_AFTER_S)


WHILE_FROZEN = (
    Action.ACCOUNT_DELETE,
    Action.ACCOUNT_EXPORT,
    Action.ACCOUNT_UNFREEZE,
    Action.ACCESS_REFUSE,
    Action.DASHBOARD_SIGN_IN,
    Action.PORTAL_SIGN_IN,
)
"""What may be done in an account that is frozen."""


async def insert(db: Session, entry: AuditEntry) -> bool:
    """Write an entry, in the transaction of the change; false where the account is frozen."""
    status = await db.conn.execute(
        """
        INSERT INTO audit_entries
            (id, account_id, mode, actor_kind, key_id, key_name, address, action, subject, changes)
        SELECT $1::uuid, $2::uuid, $3::text, $4::text, $5::uuid, $6::text, $7::text, $8::text, $9::text, $10::jsonb
        WHERE $2::uuid IS NULL OR $8::text = ANY ($11::text[]) OR $2::uuid NOT IN (SELECT read_frozen_accounts())
        """,
        entry.id,
        entry.account_id,
        entry.mode,
        entry.actor.kind,
        entry.actor.key_id,
        entry.actor.key_name,
        entry.actor.address,
        entry.action,
        entry.subject,
        entry.changes,
        WHILE_FROZEN,
    )
    return row_count(status) > 0


async def page(
    db: Session, tenant: Tenant, where: AuditFilter, *, before: UUID | None, limit: int
) -> Sequence[AuditEntry]:
    """Return the tenant's entries, newest first, older than the id `before`."""
    return await page_for_operators(db, tenant.account_id, tenant.mode, where, before=before, limit=limit)


async def page_for_operators(
    db: Session,
    account_id: UUID | None,
    mode: Mode | None,
    where: AuditFilter,
    *,
    before: UUID | None,
    limit: int,
) -> Sequence[AuditEntry]:
    """Return entries of all or one account, newest first, older than the id `before`; for operators."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM audit_entries
        WHERE ($1::uuid IS NULL OR account_id = $1) AND ($2::text IS NULL OR mode = $2)
          AND ($3::uuid IS NULL OR id < $3) AND ($4::text IS NULL OR actor_kind = $4)
          AND ($5::uuid IS NULL OR key_id = $5) AND ($6::text IS NULL OR action = $6)
          AND ($7::text IS NULL OR subject = $7) AND ($8::uuid IS NULL OR id >= $8) AND ($9::uuid IS NULL OR id < $9)
        ORDER BY id DESC LIMIT $10
        """,
        account_id,
        mode,
        before,
        where.actor_kind,
        where.key_id,
        where.action,
        where.subject,
        where.first_id,
        where.last_id,
        limit,
    )
    return [_entry(row) for row in rows]


async def delete_before(db: Session, *, before: UUID, limit: int) -> int:
    """Delete entries older than the id `before`; return how many rows went."""
    status = await db.conn.execute(
        "DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries WHERE id < $1 ORDER BY id LIMIT $2)",
        before,
        limit,
    )
    return row_count(status)


def _entry(row: asyncpg.Record) -> AuditEntry:
    return struct_of(AuditEntry, row, actor=struct_of(Actor, row, kind=ActorKind(row["actor_kind"])))

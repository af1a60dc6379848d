"""The audit log: `/v1/audit`. Operators read all of it, merchants what was done in their account and mode."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.auth import Principal, tenant_of
from esimhooks.server.api.bodies import From, To, id_in
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.audit import Action, ActorKind, AuditEntry, AuditFilter, ChangedField
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, made_at, text_or_none
from esimhooks.server.domain.lists import Window
from esimhooks.server.manage import find as manage_audit
from esimhooks.server.store import audit
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode
from esimhooks.vocabulary.timestamps import timestamp

Account = Annotated[str, Meta(description="operators: only changes in this account")] | None
Who = Annotated[str, Meta(max_length=64, description="a key's id, or operator, merchant or system")] | None
Subject = Annotated[str, Meta(max_length=200, description="id of the changed object")] | None


class ActorView(Struct, rename="camel"):
    """Who acted. `key` is absent for the operator's first key and, when merchants read it, for all operators."""

    kind: ActorKind
    key: str | None
    name: str | None


class AuditView(Struct, rename="camel", kw_only=True):
    """One change. `changes` has the fields that differ; changed secrets appear as `(hidden)`."""

    id: str
    at: str
    actor: ActorView
    address: str | None
    action: Action
    subject: str
    account: str | None
    mode: Mode | None
    changes: dict[str, ChangedField]


routes = Routes(BY_KEY)


@routes.get("/v1/audit")
async def list_audit(
    db: Session,
    caller: Principal,
    account: Account = None,
    mode: Mode | None = None,
    actor: Who = None,
    action: Action | None = None,
    subject: Subject = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[AuditView]:
    """List entries of the audit log, newest first."""
    kind, key_id = _actor(actor)
    where = AuditFilter(
        actor_kind=kind,
        key_id=key_id,
        action=action,
        subject=subject,
        first_id=from_,
        last_id=to,
    )
    rows = await _entries(db, caller, account, mode, where, window(limit, cursor))
    return listed(rows, limit, _view, lambda entry: entry.id)


async def _entries(
    db: Session, caller: Principal, account: str | None, mode: Mode | None, where: AuditFilter, part: Window
) -> Sequence[AuditEntry]:
    if caller.tenant is not None:
        return await manage_audit.of_tenant(db, tenant_of(caller, account=account, mode=mode), where, part)
    return await audit.page_for_operators(
        db, None if account is None else id_in("query:account", Prefix.ACCOUNT, account), mode, where, **part
    )


def _actor(text: str | None) -> tuple[ActorKind | None, UUID | None]:
    if text is None:
        return None, None
    if text in set(ActorKind):
        return ActorKind(text), None
    try:
        return None, id_in("query:actor", Prefix.KEY, text)
    except Refused:
        raise Refused.invalid(
            "query:actor", f"expected key_ and 26 characters, or one of {', '.join(ActorKind)}"
        ) from None


def _view(entry: AuditEntry) -> AuditView:
    actor = entry.actor
    return view_of(
        AuditView,
        entry,
        id=Prefix.AUDIT,
        at=timestamp(made_at(entry.id)),
        actor=ActorView(actor.kind, text_or_none(Prefix.KEY, actor.key_id), actor.key_name),
        address=actor.address,
        account=Prefix.ACCOUNT,
    )

"""Accounts: made, renamed and deleted by operators. Each command runs in the transaction that it is given."""

from datetime import datetime
from uuid import UUID

from esimhooks.server.domain.account import OPERATOR, Account
from esimhooks.server.domain.audit import Action, Actor, ChangedField
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.store import accounts, endpoints
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session


async def create_account(db: Session, actor: Actor, name: str, *, now: datetime) -> Account:
    """Make an account."""
    account = Account(id=new_id(), name=name, created_at=now, updated_at=now)
    await accounts.insert(db, account)
    made = {"name": ChangedField(None, name)}
    await record_action(
        db, actor, Action.ACCOUNT_CREATE, text_of(Prefix.ACCOUNT, account.id), owner=account.id, changes=made
    )
    return account


async def rename_account(db: Session, actor: Actor, account_id: UUID, name: str, *, now: datetime) -> Account:
    """Give an account another name. Raises `Refused` (404)."""
    before = found(await accounts.lock(db, account_id), "account")
    after = found(await accounts.rename(db, account_id, name=name, now=now), "account")
    if before.name != after.name:
        renamed = {"name": ChangedField(before.name, after.name)}
        subject = text_of(Prefix.ACCOUNT, account_id)
        await record_action(db, actor, Action.ACCOUNT_RENAME, subject, owner=account_id, changes=renamed)
    return after


async def delete_account(db: Session, actor: Actor, account_id: UUID, *, now: datetime) -> None:
    """Delete an account with all that is its own; what waits for delivery is cancelled. Raises `Refused` (404)."""
    require_merchant(account_id)
    if not await accounts.delete(db, account_id):
        raise Refused.not_found("there is no such account")
    await endpoints.cancel_orphans(db, now=now)
    await record_action(db, actor, Action.ACCOUNT_DELETE, text_of(Prefix.ACCOUNT, account_id), owner=account_id)


def require_merchant(account_id: UUID) -> None:
    """Raise `Refused` (409) for the operator's own account."""
    if account_id == OPERATOR.account_id:
        raise Refused.conflict("this account is the operator's own, made by ESIMHOOKS_OPERATIONAL_URL")

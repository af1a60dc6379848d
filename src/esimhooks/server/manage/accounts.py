"""Accounts: made, renamed and deleted by operators, with their quotas: each command takes what it needs before it changes anything.

Each command runs in the transaction that it is given. Raises `Refused` (409, 429) where a quota is used up.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from msgspec import to_builtins

from esimhooks.server.domain.account import OPERATOR, Account, Quotas, Rate, header_bytes, too_fast, too_many
from esimhooks.server.domain.audit import Action, Actor, ChangedField, changes
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.lists import found
from esimhooks.server.store import accounts, endpoints
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session


async def create_account(db: Session, actor: Actor, name: str, *, now: datetime) -> Account:
    """Make an account."""
    account = Account(id=new_id(), name=name, created_at=now, updated_at=now)
    await accounts.insert(db, account)
    made = {"name": ChangedField(None, name)}
    await record_action(db, actor, Action.ACCOUNT_CREATE, account.id, owner=account.id, changes=made)
    return account


async def rename_account(db: Session, actor: Actor, account_id: UUID, name: str, *, now: datetime) -> Account:
    """Give an account another name. Raises `Refused` (404)."""
    before = found(await accounts.lock(db, account_id), "account")
    after = found(await accounts.rename(db, account_id, name=name, now=now), "account")
    if before.name != after.name:
        renamed = {"name": ChangedField(before.name, after.name)}
        await record_action(db, actor, Action.ACCOUNT_RENAME, account_id, owner=account_id, changes=renamed)
    return after


async def delete_account(db: Session, actor: Actor, account_id: UUID, *, now: datetime) -> None:
    """Delete an account with all that is its own; what waits for delivery is cancelled. Raises `Refused` (404)."""
    require_merchant(account_id)
    if not await accounts.delete(db, account_id):
        raise Refused.not_found("there is no such account")
    await endpoints.cancel_orphans(db, now=now)
    await record_action(db, actor, Action.ACCOUNT_DELETE, account_id, owner=account_id)


def require_merchant(account_id: UUID) -> None:
    """Raise `Refused` (409) for the operator's own account."""
    if account_id == OPERATOR.account_id:
        raise Refused.conflict("this account is the operator's own, made by ESIMHOOKS_OPERATIONAL_URL")


Headers = Mapping[str, str]


async def change_quotas(
    db: Session, actor: Actor, account_id: UUID, changed: Callable[[Quotas], Quotas], *, now: datetime
) -> Account:
    """Store what `changed` makes of an account's quotas; what it has beyond them stays. Raises `Refused` (404)."""
    before = found(await accounts.lock(db, account_id), "account")
    wanted = changed(before.quotas)
    if wanted == before.quotas:
        return before
    after = found(await accounts.change_quotas(db, account_id, quotas=wanted, now=now), "account")
    fields = changes(_fields(before.quotas), _fields(wanted))
    await record_action(db, actor, Action.ACCOUNT_QUOTAS, account_id, owner=account_id, changes=fields)
    return after


async def take_from_quota(db: Session, tenant: Tenant, rate: Rate) -> None:
    """Take one of what the account may do so many times a second. Raises `Refused` (429, or 404 without the account)."""
    account = found(await accounts.lock_shared(db, tenant.account_id), "account")
    limit = account.quotas.per_second(rate)
    if not await accounts.take_from_quota(db, tenant.account_id, rate, limit):
        raise too_fast(rate, limit, retry_after_s=1 / limit if limit else 3600)


async def require_endpoint(db: Session, tenant: Tenant, headers: Headers) -> None:
    """Lock the account and find room for one more endpoint with these headers. Raises `Refused` (409, 404)."""
    account = found(await accounts.lock(db, tenant.account_id), "account")
    has, limit = await accounts.quota_usage(db, account.id), account.quotas.endpoints
    if has.endpoints >= limit:
        detail = f"the account has {has.endpoints} endpoints and its quota endpoints is {limit}: delete one"
        raise too_many("endpoints", limit, detail)
    _require_headers(account, has.endpoint_header_bytes + header_bytes(headers), more=header_bytes(headers))


async def require_headers(db: Session, account: Account, before: Headers, after: Headers) -> None:
    """Find room for an endpoint's headers where they grow; the account is locked. Raises `Refused` (409)."""
    more = header_bytes(after) - header_bytes(before)
    if more > 0:
        has = await accounts.quota_usage(db, account.id)
        _require_headers(account, has.endpoint_header_bytes + more, more=more)


async def require_recovery(db: Session, tenant: Tenant, endpoint_id: UUID) -> None:
    """Lock the account and find room for one more recovery of the endpoint. Raises `Refused` (409, 404)."""
    account = found(await accounts.lock(db, tenant.account_id), "account")
    limits = account.quotas
    of_endpoint = await accounts.recoveries_of(db, account.id, endpoint_id)
    if of_endpoint >= limits.recoveries_per_endpoint:
        detail = f"{of_endpoint} recoveries of this endpoint are under way: wait for them, or cancel one"
        raise too_many("recoveriesPerEndpoint", limits.recoveries_per_endpoint, detail)
    has = await accounts.quota_usage(db, account.id)
    if has.recoveries >= limits.recoveries:
        detail = f"{has.recoveries} recoveries of the account are under way: wait for one, or cancel it"
        raise too_many("recoveries", limits.recoveries, detail)


def _require_headers(account: Account, wanted: int, *, more: int) -> None:
    limit = account.quotas.endpoint_header_bytes
    if more and wanted > limit:
        detail = f"the headers of the account's endpoints would be {wanted} bytes and its quota endpointHeaderBytes is {limit}"
        raise too_many("endpointHeaderBytes", limit, f"{detail}: shorten them")


def _fields(of: Quotas) -> dict[str, object]:
    return {f"quotas.{name}": value for name, value in to_builtins(of).items()}

"""Quotas as commands meet them: each takes what it needs before it changes anything. Raises `Refused` (409, 429).

The account is locked first, so that two requests cannot both find the last free one.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from msgspec import to_builtins

from esimhooks.server.domain.account import Account, Quotas, Rate, header_bytes, too_fast, too_many
from esimhooks.server.domain.audit import Action, Actor, changes
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.store import accounts, quotas
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session

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
    await record_action(
        db, actor, Action.ACCOUNT_QUOTAS, text_of(Prefix.ACCOUNT, account_id), owner=account_id, changes=fields
    )
    return after


async def take(db: Session, tenant: Tenant, rate: Rate) -> None:
    """Take one of what the account may do so many times a second. Raises `Refused` (429, or 404 without the account)."""
    account = found(await accounts.keep(db, tenant.account_id), "account")
    limit = account.quotas.per_second(rate)
    if not await quotas.take(db, tenant.account_id, rate, limit):
        raise too_fast(rate, limit, retry_after_s=1 / limit if limit else 3600)


async def require_endpoint(db: Session, tenant: Tenant, headers: Headers) -> None:
    """Lock the account and find room for one more endpoint with these headers. Raises `Refused` (409, 404)."""
    account = found(await accounts.lock(db, tenant.account_id), "account")
    has, limit = await quotas.usage(db, account.id), account.quotas.endpoints
    if has.endpoints >= limit:
        detail = f"the account has {has.endpoints} endpoints and its quota endpoints is {limit}: delete one"
        raise too_many("endpoints", limit, detail)
    _require_headers(account, has.endpoint_header_bytes + header_bytes(headers), more=header_bytes(headers))


async def require_headers(db: Session, account: Account, before: Headers, after: Headers) -> None:
    """Find room for an endpoint's headers where they grow; the account is locked. Raises `Refused` (409)."""
    more = header_bytes(after) - header_bytes(before)
    if more > 0:
        has = await quotas.usage(db, account.id)
        _require_headers(account, has.endpoint_header_bytes + more, more=more)


async def require_recovery(db: Session, tenant: Tenant, endpoint_id: UUID) -> None:
    """Lock the account and find room for one more recovery of the endpoint. Raises `Refused` (409, 404)."""
    account = found(await accounts.lock(db, tenant.account_id), "account")
    limits = account.quotas
    of_endpoint = await quotas.recoveries_of(db, account.id, endpoint_id)
    if of_endpoint >= limits.recoveries_per_endpoint:
        detail = f"{of_endpoint} recoveries of this endpoint are under way: wait for them, or cancel one"
        raise too_many("recoveriesPerEndpoint", limits.recoveries_per_endpoint, detail)
    has = await quotas.usage(db, account.id)
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
